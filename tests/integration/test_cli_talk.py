"""The verbs that look at workflows and talk to them, with a worker and without one; exit codes and help."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli_processes import Shop, shop_with, until

pytestmark = pytest.mark.timeout(180)

FLOWS = """
    from tenuto import activity, workflow
    from tenuto.exceptions import ApplicationError

    @activity.defn
    async def tidy() -> str:
        return "tidied"

    @workflow.defn
    class Cart:
        def __init__(self) -> None:
            self.items: list[str] = []
            self.paid = False

        @workflow.signal
        def add(self, item: str, count: int = 1) -> None:
            self.items += [item] * count

        @workflow.query
        def content(self, first: int = 0) -> list[str]:
            return self.items[first:]

        @workflow.query
        def broken(self) -> int:
            raise RuntimeError("no answer to this")

        @workflow.update
        async def pay(self, amount: int) -> dict[str, int]:
            if amount > 100:
                raise ApplicationError("too much", type="TooMuch")
            await tidy()
            self.paid = True
            return {"paid": amount}

        @pay.validator
        def check(self, amount: int) -> None:
            if amount < 0:
                raise ValueError("a negative amount")

        @workflow.run
        async def run(self, owner: str) -> list[str]:
            await workflow.wait_condition(lambda: self.paid)
            return [owner, *self.items]

    @workflow.defn
    class Sleeper:
        @workflow.run
        async def run(self, seconds: float) -> None:
            await workflow.sleep(seconds)
