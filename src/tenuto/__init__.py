"""Tenuto: a durable workflow engine. Work that must finish, finishes."""

__version__ = "0.1.0"
