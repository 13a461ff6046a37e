"""What goes through the converter comes back unchanged, or is refused with a clear error."""

import dataclasses
import enum
import math
import pathlib
import typing
from collections import deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto.common import RawValue, RetryPolicy
from tenuto.converter import DataConverter, PayloadError
from tenuto.model.payloads import BINARY, JSON, NULL, Payload

converter = DataConverter.default


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    label: str


class Named(TypedDict):
    day: date


class Box(msgspec.Struct):
    data: bytes
    size: float | None = None


@dataclasses.dataclass
class Item:
    thing: Any


@dataclasses.dataclass
class Order:
    id: UUID
    total: Decimal
    items: list[Box]
    due: datetime | None
    tags: set[str]


class Sku(str):
    __slots__ = ()


class Ratio(float):
    pass


class Account(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    opened: datetime
    ids: set[int] = set()
    owner: str = pydantic.Field("nobody", alias="ownerName")

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def year(self) -> int:
        return self.opened.year


class Loose(pydantic.BaseModel):
    value: Any


def round_trip(value: Any, hint: Any = None) -> Any:
    return converter.decode(converter.encode(value), hint)


finite = st.floats(allow_nan=False, allow_infinity=False)
whole_minutes = st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(timezones=st.none() | whole_minutes)
boxes = st.builds(Box, data=st.binary(), size=st.none() | finite)
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (float, finite),
    (bool, st.booleans()),
    (str, st.text()),
    (bytes, st.binary()),
    (bytearray, st.binary().map(bytearray)),
    (UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False)),
    (date, st.dates()),
    (datetime, moments),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Point, st.builds(Point, st.integers(), st.text())),
    (Named, st.fixed_dictionaries({"day": st.dates()})),
    (Box, boxes),
    (Sku, st.text().map(Sku)),
    (
        Order,
        st.builds(
            Order,
            id=st.uuids(),
            total=st.decimals(allow_nan=False),
            items=st.lists(boxes),
            due=st.none() | moments,
            tags=st.sets(st.text()),
        ),
    ),
    (Account, st.builds(Account, opened=st.datetimes(), ownerName=st.text())),
]
KEYS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, st.text()),
    (int, st.integers()),
    (UUID, st.uuids()),
    (date, st.dates()),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
]


@st.composite
def values_with_hints(draw: st.DrawFn) -> tuple[Any, Any]:
    hint, strategy = draw(st.sampled_from(LEAVES))
    match draw(st.sampled_from(["plain", "optional", "list", "tuple", "dict", "deque"])):
        case "optional":
            return draw(st.none() | strategy), hint | None
        case "list":
            return draw(st.lists(strategy | st.none(), max_size=3)), list[hint | None]
        case "tuple":
            return draw(st.tuples(st.integers(), strategy)), tuple[int, hint]
        case "dict":
            key, keys = draw(st.sampled_from(KEYS))
            return draw(st.dictionaries(keys, strategy, max_size=3)), dict[key, hint]
        case "deque":
            return deque(draw(st.lists(strategy, max_size=3))), deque[hint]
    return draw(strategy), hint


@given(values_with_hints())
def test_a_value_comes_back_equal_and_of_its_type(case: tuple[Any, Any]) -> None:
    value, hint = case
    again = round_trip(value, hint)
    assert again == value
    assert type(again) is type(value)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(plain_values)
def test_plain_values_need_no_hint(value: Any) -> None:
    assert round_trip(value) == value
    assert round_trip(value, Any) == value


@given(plain_values, st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_non_finite_number_is_never_stored(value: Any, number: float) -> None:
    for holder in (number, [value, number], {"a": {"b": number}, "c": value}, Item(number)):
        with pytest.raises(PayloadError, match="a number JSON does not have"):
            converter.encode(holder)


def test_encodings() -> None:
    assert converter.encode(None) == Payload(b"", NULL)
    assert converter.encode(b"\xff") == Payload(b"\xff", BINARY)
    assert converter.encode({"a": [1, b"\xff"]}) == Payload(b'{"a":[1,"/w=="]}', JSON)
    assert round_trip({"a": (1, {2})}) == {"a": [1, [2]]}
    assert round_trip({1: Colour.RED}) == {"1": "red"}


def test_null_beside_numbers_is_no_fault() -> None:
    value = {"null": None, "big": 2**80, "double": 1e308, "bytes": b"\xcb\x7f\xf0null"}
    assert converter.encode(value).data.startswith(b'{"null":null,"big":1208925819614629174706176,')


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (2**70, int),
        (-(2**70), int | None),
        ({2**70: 1}, dict[int, int]),
        (timedelta.max, timedelta),
        (timedelta.min, timedelta),
        (datetime.max.replace(tzinfo=UTC), datetime),
        (time(1, 2, tzinfo=UTC), time),
        (pathlib.Path("/a/b"), pathlib.Path),
        (deque([date(2020, 1, 1)]), deque[date]),
        (Ratio(1.5), Ratio),
        (b"x", bytes | None),
        ([1], Annotated[list[int], ["a hint without a hash"]]),
        (RetryPolicy(maximum_attempts=3, non_retryable_error_types=["A"]), RetryPolicy),
        ({"a": [Account(opened=datetime(2020, 1, 1))]}, dict[str, list[Account]]),  # noqa: DTZ001
        (Loose(value=[None]), Account | Loose),
        (5, int | Loose),
    ],
)
def test_special_values_come_back(value: Any, hint: Any) -> None:
    again = round_trip(value, hint)
    assert again == value
    assert type(again) is type(value)


