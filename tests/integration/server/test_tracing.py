"""OpenTelemetry spans, seen by an exporter that keeps them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tenuto.server import tracing
from tenuto.server.settings import Settings
from tenuto.server.tracing_setup import tracing_for
from tests.integration.server.conftest import Served, one_server, served
from tests.support.conductor import Conductor, node, simple, sub_workflow, task_def, workflow


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "exporting", lambda endpoint: tracing.Tracing(SimpleSpanProcessor(exporter)))
    return exporter


@pytest.fixture
async def server(db: str, spans: InMemorySpanExporter) -> AsyncIterator[Served]:
    async with served(Settings(db=db, port=0, otel_endpoint="http://127.0.0.1:4318")) as running:
        yield running


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


@one_server
async def test_workflows_and_their_tasks(spans: InMemorySpanExporter, conductor: Conductor) -> None:
    await conductor.register(task_def("work"), workflow("child", simple("work")))
    id = await conductor.run(workflow("parent", sub_workflow("sub", "child")), correlationId="c")
    task = await conductor.poll("work")
    await conductor.complete(task)
    view = await conductor.until(id)
    [parent], [child] = named(spans, "workflow parent"), named(spans, "workflow child")
    [sub], [work] = named(spans, "task SUB_WORKFLOW"), named(spans, "task work")
    assert parent.attributes is not None
    assert parent.attributes["tenuto.workflow.id"] == id
    assert parent.attributes["tenuto.correlation_id"] == "c"
    assert parent.status.status_code is StatusCode.OK
    assert (parent.start_time or 0) // 1_000_000 == view["startTime"]
    assert (parent.end_time or 0) // 1_000_000 == view["endTime"]
    assert work.attributes is not None
    assert work.attributes["tenuto.task.id"] == task["taskId"]
    assert (work.start_time or 0) // 1_000_000 == task["startTime"]
    for inner, outer in ((sub, parent), (work, child)):
        assert inner.parent is not None
        assert inner.parent.span_id == outer.get_span_context().span_id
        assert inner.get_span_context().trace_id == outer.get_span_context().trace_id
    assert parent.parent is None
    assert parent.get_span_context().trace_id != child.get_span_context().trace_id
    assert child.links[0].context.span_id == sub.get_span_context().span_id
    assert sub.links[0].context.span_id == child.get_span_context().span_id


@one_server
async def test_failures_say_why(spans: InMemorySpanExporter, conductor: Conductor) -> None:
    await conductor.register(task_def("work"))
    id = await conductor.run(workflow("w", simple("work")))
    await conductor.fail(await conductor.poll("work"), "no luck")
    await conductor.until(id, "FAILED")
    for span in (*named(spans, "task work"), *named(spans, "workflow w")):
        assert span.status.status_code is StatusCode.ERROR
        assert "no luck" in (span.status.description or "")


@one_server
async def test_runs_of_system_tasks_belong_to_their_task(spans: InMemorySpanExporter, conductor: Conductor) -> None:
    call = {"uri": "http://127.0.0.1:1/", "method": "GET"}
    id = await conductor.run(workflow("w", node("HTTP", "call", {"http_request": call})))
    await conductor.until(id, "FAILED")
    [run], [task] = named(spans, "run HTTP"), named(spans, "task HTTP")
    assert run.parent is not None
    assert run.parent.span_id == task.get_span_context().span_id
    assert run.get_span_context().trace_id == task.get_span_context().trace_id
    assert run.status.status_code is StatusCode.ERROR


@one_server
async def test_requests_join_the_trace_of_their_caller(spans: InMemorySpanExporter, server: Served) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    await server.client.get("/workflow/none", headers={"traceparent": f"00-{trace}-{span}-01"})
    [request] = named(spans, "GET /api/workflow/{workflowId}")
    assert request.kind is SpanKind.SERVER
    assert f"{request.get_span_context().trace_id:032x}" == trace
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == span
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 404
    assert request.attributes["tenuto.workflow.id"] == "none"


def test_wanted_or_not() -> None:
    assert tracing_for(Settings(), {}) is None
    assert tracing_for(Settings(otel_endpoint="http://127.0.0.1:1"), {"OTEL_SDK_DISABLED": "true"}) is None
    made = tracing_for(Settings(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert made is not None
    made.close()


def test_nothing_is_imported_where_it_is_off() -> None:
    code = (
        "import sys, tenuto.server.run; assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
