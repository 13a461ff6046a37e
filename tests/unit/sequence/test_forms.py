"""JSON, mermaid and text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenuto.sequence import Node, Sequence, _, decision, node, parallel


@node
def add(x: int) -> int:
    return x + 1


@node("twice")
def double(x: int) -> int:
    return x * 2


class Negate(Node):
    def execute(self, x: int) -> int:
        return -x


def test_json_can_be_read_back() -> None:
    inner = Sequence(add >> Negate(), name="inner")
    workflow = Sequence(
        add >> double.alias("doubled") >> inner, parallel(add, double, max_concurrent=1), name="w", max_steps=50
    )
    form = json.loads(workflow.to_json())
    assert (form["name"], form["type"], form["metadata"]["version"]) == ("w", "sequence", "1.0")
    assert form["nodes"][0] == {"name": "add", "type": "node", "import": f"{__name__}:add"}
    assert form["connections"][0] == {"from": "add", "to": "doubled"}
    again = Sequence.from_json(workflow.to_json())
    assert again.execute(1) == workflow.execute(1) == {"add": -4, "twice": -10}
    assert (again.name, again.max_steps, again.stages[0]) == ("w", 50, add)
    assert again.stages[3].max_concurrent == 1  # type: ignore[attr-defined]


def test_what_cant_be_read_back_is_told() -> None:
    local = node("local")(lambda x: x)
    with pytest.raises(ValueError, match="'local' can't be found again"):
        Sequence.from_json(Sequence(local).to_json())
    with pytest.raises(ValueError, match="conditions are code"):
        Sequence.from_json(Sequence(add >> decision(1 >> add, _ >> double)).to_json())
    with pytest.raises(ValueError, match="is no node any more"):
        Sequence.from_json(Sequence(add).to_json().replace(":add", ":json"))


def everything() -> Sequence:
    choice = decision("back" >> add, (lambda x: x > 3) >> double, _ >> Sequence(double, name="inner"), name="choice")
    return Sequence(add >> parallel(double, add >> double) >> choice >> double.alias('say "end"'), name="all")


def test_text() -> None:
    assert everything().get_schema("text") == 'all\n  add\n  parallel\n  choice\n  say "end"'
    assert everything().get_schema("text", mode="full") == (
        "all\n  add\n  parallel\n    branch 1:\n      twice\n    branch 2:\n      add\n      twice\n"
        "  choice\n    'back':\n      add\n    <lambda>:\n      twice\n    otherwise:\n      inner\n        twice\n"
        '  say "end"'
    )


def test_mermaid() -> None:
    assert everything().get_schema() == (
        'flowchart TD\n    n1["add"]\n    n2[["parallel"]]\n    n1 --> n2\n    n3{"choice"}\n    n2 --> n3\n'
        '    n4["say #quot;end#quot;"]\n    n3 --> n4'
    )
    full = everything().get_schema("mermaid", mode="full")
    assert full.splitlines()[6:] == [
        '    n4["add"]',
        "    n2 --> n4",
        '    n5["twice"]',
        "    n4 --> n5",
        '    n6{"choice"}',
        "    n3 --> n6",
        "    n5 --> n6",
        """    n6 -->|"'back'"| n1""",
        '    n7["twice"]',
        '    n6 -->|"<lambda>"| n7',
        '    n8[/"inner"/]',
        '    n6 -->|"otherwise"| n8',
        '    n9["twice"]',
        "    n8 --> n9",
        '    n10["say #quot;end#quot;"]',
        "    n7 --> n10",
        "    n9 --> n10",
    ]


def test_json_schema_and_wrong_formats() -> None:
    assert json.loads(everything().get_schema("json"))["name"] == "all"
    for arguments in (("svg",), ("text", "all")):
        with pytest.raises(ValueError, match="schema"):
            everything().get_schema(*arguments)


def test_schemas_dont_change_what_they_show() -> None:
    workflow: Any = everything()
    assert workflow.get_schema("mermaid", "full") == workflow.get_schema("mermaid", "full")