def self_holding() -> list[Any]:
    inner: list[Any] = []
    inner.append({"x": inner})
    return inner


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


class Opaque:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"items": [1, 2, Item(Opaque())]}, r"\$\.items\[2\]\.thing is of type .*Opaque, which can't"),
        ([Opaque], r"\$\[0\] is of type type, which can't"),
        ({"a b": Box(b"", math.nan)}, r"\$\['a b'\]\.size is nan"),
        (Loose(value=Opaque()), r"\$ is of type .*Loose, which can't .* unknown type"),
        ([Loose(value=math.inf)], "NaN or an infinity"),
        (["\ud800"], r"\$\[0\] is a str with the lone surrogate U\+D800 at 0"),
        ({"\ud800": 1}, r"\$ has a key that is a str with the lone surrogate"),
        ({"a": {(1, 2): 3}}, r"\$\.a has the key \(1, 2\) of type tuple"),
        (self_holding(), r"\$\[0\]\.x holds itself"),
        (nested(20_000), "nested too deeply"),
        (1j, r"\$ is of type complex, which can't"),
        pytest.param(
            10**5_000,
            r"\$ is of type int, which can't be stored as JSON: .*digits",
            id="long integer",
        ),
        pytest.param({10**5_000: 1}, r"\$ has the key .*of type int", id="long key"),
    ],
)
def test_what_cannot_be_stored_is_named(value: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        converter.encode(value)


def test_the_limit_is_named() -> None:
    small = DataConverter(payload_size_limit=1_000)
    assert small.encode(b"x" * 1_000).data == b"x" * 1_000
    for value in (b"x" * 1_001, "x" * 999, RawValue(Payload(b"x" * 1_001))):
        with pytest.raises(PayloadError, match=r"1,001 bytes .* limit of 1,000 bytes; keep it"):
            small.encode(value)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ({"a": [1, "x"]}, dict[str, list[int]], r"read as dict\[str, list\[int\]\]: Expected `int`"),
        (b"x", str, "read as str: Expected `str`, got `bytes`"),
        (5, Account, "read as Account: 1 validation error"),
        (1, complex, "read as complex: nothing is known"),
        (1, int | complex, "type hint int | complex can't be used"),
        (1, "Order", "type hint Order can't be used"),
    ],
)
def test_what_does_not_fit_its_hint_is_refused(value: Any, hint: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        round_trip(value, hint)


def test_damaged_and_foreign_payloads() -> None:
    for data in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(PayloadError, match="can't be read"):
            converter.decode(Payload(data))
    with pytest.raises(PayloadError, match="has the encoding 'json/protobuf'"):
        converter.decode(Payload(b"", "json/protobuf"))


def test_raw_values_pass_in_both_directions() -> None:
    payload = Payload(b"any", "of/mine")
    assert converter.encode(RawValue(payload)) is payload
    assert converter.decode(payload, RawValue) == RawValue(payload)


def test_a_stored_none_is_none_whatever_the_hint() -> None:
    assert round_trip(None, int) is None


def test_all_at_once() -> None:
    payloads = converter.encode_all([1, date(2020, 1, 1), None])
    assert converter.decode_all(payloads) == [1, "2020-01-01", None]
    assert converter.decode_all(payloads, [int, date]) == [1, date(2020, 1, 1), None]
    assert converter.decode_all(payloads[:1], [int, date]) == [1]
    assert converter.encode_all([]) == []


def test_generic_hints_of_typing() -> None:
    assert round_trip([1, "a"], typing.List[int | str]) == [1, "a"]  # noqa: UP006
    assert round_trip(1, typing.Union[int, str]) == 1  # noqa: UP007
