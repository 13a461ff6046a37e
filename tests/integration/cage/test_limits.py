"""Each limit really ends a script, and the next one runs as if nothing had been."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tenuto.cage.cage import Cage, CageLimits, ScriptError, ScriptLimit, ScriptTimeout

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty() -> AsyncIterator[Cage]:
    async with Cage(limits=CageLimits(seconds=0.2)) as cage:
        yield cage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient() -> AsyncIterator[Cage]:
    """Time is never what ends a script here."""
    limits = CageLimits(seconds=60, memory=16 * MIB, process_memory=96 * MIB, result_size=100_000, input_size=1_000_000)
    async with Cage(limits=limits) as cage:
        yield cage


@pytest.mark.parametrize(
    "script",
    [
        "for (;;);",
        "for (;;) { try { for (;;); } catch (e) {} finally { continue } }",
        "/(a+)+b/.test('a'.repeat(50))",
        "({ toJSON() { for (;;); } })",
        "throw { toJSON() { for (;;); } }",
        "[3, 1, 2].sort(() => { for (;;); })",
    ],
)
async def test_time_of_javascript(hasty: Cage, script: str) -> None:
    with pytest.raises(ScriptTimeout, match=r"the script ran longer than 0\.2 s"):
        await hasty.javascript(script, {})
    assert await hasty.javascript("1", {}) == 1


@pytest.mark.parametrize("program", ["def f: f; f", "repeat(1) | empty", "range(infinite) | select(. < 0)"])
async def test_time_of_jq(hasty: Cage, program: str) -> None:
    with pytest.raises(ScriptTimeout):
        await hasty.jq(program, None)
    assert await hasty.jq("1", None) == [1]


@pytest.mark.parametrize(
    "script",
    [
        "const all = []; for (;;) all.push('x'.repeat(100000) + all.length)",
        "const all = []; for (;;) { try { for (;;) all.push(new Uint8Array(100000)) } catch (e) { throw e } }",
        "new Array(1e9).fill(0)",
        "(function again() { return again() + 1 })()",
        "JSON.parse('['.repeat(1e6))",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a",
        "let a = []; for (let i = 0; i < 3000; i++) a = [a]; a",
        "'x'.repeat(100000)",
    ],
)
async def test_memory_depth_and_result_of_javascript(patient: Cage, script: str) -> None:
    with pytest.raises(ScriptLimit):
        await patient.javascript(script, {})
    assert await patient.javascript("1", {}) == 1


@pytest.mark.parametrize(
    "program",
    [
        "[range(infinite)]",
        "def f: f + 1; f",
        '"x" * 1000000000',
        "repeat(1)",
        "[range(100000)]",
        "reduce range(3000) as $i (0; [.])",
    ],
)
async def test_memory_depth_and_results_of_jq(patient: Cage, program: str) -> None:
    with pytest.raises(ScriptLimit):
        await patient.jq(program, None)
    assert await patient.jq("1", None) == [1]


async def test_nesting_deeper_than_jq_writes_is_never_a_wrong_value(patient: Cage) -> None:
    with pytest.raises(ScriptError):
        await patient.jq("reduce range(20000) as $i (0; [.])", None)


async def test_size_and_depth_of_what_goes_in(patient: Cage) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ScriptLimit, match="input is nested too deeply"):
        await patient.javascript("1", deep)
    with pytest.raises(ScriptLimit, match="input has 1000002 bytes, more than 1000000"):
        await patient.jq(".", "x" * 1_000_000)
    with pytest.raises(ScriptLimit, match="script has 65538 bytes, more than 65536"):
        await patient.javascript(f"'{'é' * 32768}'", {})


async def test_number_of_scripts_that_wait() -> None:
    async with Cage(processes=1, limits=CageLimits(backlog=2)) as cage:
        outcomes = await asyncio.gather(*(cage.javascript("1", {}) for _ in range(5)), return_exceptions=True)
        assert outcomes[:3] == [1, 1, 1]
        assert [str(outcome) for outcome in outcomes[3:]] == ["too many scripts wait: 2"] * 2
        assert await cage.javascript("2", {}) == 2
