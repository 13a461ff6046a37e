"""Values keep their types: what the hints say goes in and comes out, everywhere a value travels."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest

from tenuto import activity, workflow
from tenuto.client import WorkflowQueryFailedError
from tenuto.common import RawValue
from tenuto.exceptions import ActivityError, ApplicationError
from tests.support.durable import ONCE, an_id, failure_of, serving


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Item:
    name: str
    count: int = 1
    tags: list[str] = field(default_factory=list)


@dataclass
class Order:
    id: UUID
    items: list[Item]
    placed: datetime
    colour: Colour
    level: Level
    note: str | None = None
    wait: timedelta = timedelta(hours=1)


class Point(msgspec.Struct):
    x: int
    y: float = 0.5


class Person(pydantic.BaseModel):
    name: str
    born: date
    age: int = pydantic.Field(default=0, ge=0)


ORDER = Order(
    UUID("12345678-1234-4234-8234-123456789abc"),
    [Item("pen", 2, ["blue"]), Item("ink")],
    datetime(2026, 1, 2, 3, 4, 5, 678901, UTC),
    Colour.BLUE,
    Level.HIGH,
)


@activity.defn
async def same_order(order: Order) -> Order:
    assert isinstance(order, Order)
    assert isinstance(order.items[0], Item)
    return order


@activity.defn
async def same_point(point: Point) -> Point:
    assert isinstance(point, Point)
    return point


@activity.defn
async def same_person(person: Person) -> Person:
    assert isinstance(person, Person)
    return person


@activity.defn
async def same_bytes(data: bytes) -> bytes:
    assert isinstance(data, bytes)
    return data


@activity.defn
async def same_dict(table: dict[str, list[Item]]) -> dict[str, list[Item]]:
    assert isinstance(next(iter(table.values()))[0], Item)
    return table


@activity.defn
def many(number: int, name: str, moment: datetime, unique: UUID, colour: Colour, data: bytes) -> list[str]:
    return [type(value).__name__ for value in (number, name, moment, unique, colour, data)]


@activity.defn(retry_policy=ONCE)
async def raw(value: RawValue) -> RawValue:
    return value


ACTIVITIES = [same_order, same_point, same_person, same_bytes, same_dict, many, raw]


@workflow.defn
class Orders:
    @workflow.init
    def __init__(self, order: Order) -> None:
        self.order = order

    @workflow.run
    async def run(self, order: Order) -> Order:
        assert isinstance(order, Order)
        assert await same_order(order) == order
        assert await same_point(Point(3)) == Point(3)
        assert await same_person(Person(name="Ada", born=date(1815, 12, 10))) == Person(
            name="Ada", born=date(1815, 12, 10)
        )
        assert await same_bytes(b"\x00\xff") == b"\x00\xff"
        assert await same_dict({"a": [Item("x")]}) == {"a": [Item("x")]}
        assert await workflow.execute_activity("same_point", Point(1), result_type=Point) == Point(1)
        assert await workflow.execute_activity("same_point", Point(1)) == {"x": 1, "y": 0.5}
        assert await workflow.execute_activity(raw, [1, 2], result_type=list) == [1, 2]
        names = await workflow.execute_activity(
            many, args=[1, "a", order.placed, order.id, Colour.RED, b"x"], start_to_close_timeout=5
        )
        assert names == ["int", "str", "datetime", "UUID", "Colour", "bytes"]
        await workflow.wait_condition(lambda: self.order.note is not None)
        return await workflow.execute_child_workflow(Passes.run, self.order)

    @workflow.signal
    def add(self, item: Item, point: Point) -> None:
        assert isinstance(point, Point)
        self.order.items.append(item)

    @workflow.query
    def find(self, name: str) -> Item | None:
        return next((item for item in self.order.items if item.name == name), None)

    @workflow.update
    def annotate(self, note: str, colour: Colour) -> Order:
        assert isinstance(colour, Colour)
        self.order.note, self.order.colour = note, colour
        return self.order


@workflow.defn
class Passes:
    @workflow.run
    async def run(self, order: Order) -> Order:
        if order.level is Level.HIGH:
            order.level = Level.LOW
            workflow.continue_as_new(order)
        return order


@pytest.mark.parametrize("cached", [1000, 0])
async def test_values_keep_their_types_wherever_they_travel(cached: int, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db?synchronous=NORMAL"
    async with serving(Orders, Passes, activities=ACTIVITIES, url=url, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Orders.run, ORDER, id=an_id())
        await handle.signal(Orders.add, args=[Item("paper", 500), Point(1)])
        assert await handle.query(Orders.find, "paper") == Item("paper", 500)
        assert await handle.query(Orders.find, "nothing") is None
        annotated = await handle.execute_update(Orders.annotate, args=["done", Colour.RED])
        assert isinstance(annotated, Order)
        assert annotated.colour is Colour.RED
        result = await handle.result()
        assert result == Order(
            ORDER.id,
            [*ORDER.items, Item("paper", 500)],
            ORDER.placed,
            Colour.RED,
            Level.LOW,
            "done",
        )
        assert isinstance(result.placed, datetime)
        assert await client.get_workflow_handle_for(Orders.run, handle.id).result() == result
        assert (await client.get_workflow_handle(handle.id).result())["note"] == "done"


@workflow.defn
class Plain:
    @workflow.run
    async def run(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**63), 2**64, 1.5, "", "ünï\x00🎼", [], {}, [None, [1, "a"]], {"a": {"b": [1]}}, b"", b"\x00"],
)
async def test_plain_values_need_no_hint(value: Any) -> None:
    async with serving(Plain) as client:
        assert await client.execute_workflow(Plain.run, value, id=an_id()) == value


@workflow.defn
class Typed:
    @workflow.run
    async def run(self, items: Sequence[Item], deadline: datetime | None = None) -> int:
        if deadline is not None:
            await asyncio.sleep(max(0.0, (deadline - workflow.now()).total_seconds()))
        return sum(item.count for item in items)

    @workflow.query
    def ask(self, person: Person) -> str:
        return person.name


async def test_defaults_are_optional_arguments() -> None:
    async with serving(Typed) as client:
        assert await client.execute_workflow(Typed.run, [Item("a", 2), Item("b", 3)], id=an_id()) == 5
        soon = datetime.now(UTC) + timedelta(milliseconds=5)
        assert await client.execute_workflow(Typed.run, args=[[Item("a")], soon], id=an_id()) == 1


async def test_a_value_that_breaks_its_type_is_told_in_words() -> None:
    async with serving(Typed, BreaksTypes, activities=ACTIVITIES) as client:
        handle = await client.start_workflow(Typed.run, [], id=an_id())
        with pytest.raises(WorkflowQueryFailedError, match="age"):
            await handle.query("ask", {"name": "Ada", "born": "1815-12-10", "age": -1})
        error = await failure_of(client.execute_workflow(BreaksTypes.run, id=an_id()))
        assert isinstance(error, ActivityError)
        assert isinstance(error.cause, ApplicationError)
        assert "x" in error.cause.message


@workflow.defn
class BreaksTypes:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("same_point", {"x": "not a number"})
