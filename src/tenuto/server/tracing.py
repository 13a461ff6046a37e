"""OpenTelemetry spans: of requests, of runs of system tasks, and of workflows and their tasks.

Workflows and tasks outlive processes, so their spans are made when they end, from the times on record, and their ids
follow from the ids of workflow and task: whoever makes the span of a task knows that of its workflow, without having
seen its start. A workflow is a trace; that of a sub-workflow is linked with the task that waits for it.

Imported only where spans are wanted; needs the extra `otel`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from starlette.types import Message, Receive, Scope, Send

from tenuto import __version__
from tenuto.engine.batch import Batch
from tenuto.engine.observer import Transition
from tenuto.graph.state import GraphState
from tenuto.model.graph import OPEN_STATUSES, Task
from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.server.execution_metrics import GOING_ON

if TYPE_CHECKING:
    from tenuto.server.app import App

_ERRORS = frozenset(("FAILED", "FAILED_WITH_TERMINAL_ERROR", "TIMED_OUT", "TERMINATED"))


class GivenIds(RandomIdGenerator):
    """Gives the next span the ids that were set."""

    def __init__(self) -> None:
        self.trace: int | None = None
        self.span: int | None = None

    def generate_trace_id(self) -> int:
        trace, self.trace = self.trace, None
        return super().generate_trace_id() if trace is None else trace

    def generate_span_id(self) -> int:
        span, self.span = self.span, None
        return super().generate_span_id() if span is None else span


class Tracing:
    """Makes spans and hands them to `processor`. An observer of the engine."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._ids = GivenIds()
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "tenuto"}))
        self._provider = TracerProvider(id_generator=self._ids, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("tenuto", __version__)

    def close(self) -> None:
        """Send what is left; may take as long as the collector's time-out."""
        self._provider.shutdown()

    # -- workflows and tasks -------------------------------------------------------------------------------------------

    def committed(self, batch: Batch) -> None:
        """Make the spans of all that a batch ends."""
        for transition in batch.transitions:
            if transition.task is None:
                if transition.status not in GOING_ON:
                    self._workflow(transition)
            elif transition.status not in OPEN_STATUSES:
                self._task(transition, transition.task)

    def _workflow(self, transition: Transition) -> None:
        state = transition.graph.state
        started = state.started
        if not self._sampled(started.workflow_id):
            return
        links = []
        if started.parent is not None and started.parent_task_id:
            links.append(Link(_context(started.parent.workflow_id, started.parent_task_id)))
        self._ids.trace, self._ids.span = _trace_id(started.workflow_id), _span_id(started.workflow_id)
        span = self._tracer.start_span(
            f"workflow {started.workflow_type}",
            Context(),
            attributes=_of_workflow(state) | {"tenuto.status": transition.status},
            links=links,
            start_time=state.start_time,
        )
        span.set_status(_status(transition.status, state.reason))
        span.end(max(state.end_time, state.start_time))

    def _task(self, transition: Transition, task: Task) -> None:
        state = transition.graph.state
        workflow_id = state.started.workflow_id
        if not self._sampled(workflow_id):
            return
        links = [Link(_context(task.sub_workflow_id))] if task.sub_workflow_id else []
        self._ids.span = _span_id(task.task_id)
        begin = task.start_time or task.scheduled_time
        span = self._tracer.start_span(
            f"task {task.task_type}",
            _parent(_context(workflow_id)),
            attributes=_of_workflow(state)
            | {
                "tenuto.task.id": task.task_id,
                "tenuto.task.type": task.task_type,
                "tenuto.task.reference": task.reference,
                "tenuto.task.retry_count": task.retry_count,
                "tenuto.worker.id": task.worker_id,
                "tenuto.status": transition.status,
            },
            links=links,
            start_time=begin,
        )
        span.set_status(_status(transition.status, task.reason))
        span.end(max(task.end_time, begin))

    def _sampled(self, workflow_id: str) -> bool:
        """Whether the sampler wants the trace of this workflow; the same for all its spans."""
        result = self._provider.sampler.should_sample(None, _trace_id(workflow_id), "workflow")
        return result.decision is Decision.RECORD_AND_SAMPLE

    # -- what runs in this process -------------------------------------------------------------------------------------

    @contextmanager
    def run(self, task: SystemTask) -> Iterator[list[SystemTaskResult]]:
        """The block runs a system task once, and puts what came of it into the list."""
        parent = _parent(_context(task.workflow_id, task.task_id, self._sampled(task.workflow_id)))
        attributes = {"tenuto.workflow.id": task.workflow_id, "tenuto.task.id": task.task_id}
        results: list[SystemTaskResult] = []
        with self._tracer.start_as_current_span(
            f"run {task.task_type}", parent, SpanKind.CLIENT, attributes, record_exception=False
        ) as span:
            yield results
            for result in results:
                span.set_status(_status(result.status, result.reason or ""))

    def traced(self, app: App) -> TracedApp:
        """The application, with a span for each request."""
        return TracedApp(app, self)

    @contextmanager
    def request(self, app: App, scope: Scope) -> Iterator[list[int]]:
        """The block answers a request, and puts the status into the list."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            found = app.table.find(scope["method"], scope["raw_path"].decode("latin-1"))
        except ValueError:
            found = None
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"]}
        name = scope["method"]
        if found is not None:
            route, parameters = found
            attributes["http.route"] = route.path
            name = f"{scope['method']} {route.path}"
            for parameter in ("workflowId", "taskId"):
                if parameter in parameters:
                    attributes[f"tenuto.{parameter.removesuffix('Id')}.id"] = parameters[parameter]
        statuses: list[int] = []
        with self._tracer.start_as_current_span(
            name, propagate.extract(headers, Context()), SpanKind.SERVER, attributes
        ) as span:
            yield statuses
            for status in statuses:
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_status(Status(StatusCode.ERROR))


class TracedApp:
    """An ASGI application around another."""

    def __init__(self, app: App, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._tracing.request(self._app, scope) as statuses:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])
                await send(message)

            await self._app(scope, receive, noting)


def exporting(endpoint: str) -> Tracing:
    """Spans go to an OpenTelemetry collector; "": to the one that the variables `OTEL_*` name."""
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces") if endpoint else OTLPSpanExporter()
    return Tracing(BatchSpanProcessor(exporter))


def _trace_id(workflow_id: str) -> int:
    return int.from_bytes(sha256(workflow_id.encode()).digest()[:16], "big")


def _span_id(id: str) -> int:
    return int.from_bytes(sha256(id.encode()).digest()[16:24], "big")


def _context(workflow_id: str, task_id: str = "", sampled: bool = True) -> SpanContext:
    """The context of the span of a workflow, or of a task of it."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return SpanContext(_trace_id(workflow_id), _span_id(task_id or workflow_id), is_remote=True, trace_flags=flags)


def _parent(context: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(context), Context())


def _of_workflow(state: GraphState) -> dict[str, str | int]:
    return {
        "tenuto.workflow.id": state.started.workflow_id,
        "tenuto.workflow.type": state.started.workflow_type,
        "tenuto.workflow.version": state.version,
        "tenuto.correlation_id": state.correlation_id,
    }


def _status(status: str, reason: str) -> Status:
    if status in _ERRORS:
        return Status(StatusCode.ERROR, reason or status)
    return Status(StatusCode.OK if status in ("COMPLETED", "SKIPPED") else StatusCode.UNSET)
