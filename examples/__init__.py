"""Lessons: one short file each, run with `python -m examples.<name>`."""
