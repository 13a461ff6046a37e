"""Where secrets end up, and where not."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.graph.expressions import MISSING, evaluate
from tenuto.graph.secrets import names_secrets, resolve_secrets

SECRETS = {"KEY": "s3cret", "OTHER": "0ther", "JSON": '{"user": "bob", "ports": [1, 2]}', "BAD": "{"}


class Names:
    def __init__(self, given: Any) -> None:
        self._workflow = {"input": given, "secrets": {"KEY": "leaked"}}

    def root(self, name: str) -> Any:
        return self._workflow if name == "workflow" else MISSING


def stored(template: Any, given: Any = None) -> Any:
    return evaluate(template, Names(given))


def handed_out(template: Any, given: Any = None) -> Any:
    return resolve_secrets(stored(template, given), SECRETS.get, template)


@pytest.mark.parametrize(
    "template", ["${workflow.secrets.KEY}", "Bearer ${workflow.secrets.KEY}!", "${workflow['secrets'].KEY}"]
)
def test_what_is_stored_has_only_the_name(template: str) -> None:
    assert stored({"a": [template]}) == {"a": [template]}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${workflow.secrets.KEY}", "s3cret"),
        ("Bearer ${workflow.secrets.KEY}!", "Bearer s3cret!"),
        ("${workflow.secrets.NONE}", None),
        ("<${workflow.secrets.NONE}>", "<>"),
        ("${workflow.secrets.JSON}", '{"user": "bob", "ports": [1, 2]}'),
        ("${workflow.secrets.JSON.user}", "bob"),
        ("${workflow.secrets.JSON.ports}", [1, 2]),
        ("${workflow.secrets.JSON.ports[-1]}", 2),
        ("${workflow.secrets.JSON.ports.length()}", 2),
        ("p=${workflow.secrets.JSON.ports}", "p=[1,2]"),
        ("${workflow.secrets.JSON.none}", None),
        ("${workflow.secrets.BAD.user}", None),
        ("${workflow.secrets}", None),
        ("${workflow.secrets.KEY} $${x} ${workflow.input.a}", "s3cret ${x} 1"),
    ],
)
def test_what_is_handed_out(template: str, expected: Any) -> None:
    assert handed_out({"x": template}, {"a": 1}) == {"x": expected}


def test_which_secret_may_come_from_data() -> None:
    template = {"x": "${workflow.secrets.${workflow.input.tenant}}"}
    assert stored(template, {"tenant": "OTHER"}) == {"x": "${workflow.secrets.OTHER}"}
    assert handed_out(template, {"tenant": "OTHER"}) == {"x": "0ther"}


ATTACK = "${workflow.secrets.OTHER}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${workflow.input.data}", ATTACK),
        ("text ${workflow.input.data}", f"text {ATTACK}"),
        ("${workflow.secrets.KEY} ${workflow.input.data}", f"s3cret {ATTACK}"),
        ("${workflow.${workflow.input.part}}", None),
        ("${workflow.input.${workflow.secrets.KEY}}", None),
    ],
)
def test_data_never_becomes_a_secret(template: str, expected: Any) -> None:
    assert handed_out({"x": template}, {"data": ATTACK, "part": "secrets.OTHER"}) == {"x": expected}


def test_data_in_the_place_of_a_template_does_not_choose_the_secret() -> None:
    template = {"x": "${workflow.secrets.KEY}", "y": ["${workflow.secrets.KEY}"]}
    given = {"x": ATTACK, "y": [ATTACK, ATTACK], "z": ATTACK}
    assert resolve_secrets(given, SECRETS.get, template) == given


def test_without_a_template_every_secret_is_put_in() -> None:
    assert resolve_secrets({"x": [ATTACK]}, SECRETS.get) == {"x": ["0ther"]}


def test_a_hostile_text_is_left_as_it_is() -> None:
    nested = "${a" * 50
    assert resolve_secrets({"x": nested}, SECRETS.get) == {"x": nested}


def test_whether_a_template_names_secrets() -> None:
    assert names_secrets({"a": ["x ${workflow.secrets.KEY}"]})
    assert not names_secrets({"a": ["$${workflow.secrets.KEY}", "${workflow.input.secrets}", 1]})
