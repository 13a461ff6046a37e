"""A log pipeline: read, parse, clean, enrich, store, with a lot of data in one go and none in the other.

You learn:
- a node may hand on a generator: nothing is copied, and nothing is read before it is needed;
- a class is a node when it subclasses `BatchNode`: it works on each item, and one that fails doesn't stop the rest;
- a Sequence is a node, too: pipelines can be made of pipelines.

    python -m examples.sequence_log_pipeline
"""

from collections.abc import Iterator
from typing import Any

from tenuto.sequence import BatchNode, Sequence, SharedState, node

FILES = {
    "monday.log": "09:00 INFO started\n09:05 ERROR disk full\nnoise\n09:07 ERROR disk full\n",
    "sunday.log": "",
}
stored: list[dict[str, Any]] = []


@node("read")
def read(name: str) -> Iterator[str]:
    return (line for line in FILES[name].splitlines())


@node("collect")
def collect(lines: Iterator[str]) -> list[str]:
    return list(lines)


class Parse(BatchNode):
    def _execute_item(self, line: str) -> dict[str, str]:
        time, level, text = line.split(" ", 2)
        return {"time": time, "level": level, "text": text}


@node("clean")
def clean(records: list[dict[str, str] | None], state: SharedState) -> list[dict[str, str]]:
    good = [record for record in records if record is not None]
    state["bad_lines"] = state.get("bad_lines", 0) + len(records) - len(good)
    return good


@node("enrich")
def enrich(records: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [{**record, "urgent": record["level"] == "ERROR"} for record in records]


@node("store")
def store(records: list[dict[str, Any]]) -> bool:
    stored.extend(records)
    return True


parsing = Sequence(read >> collect >> Parse("parse") >> clean, name="parsing")
workflow = Sequence(parsing >> enrich >> store, name="logs")


def main() -> None:
    for name in FILES:
        print(f"{name}: {workflow.execute(name)}")
    print(f"{len(stored)} records, {sum(r['urgent'] for r in stored)} urgent, {workflow.state['bad_lines']} bad lines")
    print(workflow.get_schema("text", mode="full"))


if __name__ == "__main__":
    main()
