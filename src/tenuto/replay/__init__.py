"""The worker side of durable code: workflow code is run, suspended, and brought back from its history."""
