"""STAND-IN until the real one lands."""


def parse_duration(text: str) -> float:
    return float(text.rstrip("s"))


def parse_until(text: str) -> int:
    raise ValueError(text)
