"""A lock on a file that ends with the process that holds it, however that ends.

The lock is a POSIX record lock: the system drops it when its process dies, and a forked child does
not inherit it. Two properties of such locks are met here: they don't conflict within one process,
so `_held` knows what this process holds; and closing *any* descriptor of the file drops the lock,
so a process never opens a file whose lock it holds a second time.
"""

from __future__ import annotations

import os
import sys
import threading
import time

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 30  # far behind the text, which others must be able to read

    def _lock(descriptor: int, *, shared: bool) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int, *, shared: bool) -> bool:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True


_guard = threading.Lock()
_held: dict[str, FileLock] = {}


def _forget_what_the_parent_held() -> None:
    global _guard
    _guard = threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_what_the_parent_held)


class FileLock:
    """The lock of one file, whose text says in words for people who holds it."""

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self._text = ""
        self._descriptor = -1

    def acquire(self, text: str) -> bool:
        """Take the lock, without waiting; False if somebody else has it."""
        for _ in range(10):
            with _guard:
                if self.path in _held:
                    return False
                if self._take(text):
                    _held[self.path] = self
                    return True
            time.sleep(0.002)  # what was in the way may be a `holder` that looked just then
        return False

    def _take(self, text: str) -> bool:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | _CLOEXEC, 0o644)
        try:
            if not _lock(descriptor, shared=False):
                os.close(descriptor)
                return False
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, text.encode())
        except OSError:
            os.close(descriptor)
            raise
        self._text, self._descriptor = text, descriptor
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens if this object doesn't hold it (any more)."""
        with _guard:
            if _held.get(self.path) is not self:
                return
            del _held[self.path]
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)

    def holder(self) -> str | None:
        """The text of whoever holds the lock now, None if nobody does."""
        with _guard:
            mine = _held.get(self.path)
            return mine._text if mine is not None else self._read()

    def _read(self) -> str | None:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | _CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if _lock(descriptor, shared=True):
                return None
            os.lseek(descriptor, 0, os.SEEK_SET)
            text = os.read(descriptor, 4096).decode(errors="replace")
            return text or "a process that is starting or stopping"
        finally:
            os.close(descriptor)


_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
