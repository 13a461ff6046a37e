"""What a helper process gives up before it runs anything: files, sockets, environment, the terminal, memory.

A script should reach none of these from its language; this holds where a language has a hole (jq's `import` reads
files).
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from tenuto.cage.limits import CageLimits

if sys.platform != "win32":
    import resource

#: Seconds of CPU that a script gets beyond its limit before the kernel ends the process. The cage ends it earlier;
#: this is for helpers whose parent is gone.
CPU_GRACE = 2


def confine(limits: CageLimits) -> None:
    """Give everything up. No module can be imported afterwards."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the terminal's owner, not for us
    os.environ.clear()
    os.environ["TZ"] = "UTC"
    if sys.platform == "win32":
        return
    time.tzset()
    os.chdir("/")
    _close_inherited()
    _silence_stderr()
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    if (size := _address_space()) is not None:
        _lower(resource.RLIMIT_AS, size + limits.process_memory)
    # Last, because it also ends opening files here. What is open stays open.
    _lower(resource.RLIMIT_NOFILE, 0)


def allow_cpu(seconds: float) -> None:
    """Have the kernel end this process if it computes for much longer than `seconds` from now on."""
    if sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = math.ceil(time.process_time() + seconds) + CPU_GRACE
        if hard == resource.RLIM_INFINITY or soft < hard:
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _close_inherited() -> None:
    """Close what the parent had open: uvloop leaves some of it to its children."""
    for descriptor in [int(name) for name in os.listdir("/dev/fd")]:
        if descriptor > 2:
            with suppress(OSError):  # the one that the list was read from
                os.close(descriptor)


def _silence_stderr() -> None:
    """jq prints there what scripts say."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _address_space() -> int | None:
    """Bytes of address space in use; None where nobody tells."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if sys.platform != "win32":

    def _lower(kind: int, value: int) -> None:
        _, hard = resource.getrlimit(kind)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))
