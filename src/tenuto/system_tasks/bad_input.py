"""A task's input that can't be used."""

from __future__ import annotations


class BadInput(Exception):
    """What is wrong with the task's input, naming the key; becomes the task's reason."""