"""
VERBS = ["run", "worker", "start", "list", "show", "history", "signal", "query", "update", "cancel", "terminate"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_with(tmp_path, FLOWS) as shop:
        yield shop


@pytest.fixture
def served(shop: Shop) -> Shop:
    """A shop with a worker."""
    shop.begin("worker", "flows.py")
    until(lambda: "Ctrl-C stops it" in shop.said())
    return shop


def test_life_of_a_cart_with_a_worker(served: Shop) -> None:
    started = json.loads(served.do("start", "Cart", "--id", "c", "--input", '"Ana"', "--json"))
    assert started["workflow_id"] == "c"
    served.do("signal", "c", "add", "--input", '"book"')
    served.do("signal", "c", "add", "--args", '["pen", 2]')
    assert json.loads(served.do("query", "c", "content")) == ["book", "pen", "pen"]
    assert json.loads(served.do("query", "c", "content", "--input", "1")) == ["pen", "pen"]
    assert "waits for a signal" in served.do("show", "c")
    shown = json.loads(served.do("show", "c", "--json"))
    assert [span["name"] for span in shown["timeline"]] == ["add", "add"]
    assert shown["status"] == "RUNNING"
    pay = ("update", "c", "pay", "--input", "9", "--update-id", "u")
    assert json.loads(served.do(*pay)) == {"paid": 9}
    assert json.loads(served.do(*pay)) == {"paid": 9}
    until(lambda: "COMPLETED" in served.do("show", "c"))
    shown = json.loads(served.do("show", "c", "--run-id", started["run_id"], "--json"))
    assert shown["result"] == ["Ana", "book", "pen", "pen"]
    assert [(span["kind"], span["state"]) for span in shown["timeline"][-2:]] == [
        ("update", "completed"),
        ("activity", "completed"),
    ]
    # A closed workflow still answers queries, but takes no messages.
    assert json.loads(served.do("query", "c", "content")) == ["book", "pen", "pen"]
    served.do("signal", "c", "add", code=3)
    served.do("cancel", "c", code=3)
    assert "already closed (COMPLETED" in served.said()


def test_failing_queries_and_updates_end_with_1(served: Shop) -> None:
    served.do("start", "Cart", "--id", "c", "--input", '"Ana"')
    for words, said in (
        (("query", "c", "broken"), "no answer to this"),
        (("query", "c", "nothing"), "nothing"),
        (("update", "c", "pay", "--input", "101"), "TooMuch: too much"),
        (("update", "c", "pay", "--input", "-1"), "a negative amount"),
    ):
        served.do(*words, code=1)
        assert said in served.said().splitlines()[-1]


def test_cancel_and_terminate_with_a_worker(served: Shop) -> None:
    for id in ("a", "b"):
        served.do("start", "Sleeper", "--id", id, "--input", "3600")
    until(lambda: "sleep 1 h" in served.do("show", "a"))
    assert served.do("cancel", "a", "--reason", "enough") == "a: cancel requested\n"
    until(lambda: "CANCELED" in served.do("show", "a"))
    assert "enough" in served.do("show", "a")
    assert json.loads(served.do("terminate", "b", "--reason", "at once", "--json"))["outcome"] == "terminated"
    assert "at once" in served.do("show", "b")
    assert json.loads(served.do("show", "b", "--json"))["status"] == "TERMINATED"
    served.do("start", "Sleeper", "--id", "b", "--input", "0.01", "--wait", "--timeout", "60")
    served.do("start", "Sleeper", "--id", "d", "--input", "3600", "--wait", "--timeout", "0.2", code=4)


def test_without_a_worker_messages_are_kept_and_questions_are_not_answered(shop: Shop) -> None:
    shop.do("start", "Cart", "--id", "c", "--input", '"Ana"')
    shop.do("signal", "c", "add", "--input", '"book"')
    shop.do("query", "c", "content", "--timeout", "0.1", code=4)
    shop.do("update", "c", "pay", "--input", "9", "--timeout", "0.1", code=4)
    assert "no worker serves task queue 'default'" in shop.said()
    shop.do("start", "Sleeper", "--id", "s", "--input", "1")
    shop.do("terminate", "s")
    shop.do("start", "Cart", "--id", "x", "--input", '"Bo"')
    shop.do("cancel", "x")
    shop.begin("worker", "flows.py")
    assert json.loads(shop.do("query", "c", "content", "--timeout", "60")) == ["book"]
    until(lambda: "CANCELED" in shop.do("show", "x"))


def test_list_filters_counts_and_prints_json(shop: Shop) -> None:
    for number in range(3):
        shop.do("start", "Sleeper", "--id", f"s{number}", "--input", "1")
    shop.do("start", "Cart", "--id", "c", "--input", '"Ana"')
    shop.do("terminate", "s0")
    assert [row["workflow_id"] for row in json.loads(shop.do("list", "--json"))] == ["c", "s2", "s1", "s0"]
    assert [row["workflow_id"] for row in json.loads(shop.do("list", "--type", "Cart", "--json"))] == ["c"]
    assert json.loads(shop.do("list", "--status", "terminated", "--json"))[0]["workflow_id"] == "s0"
    assert json.loads(shop.do("list", "--count", "--json")) == {
        "count": 4,
        "by_status": {"RUNNING": 3, "TERMINATED": 1},
    }
    assert shop.do("list", "--count", "--type", "Cart") == "1 (1 running)\n"
    lines = shop.do("list", "--limit", "2").splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["c", "s2"]
    assert "only the newest 2" in lines[2]
    assert "no workflow matches" in shop.do("list", "--stuck")
    query = "WorkflowType = 'Sleeper' AND ExecutionStatus = 'Running'"
    assert [row["workflow_id"] for row in json.loads(shop.do("list", query, "--json"))] == ["s2", "s1"]
    assert json.loads(shop.do("list", query, "--status", "failed", "--json")) == []
    shop.do("list", "WorkflowType ~ 5", code=2)


def test_history_is_printed_and_exported(shop: Shop) -> None:
    shop.do("start", "Sleeper", "--id", "s", "--input", "1")
    assert "WorkflowExecutionStarted  Sleeper s" in shop.do("history", "s")
    exported = json.loads(shop.do("history", "s", "--json"))
    assert [event["eventId"] for event in exported["events"]] == ["1", "2"]
    shop.do("history", "s", "--output", "s.json")
    assert json.loads((shop.folder / "s.json").read_text()) == exported
    shop.do("history", "s", "--output", "gone/s.json", code=2)
    shop.do("history", "s", "--run-id", "nope", code=3)


def test_ids_that_are_taken(shop: Shop) -> None:
    start = ("start", "Sleeper", "--id", "s", "--input", "1")
    first = json.loads(shop.do(*start, "--json"))
    shop.do(*start, code=2)
    assert first["run_id"] in shop.said()
    assert json.loads(shop.do(*start, "--json", "--id-conflict", "use-existing")) == first
    assert json.loads(shop.do(*start, "--json", "--id-conflict", "terminate-existing")) != first
    shop.do("terminate", "s")
    shop.do(*start, "--id-reuse", "reject", code=2)
    shop.do(*start, "--id-reuse", "failed-only")


@pytest.mark.parametrize("verb", ["show", "history", "query", "signal", "update", "cancel", "terminate"])
def test_what_is_not_there_ends_with_3(shop: Shop, verb: str) -> None:
    shop.do("start", "Sleeper", "--id", "s", "--input", "1")
    shop.do(verb, "gone", *(["name"] if verb in ("query", "signal", "update") else []), code=3)
    assert "'gone'" in shop.said()


def test_files_that_are_no_stores_end_with_5(shop: Shop) -> None:
    (shop.folder / "text.db").write_text("a text, not a database, and long enough to be seen as one" * 20)
    with sqlite3.connect(shop.folder / "foreign.db") as database:
        database.execute("create table mine (x)")
    database.close()
    for file in ("text.db", "foreign.db", "gone.db"):
        shop.do("list", "--db", f"sqlite:///{file}", code=5)
        assert file in shop.said().splitlines()[-1]
    assert not (shop.folder / "gone.db").exists()


def test_bad_usage_ends_with_2(shop: Shop) -> None:
    for words in (("start",), ("list", "--status", "happy"), ("signal", "s", "n", "--input", "{"), ("nonsense",)):
        shop.do(*words, code=2)
    assert "Traceback" not in shop.said()


def test_database_is_taken_from_the_environment(shop: Shop) -> None:
    environment = {"TENUTO_DB": "sqlite:///named.db"}
    words = [sys.executable, "-m", "tenuto", "start", "Sleeper", "--input", "1"]
    subprocess.run(words, cwd=shop.folder, env=environment, check=True, capture_output=True)
    assert (shop.folder / "named.db").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_has_an_example(shop: Shop, verb: str) -> None:
    text = shop.do(verb, "--help")
    assert "Examples:" in text
    assert f"  tenuto {verb} " in text


def test_help_names_verbs_and_exit_codes_and_is_there_at_once(shop: Shop) -> None:
    took = []
    for _ in range(3):
        began = time.perf_counter()
        text = shop.do("--help")
        took.append(time.perf_counter() - began)
    assert all(f"  {verb}  " in text for verb in VERBS)
    assert "130  interrupted" in text
    assert min(took) < 1.0  # 0.2 s when nothing else runs


def test_help_imports_no_engine(shop: Shop) -> None:
    code = (
        "import sys; from tenuto.cli.main import make_app; make_app(); print([m for m in sys.modules if 'tenuto' in m])"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "tenuto.cli.run" in modules
    assert "tenuto.client" not in modules
    assert "tenuto.engine" not in modules
    assert "tenuto.model" not in modules
