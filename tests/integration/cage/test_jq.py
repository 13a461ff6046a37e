"""What jq programs in workflow definitions can rely on."""

from pathlib import Path

import pytest

from tenuto.cage.cage import Cage, ScriptError
from tenuto.model.json_values import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("program", "value", "results"),
    [
        (".", {"a": [1, "é😀\x00", None, True]}, [{"a": [1, "é😀\x00", None, True]}]),
        (".a, .b", {"a": 1}, [1, None]),
        ("empty", 1, []),
        ("[.[] | select(. > 1)] | length # how many", [1, 2, 3], [2]),
        ("def twice: . * 2; map(twice)", [1.5, 2], [[3, 4]]),
        (". as $all | $all[0]", [7], [7]),
        ("label $out | 1, break $out, 2", None, [1]),
        (".id", {"id": 1234567890123456789}, [1234567890123456789]),
        ("{id}", {"id": 2**64 - 1}, [{"id": 2**64 - 1}]),
        ("[nan, -0, 0.1 + 0.2]", None, [[None, 0, 0.30000000000000004]]),
        ('try error("x") catch .', None, ["x"]),
    ],
)
async def test_all_results_come_back(cage: Cage, program: str, value: Json, results: list[Json]) -> None:
    assert await cage.jq(program, value) == results


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (".a.b", 'Cannot index number with string ("b")'),
        ('error("no stock")', "no stock"),
        (".a |", "syntax error"),
        ("nothing_like_it", "nothing_like_it/0 is not defined at <top-level>, line 1, column 1"),
        ("1, halt_error, 2", '{"a": 1}'),
        ("1, halt", "halt can not be used here"),
        ("1e1000", "out of range"),
    ],
)
async def test_error_is_that_of_jq(cage: Cage, program: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        await cage.jq(program, {"a": 1})
    assert message in str(caught.value)


async def test_files_are_out_of_reach(cage: Cage, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"password": "tenuto"}')
    with pytest.raises(ScriptError, match="Could not open"):
        await cage.jq(f'import "secret" as $secret {{search: "{tmp_path}"}}; $secret', None)


async def test_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "tenuto")
    async with Cage() as cage:
        assert await cage.jq("env, $ENV", None) == [{"TZ": "UTC"}, {"TZ": "UTC"}]
