"""`tenuto run` and `tenuto worker`, as real processes: to the end, interrupted, killed, resumed."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.integration.cli_processes import Shop, shop_with, until

pytestmark = pytest.mark.timeout(180)

FLOWS = '''
    import asyncio, pathlib, time
    from tenuto import activity, workflow
    from tenuto.common import RetryPolicy
    from tenuto.exceptions import ApplicationError

    HERE = pathlib.Path(__file__).parent

    def note(text: str) -> None:
        with (HERE / "effects").open("a") as file:
            file.write(text + "\\n")

    @activity.defn
    async def step(name: str) -> str:
        note(name)
        return name.upper()

    @activity.defn(retry_policy=RetryPolicy(maximum_attempts=5))
    async def gate(name: str) -> str:
        """Ends once there is a file of that name."""
        note(f"{name} attempt {activity.info().attempt}")
        while not (HERE / name).exists():
            await asyncio.sleep(0.01)
        return name

    @activity.defn
    def refuse(why: str) -> None:
        raise ApplicationError(why, type="Refused", non_retryable=True)

    @workflow.defn
    class Steps:
        @workflow.run
        async def run(self, names: list[str]) -> list[str]:
            done = [await step(name) for name in names]
            done.append(await gate("opened"))
            return [*done, await step("last")]

    @workflow.defn
    class Refused:
        @workflow.run
        async def run(self, why: str = "no reason") -> None:
            await refuse(why)

    @workflow.defn
    class Stuck:
        @workflow.run
        async def run(self) -> int:
            await step("before")
            return {}["missing"]  # the bug
'''


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_with(tmp_path, FLOWS) as shop:
        yield shop


RUN = ("run", "flows.py:Steps", "--input", '["a", "b"]', "--id", "steps")


def test_run_prints_the_result_as_json_and_again_when_it_is_repeated(shop: Shop) -> None:
    shop.open_gate()
    assert json.loads(shop.do(*RUN)) == ["A", "B", "opened", "LAST"]
    assert "activity step" in shop.said()
    assert json.loads(shop.do(*RUN)) == ["A", "B", "opened", "LAST"]
    assert "completed already" in shop.said()
    assert shop.effects() == ["a", "b", "opened attempt 1", "last"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_goes_on_with_the_same_command(shop: Shop, number: signal.Signals) -> None:
    run = shop.begin(*RUN, "--grace", "0")
    until(lambda: "opened attempt 1" in shop.effects())
    run.send_signal(number)
    assert shop.end(run, 130) == ""
    assert "stopped; run the same command to go on" in shop.said()
    shop.open_gate()
    assert json.loads(shop.do(*RUN)) == ["A", "B", "opened", "LAST"]
    assert "2 finished activities are not repeated" in shop.said()
    assert shop.effects()[:3] == ["a", "b", "opened attempt 1"]
    assert [effect for effect in shop.effects() if "opened" not in effect] == ["a", "b", "last"]


def test_running_activity_may_end_within_the_grace(shop: Shop) -> None:
    run = shop.begin(*RUN, "--grace", "60")
    until(lambda: "opened attempt 1" in shop.effects())
    run.send_signal(signal.SIGINT)
    until(lambda: "stopping" in shop.said())
    shop.open_gate()
    shop.end(run, 130)
    shop.do(*RUN)
    assert shop.effects() == ["a", "b", "opened attempt 1", "last"]


def test_second_ctrl_c_exits_at_once(shop: Shop) -> None:
    run = shop.begin(*RUN, "--grace", "600")
    until(lambda: "opened attempt 1" in shop.effects())
    run.send_signal(signal.SIGINT)
    until(lambda: "stopping" in shop.said())
    run.send_signal(signal.SIGINT)
    shop.end(run, 130)
    shop.open_gate()
    assert json.loads(shop.do(*RUN))[-1] == "LAST"


def test_killed_run_goes_on_with_the_same_command(shop: Shop) -> None:
    run = shop.begin(*RUN)
    until(lambda: "opened attempt 1" in shop.effects())
    # The attempt is on record a moment after it began; killed before that, it would be the first attempt again.
    until(lambda: "running" in shop.do("show", "steps"))
    run.kill()
    run.communicate()
    shop.open_gate()
    assert json.loads(shop.do(*RUN)) == ["A", "B", "opened", "LAST"]
    assert shop.effects() == ["a", "b", "opened attempt 1", "opened attempt 2", "last"]


def test_id_is_made_up_and_told_how_to_go_on(shop: Shop) -> None:
    run = shop.begin("run", "flows.py:Steps", "--input", '["a"]', "--grace", "0")
    until(lambda: "opened attempt 1" in shop.effects())
    run.send_signal(signal.SIGINT)
    shop.end(run, 130)
    words = shop.said().splitlines()[-1].partition("to go on: tenuto ")[2].split()
    shop.open_gate()
    assert json.loads(shop.do(*words, "--input", '["a"]')) == ["A", "opened", "LAST"]
    assert shop.effects()[0] == "a"
    assert shop.effects().count("a") == 1


def test_failed_workflow_ends_with_1_and_the_chain_of_errors(shop: Shop) -> None:
    shop.do("run", "flows.py:Refused", "--input", '"out of stock"', "--id", "no", code=1)
    last = shop.said().splitlines()[-1]
    assert last.startswith("tenuto: ")
    assert "'refuse'" in last
    assert "Refused: out of stock" in last
    assert "Traceback" not in shop.said()
    shown = shop.do("show", "no")
    assert "FAILED" in shown
    assert "out of stock" in shown


def test_stuck_workflow_is_shown_with_its_line_and_goes_on_when_mended(shop: Shop) -> None:
    run = shop.begin("run", "flows.py:Stuck", "--id", "stuck")
    until(lambda: "KeyError: 'missing'" in shop.said())
    line = (shop.folder / "flows.py").read_text().splitlines().index('        return {}["missing"]  # the bug') + 1
    assert f"flows.py:{line} in run" in shop.said()
    assert run.poll() is None
    listed = json.loads(shop.do("list", "--stuck", "--json"))
    assert [row["workflow_id"] for row in listed] == ["stuck"]
    assert "STUCK" in shop.do("show", "stuck")
    run.send_signal(signal.SIGINT)
    shop.end(run, 130)
    flows = shop.folder / "flows.py"
    flows.write_text(flows.read_text().replace('return {}["missing"]', "return 5"))
    assert shop.do("run", "flows.py:Stuck", "--id", "stuck") == "5\n"
    assert shop.effects() == ["before"]
    assert shop.do("list", "--stuck", "--json") == "[]\n"
    assert "mended" in shop.do("show", "stuck")


def test_worker_serves_files_until_it_is_told_to_stop(shop: Shop) -> None:
    (shop.folder / "more.py").write_text(
        dedent("""
        from flows import step
        from tenuto import workflow

        @workflow.defn
        class More:
            @workflow.run
            async def run(self, one: str, two: str) -> str:
                return await step(one + two)
        """)
    )
    worker = shop.begin("worker", "flows.py", "more.py", "--task-queue", "q", "--max-concurrent-activities", "2")
    until(lambda: "serves 4 workflows and 3 activities" in shop.said())
    asked = ("start", "More", "--id", "m", "--args", '["x", "y"]', "--task-queue", "q", "--wait", "--timeout", "60")
    assert json.loads(shop.do(*asked)) == "XY"
    worker.send_signal(signal.SIGTERM)
    shop.end(worker, 0)
    assert "stopped" in shop.said()


def test_run_beside_a_worker_is_refused_and_names_it(shop: Shop) -> None:
    worker = shop.begin("worker", "flows.py")
    until(lambda: "Ctrl-C stops it" in shop.said())
    shop.do(*RUN, code=5)
    assert f"pid {worker.pid}" in shop.said().splitlines()[-1]


def test_module_and_package_are_found_by_name_and_by_path(shop: Shop) -> None:
    package = shop.folder / "store"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "acts.py").write_text(
        "from tenuto import activity\n@activity.defn\nasync def ring() -> str:\n    return 'ring'\n"
    )
    (package / "queue.py").write_text(
        "from store import acts\nfrom tenuto import workflow\n@workflow.defn\nclass Ring:\n"
        "    @workflow.run\n    async def run(self) -> str:\n        return await acts.ring()\n"
    )
    assert shop.do("run", "store.queue", "--db", "memory://") == '"ring"\n'
    assert shop.do("run", "store/queue.py:Ring", "--db", "memory://") == '"ring"\n'
    # By itself this one is called like a module of the standard library.
    other = shop.folder / "other"
    other.mkdir()
    (other / "queue.py").write_text((package / "queue.py").read_text())
    assert shop.do("run", "other/queue.py", "--db", "memory://") == '"ring"\n'


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "flows.py"], "several workflows: Refused, Steps, Stuck"),
        (["run", "flows.py:Nope"], "no workflow 'Nope'; it has: Refused, Steps, Stuck"),
        (["run", "gone.py"], "there is no file gone.py"),
        (["run", "gone.flows"], "there is no file or module 'gone.flows'"),
        (["run", "broken.py"], "broken.py can't be imported: ZeroDivisionError: division by zero"),
        (["run", "empty.py"], "has no workflows"),
        (["run", "flows.py:Steps", "--input", "[1, 2"], "at line 1, column 6"),
        (["run", "flows.py:Steps", "--input", "[1, 2]"], "argument 1 does not fit Steps"),
        (["run", "flows.py:Steps"], "takes 1 argument, 0 given"),
        (["run", "flows.py:Steps", "--input", "word"], "a text needs quotes"),
        (["run", "flows.py:Steps", "--input", "@gone.json"], "gone.json can't be read"),
        (["run", "flows.py:Refused", "--args", "5"], "--args takes a JSON list"),
        (["run", "flows.py:Refused", "--args", "[]", "--input", "5"], "not both"),
        (["run", "flows.py:Stuck", "--db", "mysql://x"], "names no store"),
    ],
)
def test_bad_input_ends_with_2_and_says_what_is_wrong(shop: Shop, words: list[str], said: str) -> None:
    (shop.folder / "broken.py").write_text("x = 1 / 0\n")
    (shop.folder / "empty.py").touch()
    shop.do(*words, code=2)
    lines = shop.said().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (shop.folder / "tenuto.db").exists()


def test_id_of_another_type_is_refused(shop: Shop) -> None:
    shop.do("start", "Refused", "--id", "taken")
    shop.do("run", "flows.py:Stuck", "--id", "taken", code=2)
    assert "belongs to a Refused, not to a Stuck" in shop.said()
