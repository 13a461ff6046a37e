"""What talks to executions, one file a subject; `tenuto.client` is the door."""
