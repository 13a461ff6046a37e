"""What one script may use."""

from __future__ import annotations

import msgspec

MIB = 1024 * 1024


class CageLimits(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float = 4.0
    """How long a script may run; what it waits for a free helper process doesn't count."""

    memory: int = 64 * MIB
    """Bytes of heap that JavaScript may use."""

    stack: int = MIB
    """Bytes of stack that JavaScript may use."""

    process_memory: int = 512 * MIB
    """Bytes of address space that a helper process may take while it works, above what it takes idle. Linux only."""

    script_size: int = 64 * 1024
    """Bytes of a script, as UTF-8."""

    input_size: int = 4 * MIB
    """Bytes of a script's input, as JSON."""

    result_size: int = 4 * MIB
    """Bytes of a script's result, as JSON."""

    backlog: int = 10_000
    """Scripts that may wait for a free helper process."""
