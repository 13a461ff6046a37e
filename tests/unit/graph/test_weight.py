"""How large values are said to be."""

from __future__ import annotations

import pytest

from tenuto.graph.weight import VALUE, TooLarge, weigh
from tenuto.model.json_values import DEPTH, Json, encode_json


@pytest.mark.parametrize(
    "value",
    [{}, [], "text" * 50, 1, None, {"a": 1}, {"name": "x" * 100, "list": ["abc"] * 100, "deep": {"er": [{"x": "y"}]}}],
)
def test_it_is_about_the_size_of_the_json(value: Json) -> None:
    size = len(encode_json(value))
    assert size / 2 - 8 <= weigh(value) <= size * 2 + 8


def test_what_is_shared_counts_every_time_it_is_named() -> None:
    value: Json = {"text": "x" * 100}
    for _ in range(10):
        value = {"left": value, "right": value}
    assert weigh(value) > 100 * 2**10


def test_too_large_is_found_without_looking_at_everything() -> None:
    value: Json = "x"
    for _ in range(150):
        value = [value, value]
    with pytest.raises(TooLarge, match=f"more than {VALUE:,} bytes"):
        weigh(value)


def test_too_deep() -> None:
    value: Json = 1
    for _ in range(DEPTH):
        value = [value]
    weigh(value)
    with pytest.raises(TooLarge, match="nested more than 200 deep"):
        weigh([value])
