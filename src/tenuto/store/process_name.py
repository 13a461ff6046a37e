"""This process, in words for people: for leases, lock files and error messages."""

from __future__ import annotations

import os
import re
import socket
import sys

_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@]*@|(\bpassword=)[^\s&]+", re.IGNORECASE)


def process_name() -> str:
    """Its id, its machine and its command, without the passwords of URLs."""
    command = " ".join(" ".join(sys.orig_argv).split())
    return f"pid {os.getpid()} on {socket.gethostname()} ({without_passwords(command)[:200]})"


def without_passwords(text: str) -> str:
    """`text` with the passwords of the URLs in it masked."""
    return _PASSWORD.sub(lambda match: f"{match[1]}:***@" if match[1] is not None else f"{match[2]}***", text)
