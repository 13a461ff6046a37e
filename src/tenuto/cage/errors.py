"""What can go wrong with a script.

ScriptError              the script's own fault: its syntax, what it threw, a value that is no JSON
├── ScriptTimeout        it ran into the time limit
└── ScriptLimit          it ran into another limit: memory, stack, size, scripts that wait
CageUnavailable          not the script's fault: no helper process could run it; worth trying again
"""

from __future__ import annotations


class ScriptError(Exception):
    """The script is at fault, and would be the next time too. The message is meant for its author."""


class ScriptTimeout(ScriptError):
    """The script ran into the time limit."""


class ScriptLimit(ScriptError):
    """The script ran into the limit of memory, stack or size, or too many scripts wait already."""


class CageUnavailable(Exception):
    """The cage is closed, or its helper processes can't be started."""
