"""What `${...}` comes to."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto.graph.expressions import DEPTH, MISSING, TEXT, ExpressionError, evaluate
from tenuto.graph.json_path.evaluation import VISITS
from tenuto.graph.templates import NESTING


class Names:
    """A scope that also tells what was asked for."""

    def __init__(self, roots: dict[str, Any]) -> None:
        self._roots = roots
        self.asked: list[str] = []

    def root(self, name: str) -> Any:
        self.asked.append(name)
        return self._roots.get(name, MISSING)


ITEMS = [{"id": "a", "n": 1, "tags": ["x", "y"]}, {"id": "b", "n": 5, "tags": []}, {"id": "c", "n": None}]
SCOPE = {
    "workflow": {
        "input": {
            "text": "hello",
            "number": 3,
            "fraction": 2.5,
            "yes": True,
            "nothing": None,
            "list": [1, 2, 3, 4],
            "object": {"a": {"b": [10, 20]}},
            "key": "text",
            "a b": "blank",
            "quote": "it's",
            "template": "${workflow.input.text}",
            "names": {"it's": 7},
        },
        "variables": {"limit": 2},
    },
    "fetch": {"output": {"items": ITEMS, "nested": {"id": "d", "deep": [{"id": "e"}]}}, "status": "COMPLETED"},
    "my-ref": {"output": {"x": 1}},
    "my ref": {"output": {"x": 2}},
}


def value(template: Any) -> Any:
    return evaluate(template, Names(SCOPE))


@pytest.mark.parametrize("name", ["text", "number", "fraction", "yes", "nothing", "list", "object"])
def test_a_whole_expression_keeps_the_type(name: str) -> None:
    found = value("${workflow.input." + name + "}")
    assert found == SCOPE["workflow"]["input"][name]
    assert type(found) is type(SCOPE["workflow"]["input"][name])


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("<${workflow.input.text}>", "<hello>"),
        ("${workflow.input.text}${workflow.input.number}", "hello3"),
        (" ${workflow.input.yes}", " true"),
        ("n=${workflow.input.nothing}", "n=null"),
        ("m=${workflow.input.missing}", "m=null"),
        ("l=${workflow.input.list} o=${workflow.input.object}", 'l=[1,2,3,4] o={"a":{"b":[10,20]}}'),
        ("f=${workflow.input.fraction}", "f=2.5"),
        ("plain", "plain"),
        ("$ {x} $x }", "$ {x} $x }"),
        ("", ""),
    ],
)
def test_within_a_text_values_become_text(template: str, expected: str) -> None:
    assert value(template) == expected


@pytest.mark.parametrize(
    "template", ["${nobody.output.x}", "${workflow.input.a.b.c}", "${workflow.input.list[9]}", "${fetch.output[0]}"]
)
def test_what_is_missing_is_null(template: str) -> None:
    assert value(template) is None


@pytest.mark.parametrize("template", ["${}", "${  }", "${\t}"])
def test_blanks_are_the_empty_text(template: str) -> None:
    assert value(template) == ""
    assert value(f"a{template}b") == "ab"


def test_the_escape() -> None:
    assert value("$${workflow.input.text}") == "${workflow.input.text}"
    assert value("a $${x} ${workflow.input.text} $${y}") == "a ${x} hello ${y}"
    assert value("$$${x}") == "$${x}"


def test_values_are_not_expanded_again() -> None:
    assert value("${workflow.input.template}") == "${workflow.input.text}"
    assert value("x ${workflow.input.template}") == "x ${workflow.input.text}"


def test_templates_are_walked_and_keys_left_alone() -> None:
    template = {"${workflow.input.text}": ["${workflow.input.number}", {"deep": "${workflow.input.text}!"}], "n": None}
    assert value(template) == {"${workflow.input.text}": [3, {"deep": "hello!"}], "n": None}


def test_expressions_in_expressions() -> None:
    assert value("${workflow.input.${workflow.input.key}}") == "hello"
    assert value("${fetch.output.items[?(@.id == '${fetch.output.nested.id}')].n}") == []
    assert value("${fetch.output.items[${workflow.variables.limit}].id}") == "c"


def test_a_value_within_quotes_can_not_change_the_path() -> None:
    assert value("${workflow.input.names['${workflow.input.quote}']}") == 7


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("workflow.input.object.a.b[0]", 10),
        ("workflow.input.object.a.b[-1]", 20),
        ("workflow['input']['a b']", "blank"),
        (" workflow.input.text ", "hello"),
        ("$.workflow.input.text", "hello"),
        ("my-ref.output.x", 1),
        ("['my ref'].output.x", 2),
        ("fetch.output.items[*].id", ["a", "b", "c"]),
        ("fetch.output.items[*].n", [1, 5, None]),
        ("fetch.output.items.*.id", ["a", "b", "c"]),
        ("fetch.output..id", ["d", "e", "a", "b", "c"]),
        ("fetch.output.nested..id", ["d", "e"]),
        ("workflow.input.list[1:3]", [2, 3]),
        ("workflow.input.list[-2:]", [3, 4]),
        ("workflow.input.list[:1]", [1]),
        ("workflow.input.list[0,3,9]", [1, 4]),
        ("workflow.input['text','number','zz']", {"text": "hello", "number": 3}),
        ("workflow.input.list.length()", 4),
        ("workflow.input.object.length()", 1),
        ("workflow.input.list.sum()", 10),
        ("workflow.input.list.max()", 4),
        ("workflow.input.list.min()", 1),
        ("workflow.input.list.avg()", 2.5),
        ("workflow.input.list.first()", 1),
        ("workflow.input.list.last()", 4),
        ("workflow.input.object.keys()", ["a"]),
        ("workflow.input.text.sum()", None),
    ],
)
def test_paths(path: str, expected: Any) -> None:
    found = value("${" + path + "}")
    if ".." in path:  # the order of what is found on different levels is not promised
        found, expected = sorted(found), sorted(expected)
    assert found == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("@.n > 1", ["b"]),
        ("@.n >= 1", ["a", "b"]),
        ("@.n == 5", ["b"]),
        ("@.n == '5'", ["b"]),
        ("@.n === '5'", []),
        ("@.n != 5", ["a", "c"]),
        ("@.n == null", ["c"]),
        ("@.missing == null", []),
        ("@.tags", ["a", "b"]),
        ("!@.tags", ["c"]),
        ("@.id == 'a' || @.id == \"c\"", ["a", "c"]),
        ("@.n && @.id != 'c' && !(@.n < 5)", ["b"]),
        ("@.id in ['a', 'c']", ["a", "c"]),
        ("@.id nin ['a', 'c']", ["b"]),
        ("@.tags contains 'x'", ["a"]),
        ("@.id contains 'b'", ["b"]),
        ("@.tags subsetof ['x', 'y', 'z']", ["a", "b"]),
        ("@.tags anyof ['x']", ["a"]),
        ("@.tags noneof ['x']", ["b"]),
        ("@.tags all ['x', 'y']", ["a"]),
        ("@.tags size 2", ["a"]),
        ("@.tags empty true", ["b"]),
        ("@.tags.length() == 2", ["a"]),
        ("@.tags[0] == 'x'", ["a"]),
        ("@.n > $.workflow.variables.limit", ["b"]),
        ("@['id'] > 'a'", ["b", "c"]),
    ],
)
def test_filters(condition: str, expected: list[str]) -> None:
    assert value("${fetch.output.items[?(" + condition + ")].id}") == expected
    assert value("${fetch.output.items[?" + condition + "].id}") == expected


def test_a_filter_on_an_object_tests_the_object() -> None:
    assert value("${fetch.output.nested[?(@.id == 'd')].id}") == ["d"]
    assert value("${fetch.output.nested[?(@.id == 'x')].id}") == []


@pytest.mark.parametrize("text", ["${workflow.input.a b}", "${[}", "${workflow.input[}", "${fn(x)}", "${a..}", "${*}"])
def test_what_is_no_path_is_null(text: str) -> None:
    assert value(text) is None


def test_an_expression_without_its_end_is_text() -> None:
    assert value("${workflow.input.text") == "${workflow.input.text"
    assert value("a ${ b ${workflow.input.text} c") == "a ${ b hello c"


def test_only_what_is_named_is_asked_for() -> None:
    scope = Names(SCOPE)
    evaluate({"a": "${fetch.status}", "b": "text"}, scope)
    assert scope.asked == ["fetch"]


def test_too_deep_nesting_is_an_error() -> None:
    nested = "${a." * (NESTING + 1) + "x" + "}" * (NESTING + 1)
    with pytest.raises(ExpressionError, match="nested 10 deep"):
        value(nested)


def test_too_deep_templates_are_an_error() -> None:
    template: Any = "x"
    for _ in range(DEPTH + 1):
        template = [template]
    with pytest.raises(ExpressionError, match="nested 100 deep"):
        value(template)


def test_values_that_are_nested_too_deep_for_a_text_are_an_error() -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    scope = Names({"a": deep})
    assert evaluate("${a}", scope) is deep
    with pytest.raises(ExpressionError, match="nested too deep"):
        evaluate("text ${a}", scope)


def test_texts_have_an_end() -> None:
    scope = Names({"workflow": {"input": {"big": "x" * (TEXT // 2)}}})
    with pytest.raises(ExpressionError, match="characters"):
        evaluate(["a${workflow.input.big}", "b${workflow.input.big}"], scope)


@pytest.mark.parametrize(
    "path",
    [
        "deep..*..*..*..*",
        "big[?(@ in $.big)]",
        "big[?($.big == $.big)]",
        "big[?(@ == $.big.max())]",
        "big[*][?($.big contains @)]",
    ],
)
def test_the_work_of_paths_has_an_end(path: str) -> None:
    deep: list[Any] = []
    for _ in range(90):
        deep = [deep]
    scope = Names({"big": [[0] for _ in range(VISITS // 100)], "deep": deep})
    with pytest.raises(ExpressionError, match="values"):
        evaluate("${" + path + "}", scope)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_any_value_comes_through_whole(data: Any) -> None:
    assert evaluate("${workflow.input}", Names({"workflow": {"input": data}})) == data


@given(JSON)
def test_a_template_without_expressions_is_its_own_value(data: Any) -> None:
    def escaped(item: Any) -> Any:
        if isinstance(item, str):
            return item.replace("${", "$${")
        if isinstance(item, dict):
            return {key: escaped(each) for key, each in item.items()}
        return [escaped(each) for each in item] if isinstance(item, list) else item

    assert evaluate(escaped(data), Names({})) == data


@given(st.text())
def test_any_key_can_be_named(key: str) -> None:
    quoted = key.replace("\\", "\\\\").replace("'", "\\'")
    scope = Names({"workflow": {"input": {key: 1}, "key": key}})
    if "${" not in key:
        assert evaluate(f"${{workflow.input['{quoted}']}}", scope) == 1
    assert evaluate("${workflow.input['${workflow.key}']}", scope) == 1


@given(st.text(alphabet="${}[]()?@.*'\"\\ ab1,:=<>!&|", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(ExpressionError):
        evaluate(text, Names({"a": {"b": [1, {"a": 2}]}}))
