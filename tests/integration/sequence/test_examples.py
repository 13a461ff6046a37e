"""The examples of sequences run, and say what they should."""

from __future__ import annotations

import importlib
import re

import pytest

EXPECTED = {
    "etl": ["sales: 19.75 in all, 1 line dropped", "flowchart TD", '    n1["extract"]'],
    "fan_out": [
        "{'name': 'Ada', 'orders': 2, 'greeting': 'Hello Ada', 'visits': 7}",
        re.compile(r"three times 0\.1 s took \d+\.\d s"),
    ],
    "map_reduce": ["[('the', 4), ('is', 2)]", "[]"],
    "retry": [
        "attempt 1: the exchange is out of reach",
        "attempt 2: the exchange is out of reach",
        "100 are 109.00",
        "attempt 1: 'eur' is no currency",
        "'eur' is no currency; in workflow 'exchange': node 'fetch_rate', position 1 of 2, attempt 1 of 5",
    ],
    "circuit_breaker": [
        "Lisbon: Today: sun over Lisbon. (1 calls)",
        "Atlantis: Today: no forecast. (2 calls)",
        "Atlantis: Today: no forecast. (3 calls)",
        "Atlantis: Today: no forecast. (4 calls)",
        "Lisbon: Today: no forecast. (4 calls)",
        "Lisbon: Today: sun over Lisbon. (5 calls)",
    ],
    "saga": [
        "1: parcel-1",
        "2: failed, the card was declined",
        "3: failed, there is no address",
        "1: piano reserved",
        "1: charged",
        "1: shipped",
        "2: violin reserved",
        "2: r-2 released",
        "3: harp reserved",
        "3: charged",
        "3: p-3 refunded",
        "3: r-3 released",
    ],
    "fallback": [
        "You may like: a book for 7",
        "You may like: a book for 7",
        "You may like: our best sellers",
        "2 questions asked",
        "success rate 100%",
    ],
    "monitoring": [
        "3: 3",
        "warning: crunch took too long",
        "9: 36",
        "fetch failed: a size is not negative",
        "-1: a size is not negative",
        "5 nodes, 80% of them well",
        "1 alert",
    ],
    "registration": [
        "101: grace",
        "102: ada2",
        "'nobody' is no address",
        "to grace@example.org: welcome, grace",
        "to ada@example.org: welcome, ada2",
    ],
    "log_pipeline": [
        "monday.log: True",
        "sunday.log: True",
        "3 records, 2 urgent, 1 bad lines",
        "logs",
        "  parsing",
        "    read",
    ],
}


def test_the_lesson_of_a_crash(capfd: pytest.CaptureFixture[str]) -> None:
    importlib.import_module("examples.sequence_durable").main()
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "a first process:"
    assert set(lines[1:5]) == {
        "    fetching the user",
        "    fetching the orders",
        "    counting the visits",
        "    ... and the power fails",
    }
    result = "{'name': 'Ada', 'visits': 7, 'asked': 2}"
    assert lines[5:] == [
        "this process goes on:",
        "    putting it together",
        result,
        "once more, from the record:",
        result,
    ]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_lesson_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    importlib.import_module(f"examples.sequence_{name}").main()
    lines = capsys.readouterr().out.splitlines()
    for line, expected in zip(lines, EXPECTED[name], strict=False):
        assert re.fullmatch(expected, line) if isinstance(expected, re.Pattern) else line == expected
    assert len(lines) >= len(EXPECTED[name])
