"""Every store gives the answers that `tenuto.model.search` defines, on whatever rows and conditions come along."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenuto.model.search import (
    TASKS,
    WORKFLOWS,
    And,
    Between,
    Compare,
    Condition,
    FieldType,
    In,
    IsNull,
    Like,
    Not,
    Or,
    Searchable,
    SearchQuery,
    StartsWith,
)
from tenuto.store.protocol import TaskIndexRow, WorkflowIndexRow
from tenuto.store.urls import open_store
from tests.contract.rows import Engine, run, task_entry, workflow_entry
from tests.support.postgres import postgres_url

# Few values, so that rows meet conditions; with cases, wildcards of SQL, quotes, and all the lengths of UTF-8. No NUL,
# for that is where SQLite stops to look through a text.
TEXTS = st.text("aAbBkK\u212a%_*\\'äÄß€😀İ", max_size=3)
NUMBERS = st.integers(-1, 3)
IDENTIFIERS = {"workflow_id", "task_id", "workflow_type"}
NULLABLE = {
    "correlation_id",
    "created_by",
    "event",
    "reason",
    "idempotency_key",
    "end_time",
    "domain",
}


def _not_negative(value: str | int) -> str | int:
    """Nothing ended before 1970."""
    return max(value, 0) if isinstance(value, int) else value


def columns_of(searchable: Searchable, nullable: set[str]) -> st.SearchStrategy[dict[str, Any]]:
    def values(field: str) -> st.SearchStrategy[Any]:
        some: st.SearchStrategy[Any] = (
            TEXTS if searchable.fields.get(field, FieldType.TEXT) is FieldType.TEXT else NUMBERS
        )
        return some.map(_not_negative) | st.none() if field in nullable else some

    names = {*searchable.fields, *searchable.texts} - IDENTIFIERS
    return st.fixed_dictionaries({name: values(name) for name in sorted(names)})


def conditions_on(searchable: Searchable) -> st.SearchStrategy[Condition]:
    texts = st.sampled_from([name for name, type in searchable.fields.items() if type is FieldType.TEXT])
    numbers = st.sampled_from([name for name, type in searchable.fields.items() if type is not FieldType.TEXT])
    operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    leaves: st.SearchStrategy[Condition] = st.builds(IsNull, texts | numbers)
    leaves |= st.builds(StartsWith, texts, TEXTS)
    leaves |= st.builds(Like, texts, st.lists(TEXTS, min_size=1, max_size=4).map(tuple))
    for fields, values in ((texts, TEXTS), (numbers, NUMBERS)):
        leaves |= st.builds(Compare, fields, operators, values)
        leaves |= st.builds(In, fields, st.lists(values, max_size=3).map(tuple))
        leaves |= st.builds(Between, fields, values, values)
    return st.recursive(
        leaves,
        lambda parts: (
            st.builds(Not, parts)
            | st.builds(And, st.lists(parts, max_size=3).map(tuple))
            | st.builds(Or, st.lists(parts, max_size=3).map(tuple))
        ),
        max_leaves=6,
    )


def queries_on(searchable: Searchable) -> st.SearchStrategy[SearchQuery]:
    return st.builds(
        SearchQuery,
        condition=st.none() | conditions_on(searchable),
        free_text=st.just("") | TEXTS,
        sort=st.lists(st.tuples(st.sampled_from(sorted(searchable.fields)), st.booleans()), max_size=3),
        start=st.integers(0, 3),
        size=st.integers(0, 9),
    )


async def answers_agree(
    workflows: list[WorkflowIndexRow], tasks: list[TaskIndexRow], queries: list[SearchQuery], of_tasks: bool
) -> None:
    with TemporaryDirectory() as directory, postgres_url() as url_of_postgres:
        urls = ["memory://", f"sqlite:///{Path(directory) / 'x.db'}?synchronous=NORMAL", url_of_postgres]
        stores = [open_store(url) for url in urls]
        answers = []
        for store in stores:
            await store.open()
            engine = await Engine(store).lease()
            started = [run(row.run_id, row.workflow_id, workflow_type=row.workflow_type) for row in workflows]
            await engine.commit(started=started, indexed_workflows=workflows, indexed_tasks=tasks)
            search = store.search_tasks if of_tasks else store.search_workflows
            answers.append([await search(query) for query in queries])
            await store.close()
        for query, expected, *found in zip(queries, *answers, strict=True):
            assert found == [expected, expected], query


settled = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.timeout(300)
@settled
@given(
    st.lists(columns_of(WORKFLOWS, NULLABLE), max_size=6),
    st.lists(queries_on(WORKFLOWS), min_size=20, max_size=30),
)
def test_searches_for_workflows_agree(rows: list[dict[str, Any]], queries: list[SearchQuery]) -> None:
    workflows = [workflow_entry(f"r{i}", f"w{i}", workflow_type="aA"[i % 2], **row) for i, row in enumerate(rows)]
    asyncio.run(answers_agree(workflows, [], queries, of_tasks=False))


@pytest.mark.timeout(300)
@settled
@given(
    st.lists(columns_of(TASKS, NULLABLE | {"start_time"}), max_size=6),
    st.lists(queries_on(TASKS), min_size=20, max_size=30),
)
def test_searches_for_tasks_agree(rows: list[dict[str, Any]], queries: list[SearchQuery]) -> None:
    workflows = [workflow_entry(f"r{i}", f"w{i}", workflow_type="aA"[i % 2]) for i in range(2)]
    tasks = [
        task_entry(f"t{i}", f"r{i % 2}", f"w{i % 2}", workflow_type="aA"[i % 2], **row) for i, row in enumerate(rows)
    ]
    asyncio.run(answers_agree(workflows, tasks, queries, of_tasks=True))
