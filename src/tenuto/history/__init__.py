"""The history machine of durable code: pure rules that turn commands and outside facts into events.

Nothing here does I/O, reads a clock or draws a random number: the caller passes the time and new ids in.
"""
