"""Searches in a PostgreSQL store: what is its own about them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenuto.model.errors import StoreError
from tenuto.model.search import Compare, Condition, In, Like, Or, SearchQuery, StartsWith
from tenuto.store.postgres import search
from tenuto.store.postgres.store import PostgresStore
from tests.contract.rows import Engine, run, task_entry, workflow_entry
from tests.support.postgres import postgres_url


@pytest.fixture
async def store() -> AsyncIterator[PostgresStore]:
    with postgres_url(pool="2") as url:
        store = PostgresStore(url)
        await store.open()
        yield store
        await store.close()


async def index(store: PostgresStore, *reasons: str) -> None:
    """A run and a task for each of these reasons."""
    engine = await Engine(store).lease()
    number = range(len(reasons))
    await engine.commit(
        started=[run(f"r{i}", f"w{i}") for i in number],
        indexed_workflows=[workflow_entry(f"r{i}", f"w{i}", reason=reasons[i]) for i in number],
        indexed_tasks=[task_entry(f"t{i}", f"r{i}", f"w{i}", reason=reasons[i]) for i in number],
    )


async def reasons(store: PostgresStore, condition: Condition | None = None, **asked: object) -> list[str | None]:
    query = SearchQuery(condition=condition, sort=[("reason", False)], **asked)  # type: ignore[arg-type]
    return [row.reason for row in (await store.search_workflows(query)).rows]


async def test_a_search_that_takes_too_long_is_given_up(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await index(store, *["long " * 20_000] * 20)
    # Lower case of 2 MB takes a few milliseconds.
    with monkeypatch.context() as patched:
        patched.setattr(search, "LONGEST_SEARCH", 0.001)
        with pytest.raises(StoreError, match=r"given up after 0\.001 s. Ask for a status"):
            await store.search_tasks(SearchQuery(free_text="nowhere"))
    assert (await store.search_tasks(SearchQuery(free_text="nowhere"))).total == 0
    assert (await store.search_tasks(SearchQuery(free_text="LONG"))).total == 20


async def test_what_takes_too_long_to_count_is_estimated(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await index(store, *["long " * 20_000] * 20)
    monkeypatch.setattr(search, "LONGEST_COUNT", 0.001)
    page = await store.search_workflows(SearchQuery(free_text="LONG", start=2, size=3))
    assert len(page.rows) == 3
    assert page.total >= 5


async def test_texts_that_the_database_has_no_characters_for(store: PostgresStore) -> None:
    texts = ["", "\x00", "\x00\x01", "\x01", "\x01\x00", "\x02", "a", "a\x00b", "a\x01", "b"]
    await index(store, *reversed(texts))
    assert await reasons(store) == texts
    for text in texts:
        assert await reasons(store, Compare("reason", "=", text)) == [text]
        assert await reasons(store, In("reason", (text,))) == [text]
        assert await reasons(store, StartsWith("reason", text)) == [each for each in texts if each.startswith(text)]
        assert await reasons(store, Compare("reason", ">", text)) == [each for each in texts if each > text]
    assert await reasons(store, Like("reason", ("A\x00", ""))) == ["a\x00b"]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (("ÀÉ",), ["Àé"]),
        (("", "é"), ["Àé"]),
        (("", "İ", ""), ["xİx"]),
        (("", "i\u0307", ""), ["xİx"]),
        (("", "ж", ""), ["ЖЖ"]),
        (("ΟΔΟΣ",), ["Οδος", "ΟΔΟΣ"]),
        (("𐐨",), ["𐐀"]),
    ],
)
async def test_the_cases_of_letters_that_are_not_ascii(
    store: PostgresStore, pieces: tuple[str, ...], expected: list[str]
) -> None:
    """Whatever the locale of the database."""
    await index(store, "Àé", "xİx", "ЖЖ", "Οδος", "ΟΔΟΣ", "𐐀", "aei")
    assert sorted(map(str, await reasons(store, Like("reason", pieces)))) == sorted(expected)


async def test_a_query_of_more_values_than_a_statement_may_have(store: PostgresStore) -> None:
    many = Or(tuple(Compare("version", "=", i) for i in range(40_000)))
    with pytest.raises(ValueError, match="more than 32000 values"):
        await store.search_workflows(SearchQuery(condition=many))
    await index(store, "x")
    assert await reasons(store, In("version", tuple(range(40_000)))) == ["x"]


async def test_numbers_that_no_column_holds(store: PostgresStore) -> None:
    await index(store, "x")
    for query, expected in [
        (Compare("version", "=", 2**70), []),
        (Compare("version", "<", 2**70), ["x"]),
        (Compare("start_time", ">", -(2**70)), ["x"]),
        (In("end_time", (2**64, 1)), []),
    ]:
        assert await reasons(store, query) == expected


async def test_searches_leave_sessions_for_others(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def stuck(*_: object) -> object:
        entered.set()
        await go_on.wait()
        return None

    monkeypatch.setattr(search, "search_workflows", stuck)
    searching = [asyncio.create_task(store.search_workflows(SearchQuery())) for _ in range(5)]
    await entered.wait()
    assert await store.answers(["x"]) == {}
    go_on.set()
    await asyncio.gather(*searching)
