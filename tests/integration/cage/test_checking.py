"""Syntax is checked without running anything."""

import pytest

from tenuto.cage.cage import Cage, ScriptError
from tenuto.cage.checking import check_javascript, check_jq

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "script",
    [
        "if ($.x > 1) { true; } else { false; }",
        "for (;;);",
        "(function () { throw 1 })()",
        "const $ = 1; $",
        "null.x",
        "",
    ],
)
async def test_script_that_parses_is_accepted_and_not_run(cage: Cage, script: str) -> None:
    await check_javascript(cage, script)


@pytest.mark.parametrize("script", ["1 +", "return 1", "} for (;;); {", "a b", "let a; let a"])
async def test_script_that_does_not_parse_is_refused(cage: Cage, script: str) -> None:
    with pytest.raises(ScriptError, match="SyntaxError: "):
        await check_javascript(cage, script)


async def test_function_bodies(cage: Cage) -> None:
    await check_javascript(cage, "for (;;); return 1 // never", body=True)
    for script in ["return (", "} for (;;); {", "return 1; }"]:
        with pytest.raises(ScriptError, match="SyntaxError: "):
            await check_javascript(cage, script, body=True)


async def test_jq_programs(cage: Cage) -> None:
    await check_jq(cage, "def f: f; f")
    await check_jq(cage, '.a | error("never raised")')
    for program in [".[", "nothing_like_it", ""]:
        with pytest.raises(ScriptError, match="jq: error"):
            await check_jq(cage, program)
