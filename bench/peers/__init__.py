"""Other engines under the same workloads, each in a virtual environment of its own."""
