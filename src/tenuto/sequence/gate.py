"""Pausing and stopping a run between its nodes."""

from __future__ import annotations

import threading

from tenuto.sequence.errors import WorkflowStoppedException

__all__ = ["Gate"]


class Gate:
    """Open while nodes may begin."""

    def __init__(self) -> None:
        #: True if whoever is about to begin a node has to call `pass_through` first.
        self.closed = False
        self._stopped = False
        self._open = threading.Event()
        self._open.set()

    def pause(self) -> None:
        self.closed = True
        self._open.clear()

    def open(self) -> None:
        self._stopped = self.closed = False
        self._open.set()

    def stop(self) -> None:
        """Whoever comes through, or waits to, gets WorkflowStoppedException."""
        self._stopped = self.closed = True
        self._open.set()

    def pass_through(self) -> None:
        """Wait until a node may begin. Raises WorkflowStoppedException."""
        self._open.wait()
        if self._stopped:
            raise WorkflowStoppedException("the run was stopped")
