"""Where executions are kept. `protocol.py` is the one page that says what a store does; each other file is one store."""
