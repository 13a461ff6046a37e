"""Extract, transform, load: the smallest sequence.

You learn:
- `@node("name")` makes a node of a function, and `>>` chains nodes: each gets what the one before returned;
- a node is still a function: call it, or test it with `node.execute(...)`;
- `validate_sequence` checks a sequence without running it, `execute` runs it here and now;
- what a run left behind is in `workflow.state`.

    python -m examples.sequence_etl
"""

from tenuto.sequence import Sequence, SharedState, node, validate_sequence

SALES = "day,amount\nmonday,12.50\ntuesday,\nwednesday,7.25\n"


@node("extract")
def extract(text: str) -> list[str]:
    return text.splitlines()[1:]


@node("transform")
def transform(lines: list[str], state: SharedState) -> list[tuple[str, float]]:
    rows = [line.split(",") for line in lines]
    state["dropped"] = sum(1 for row in rows if not row[1])
    return [(day, float(amount)) for day, amount in rows if amount]


@node("load")
def load(sales: list[tuple[str, float]], warehouse: dict[str, float] | None = None) -> float:
    table = {} if warehouse is None else warehouse
    table.update(sales)
    return sum(table.values())


workflow = Sequence(extract >> transform >> load, name="sales")


def main() -> None:
    assert transform.execute(["monday,1"]) == [("monday", 1.0)]  # a unit test needs no workflow
    validate_sequence(workflow).raise_if_invalid()
    total = workflow.execute(SALES)
    print(f"{workflow.name}: {total:.2f} in all, {workflow.state['dropped']} line dropped")
    print(workflow.get_schema("mermaid"))


if __name__ == "__main__":
    main()
