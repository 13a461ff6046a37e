"""What JavaScript in workflow definitions can rely on."""

import pytest

from tenuto.cage.cage import Cage, ScriptError
from tenuto.model.json_values import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

INPUT = {"x": 2, "list": [1, "é😀", {"get": 3}], "nested": {"a": {"b": None}}}


@pytest.mark.parametrize(
    ("script", "value"),
    [
        ("1 + 1", 2),
        ("(function () { return $.x * 2; })()", 4),
        ("(() => $.nested?.a?.b ?? 'none')()", "none"),
        ("if ( $.x > 1 ) { true; } else { false; }", True),
        ("if ($.x > 2) { 'much' } else if ($.x > 1) { 'some' }", "some"),
        ("let a = $.x; const b = 3; a + b", 5),
        ("for (const i of [1, 2, 3]) i", 3),
        ("$", INPUT),
        ("$.list.get(1)", "é😀"),
        ("$.list.size() + $.list.length", 6),
        ("$.list.map(item => item.get ? typeof item.get : null)", [None, None, "number"]),
        ("const seen = []; for (const i in $.list) seen.push(i); seen", ["0", "1", "2"]),
        ("[Object.keys($.list), JSON.stringify([])]", [["0", "1", "2"], "[]"]),
        ("$.x = 5; $", INPUT | {"x": 5}),
        ("console.log('x'); console.error('y')", None),
        ("new Date(0).getHours()", 0),
        ("eval('1+2')", 3),
    ],
)
async def test_value_of_a_script_is_its_completion_value(cage: Cage, script: str, value: Json) -> None:
    assert await cage.javascript(script, INPUT) == value


@pytest.mark.parametrize(
    ("script", "json"),
    [
        ("undefined", "None"),
        ("", "None"),
        ("null", "None"),
        ("4 / 2", "2"),
        ("0.5", "0.5"),
        ("-0", "0"),
        ("2 ** 53", "9007199254740992"),
        ("1e21", "1e+21"),
        ("[NaN, Infinity, undefined, () => 1]", "[None, None, None, None]"),
        ("({a: undefined, b: () => 1, c: NaN})", "{'c': None}"),
        ("10n", "10"),
        ("[9007199254740993n]", "[9007199254740993]"),
        ("10n ** 30n", "1e+30"),
        ("new Date(0)", "'1970-01-01T00:00:00.000Z'"),
        (r"'a\u0000b'", r"'a\x00b'"),
        (r"'\\ud83d'", r"'\\ud83d'"),
    ],
)
async def test_value_comes_back_as_json(cage: Cage, script: str, json: str) -> None:
    assert repr(await cage.javascript(script, {})) == json


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("\n\nnull.x", "TypeError: cannot read property 'x' of null (line 3)"),
        ("function f() {\n  throw new Error('no stock')\n}\nf()", "Error: no stock (line 2)"),
        ("throw {code: 7}", 'thrown: {"code":7}'),
        ("throw 'late'", "thrown: late"),
        ("1 +", "SyntaxError: "),
        ("let a = 1;\nlet b = (;", "(line 2)"),
        ("return 1", "SyntaxError: return not in a function"),
        ("function f() { return 1 }; f", "the script's value is a function; call it"),
        ("(async () => 1)()", "the script's value is a promise; scripts can't wait"),
        ("Symbol('a')", "the script's value is a symbol"),
        ("const a = {}; a.a = a; a", "the script's value can't be written as JSON: TypeError: circular reference"),
        (r"'😀'.slice(0, 1)", "half of a surrogate pair"),
        (r"throw new Error('\ud83d')", "Error: \ufffd (line 1)"),
        ("require('fs')", "ReferenceError: require is not defined"),
        ("fetch('http://127.0.0.1')", "ReferenceError: fetch is not defined"),
        ("process.env", "ReferenceError: process is not defined"),
    ],
)
async def test_error_says_what_is_wrong_and_in_which_line(cage: Cage, script: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        await cage.javascript(script, {})
    assert message in str(caught.value)


async def test_body_is_the_inside_of_a_function(cage: Cage) -> None:
    assert (
        await cage.javascript("if ($.x > 1) { return 'many' }\nreturn 'few' // the rest", {"x": 2}, body=True) == "many"
    )
    assert await cage.javascript("$.x", {"x": 2}, body=True) is None
    with pytest.raises(ScriptError, match=r"line 2"):
        await cage.javascript("let a = 1\nreturn a.b.c", {}, body=True)


async def test_nothing_passes_from_one_script_to_the_next(cage: Cage) -> None:
    await cage.javascript("globalThis.left = 1; Array.prototype.get = null; var a = JSON.stringify = () => '1'", {})
    for _ in range(3):  # on whichever helper
        assert await cage.javascript("[typeof left, typeof a, $.get(0)]", [5]) == ["undefined", "undefined", 5]
