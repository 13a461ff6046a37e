"""The absence of a value, which is not the same as null."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Missing(Enum):
    MISSING = "missing"


MISSING: Final = Missing.MISSING
