"""A decision: one execution at one moment, and what can be done to it. The rules in `kinds/`, `operations/` and the
neighbouring files are written with these verbs."""

from __future__ import annotations

from tenuto.graph import kinds, schemas, state_changes, successors
from tenuto.graph.context import Context
from tenuto.graph.definitions import TaskDef, WorkflowTask, compact
from tenuto.graph.effects import Evaluate, LookUp, Offer, Retract, RunSystemTask, Send
from tenuto.graph.execution import GraphExecution
from tenuto.graph.expressions import evaluate
from tenuto.graph.naming import with_scope
from tenuto.graph.plan import plan_of
from tenuto.graph.roots import Roots
from tenuto.graph.state import GraphState
from tenuto.graph.templates import ExpressionError
from tenuto.graph.weight import COMMIT, TooLarge, weigh
from tenuto.model.events import ExecutionRef
from tenuto.model.graph import Task, TaskStatus
from tenuto.model.json_values import Json
from tenuto.model.messages import Body, Message

SECOND = 1_000_000_000


class Decision:
    """`now`, definitions and ids come from `context`; every change is recorded in `execution`."""

    __slots__ = ("context", "execution", "state")

    def __init__(self, execution: GraphExecution, context: Context) -> None:
        self.execution = execution
        self.context = context
        self.state: GraphState = execution.state
        execution.now = context.now

    @property
    def now(self) -> int:
        return self.context.now

    # -- scheduling --------------------------------------------------------------------------------------------------

    def schedule(self, node: WorkflowTask, scope: tuple[int, ...]) -> None:
        """Schedule what stands at `node`, unless it is there already; what was skipped in advance is stepped over."""
        existing = self.state.by_reference.get(with_scope(node.task_reference_name, scope))
        if existing is None:
            kinds.kind_of(node.type, self.context.system_types).schedule(self, node, scope)
        elif existing.status == "SKIPPED" and existing.seq == 0:
            self.schedule_after(existing)

    def schedule_after(self, task: Task) -> None:
        """Schedule what comes after `task`, if anything does."""
        follower = successors.after(self.execution, task)
        if follower is not None:
            self.schedule(follower, task.scope)

    def create(
        self,
        node: WorkflowTask,
        scope: tuple[int, ...],
        *,
        task_type: str | None = None,
        def_name: str | None = None,
        kind: str | None = None,
        input: dict[str, Json] | None = None,
        status: TaskStatus = "SCHEDULED",
        output: dict[str, Json] | None = None,
        memory: dict[str, Json] | None = None,
        parent_task_id: str = "",
    ) -> Task:
        """A new task for `node`. `input` is what its input parameters evaluate to, unless given."""
        kind = kind or kinds.kind_name(node.type, self.context.system_types)
        task = Task(
            number=self.state.last_number + 1,
            task_id=self.context.new_id(),
            seq=self.state.next_seq,
            reference=with_scope(node.task_reference_name, scope),
            base=node.task_reference_name,
            kind=kind,
            task_type=task_type or (node.name if node.type == "SIMPLE" else node.type),
            def_name=def_name or node.name,
            scope=scope,
            memory=memory or {},
            scheduled_time=self.now,
            first_scheduled=self.now,
            update_time=self.now,
            status=status,
            output=output or {},
            parent_task_id=parent_task_id,
        )
        if node.start_delay > 0:
            task.start_delay = task.callback_after = float(node.start_delay)
            task.available_at = self.now + int(node.start_delay * SECOND)
        if status != "SCHEDULED":
            task.start_time = self.now
        if not task.open:
            task.end_time = self.now
        self._add_own_definitions(task, node)
        task.domain = self._domain(task)
        if input is None:
            self.give_input(task, node, {})
        else:
            task.input = input
        self.record(task)
        return task

    def give_input(self, task: Task, node: WorkflowTask, old: dict[str, Json]) -> None:
        """The input of a new task, or of another attempt, on top of the `old` one. If there can't be any, or not one
        that its definition allows, the task has failed already."""
        try:
            task.input = kinds.of(task).make_input(self, node, task, old)
            problem = self.weight_problem(f"the input of {task.reference}", task.input)
            if problem:
                task.input = {}
            problem = problem or self._input_problem(task, node)
        except ExpressionError as error:
            problem = f"the input of {task.reference}: {error}"
        if problem:
            task.status, task.reason = "FAILED_WITH_TERMINAL_ERROR", problem
            task.start_time = task.end_time = self.now

    def _input_problem(self, task: Task, node: WorkflowTask) -> str:
        definition = self._definition_of(node, task)
        if not definition.enforce_schema or definition.input_schema is None:
            return ""
        problem = schemas.problem(definition.input_schema, task.input, self.context.definitions)
        return problem and f"the input of {task.reference} is not what its inputSchema allows: {problem}"

    def weight_problem(self, what: str, value: Json) -> str:
        """Why a value can't be kept; empty if it can. What is kept between two commits is limited, too."""
        try:
            self.execution.growth += weigh(value)
        except TooLarge as error:
            return f"{what} {error}"
        if self.execution.growth > COMMIT:
            return f"{what} is one too much: the execution would grow by more than {COMMIT:,} bytes at one go"
        return ""

    def record(self, task: Task) -> None:
        self.execution.schedule(task)
        state_changes.react(self, task, "SCHEDULED")
        if task.status != "SCHEDULED":
            state_changes.react(self, task, task.status)

    def _add_own_definitions(self, task: Task, node: WorkflowTask) -> None:
        """What is not in the workflow's definition as it stands, the task carries itself."""
        base = node.task_reference_name
        if self.state.plan.node(base) is not node:
            task.node = compact(node)
        elif plan_of(self.state.definition).node(base) is node:
            return
        if node.task_definition is None and node.name not in self.state.plan.snapshot.tasks:
            registered = self.context.definitions.task(node.name)
            task.definition = None if registered is None else compact(registered)

    def input_of(self, node: WorkflowTask, task: Task, base_input: dict[str, Json] | None = None) -> dict[str, Json]:
        """The input of `task` as its parameters evaluate now, with what the task definition's template adds."""
        roots = Roots(self.execution, self.context, task.task_id)
        template = self._definition_of(node, task).input_template
        parameters = {**template, **node.input_parameters}
        values: dict[str, Json] = dict(base_input or {})
        if node.input_expression is not None:
            values.update(_whole_input(node.input_expression.expression, roots))
        values.update(evaluate(parameters, roots))
        for name, default in template.items():
            if values.get(name) is None:
                values[name] = default
        return values

    def _definition_of(self, node: WorkflowTask, task: Task) -> TaskDef:
        if task.definition is None and task.node is None and node.task_definition is None:
            return self.state.plan.snapshot.tasks.get(task.def_name) or TaskDef(name="")
        return self.execution.task_def(task)

    def _domain(self, task: Task) -> str:
        domains = self.state.started.task_to_domain
        if not domains or kinds.is_engine_task(task.kind):
            return ""
        value = domains.get(task.task_type) or domains.get("*")
        if not value:
            return ""
        choice = self.context.route(task.task_type, [part.strip() for part in value.split(",") if part.strip()])
        return "" if choice.upper() == "NO_DOMAIN" else choice

    # -- tasks -------------------------------------------------------------------------------------------------------

    def looks_up(self, name: str) -> bool:
        """There is no definition of that name. True if that is not certain, and is found out now."""
        if self.context.definitions.is_settled(name):
            return False
        self.execution.effects.append(LookUp(name))
        return True

    def offer(self, task: Task) -> None:
        """Let the task be handed out."""
        if task.number not in self.execution.offered:
            self.execution.offered.add(task.number)
            self.execution.effects.append(Offer(task.number))

    def run(self, task: Task) -> None:
        """Let the engine's process run the task, again if it ran before."""
        if task.number not in self.execution.running:
            self.execution.running.add(task.number)
            self.execution.effects.append(RunSystemTask(task.number))

    def evaluate(
        self, task: Task, script: str, value: Json, *, language: str = "javascript", body: bool = False
    ) -> None:
        """Have a script run for the task; its kind's `evaluated` gets the result. Raises ExpressionError."""
        problem = self.weight_problem(f"what the script of {task.reference} is given", value)
        if problem:
            raise ExpressionError(problem)
        if task.number not in self.execution.evaluating:
            self.execution.evaluating.add(task.number)
            effect = Evaluate(task.number, "jq" if language == "jq" else "javascript", script, value, body)
            self.execution.effects.append(effect)

    def start(self, task: Task, cause: str = "started", **changes: Json) -> None:
        """The task is IN_PROGRESS from now on."""
        first = not task.start_time
        if first:
            changes.setdefault("start_time", self.now)
        self.execution.change_task(task, cause, status="IN_PROGRESS", **changes)
        if first:
            state_changes.react(self, task, "IN_PROGRESS")

    def end(
        self, task: Task, status: TaskStatus, output: dict[str, Json] | None = None, reason: str = "", **changes: Json
    ) -> None:
        """The task is over. What follows from that is decided in the same decision."""
        if output is not None:
            changes["output"] = output
        problem = self.weight_problem(f"the output of {task.reference}", output) if output else ""
        if problem:
            changes["output"] = {}
        elif status == "COMPLETED":
            problem = self._output_problem(task, output or {})
        if problem:
            status, reason = "FAILED_WITH_TERMINAL_ERROR", problem
        if reason:
            changes["reason"] = reason
        if not task.start_time:
            changes.setdefault("start_time", self.now)
        self.retract(task)
        self.execution.change_task(task, status.lower(), status=status, end_time=self.now, **changes)
        state_changes.react(self, task, status)

    def _output_problem(self, task: Task, output: dict[str, Json]) -> str:
        definition = self.execution.task_def(task)
        if not definition.enforce_schema or definition.output_schema is None:
            return ""
        problem = schemas.problem(definition.output_schema, output, self.context.definitions)
        return problem and f"the output of {task.reference} is not what its outputSchema allows: {problem}"

    def retract(self, task: Task) -> None:
        """No queue holds the task any more, and nobody goes on with it."""
        execution = self.execution
        if task.kind in ("SIMPLE", "SYSTEM") or task.number in execution.evaluating:
            execution.offered.discard(task.number)
            execution.running.discard(task.number)
            execution.evaluating.discard(task.number)
            execution.effects.append(Retract(task.number))

    # -- others ------------------------------------------------------------------------------------------------------

    def send(self, workflow_id: str, body: Body, run_id: str | None = None) -> None:
        """Send a message to another execution; it leaves with the commit."""
        self.execution.effects.append(Send(Message(ExecutionRef(workflow_id, run_id), body)))

    def value(self, template: Json, task: Task | None = None) -> Json:
        """What a template with `${...}` evaluates to now."""
        return evaluate(template, Roots(self.execution, self.context, task.task_id if task else "", task))


def _whole_input(expression: str, roots: Roots) -> dict[str, Json]:
    """What an `inputExpression` comes to."""
    whole = evaluate(expression if expression.startswith("${") else "${" + expression + "}", roots)
    if not isinstance(whole, dict):
        raise ExpressionError(f"the inputExpression must give an object, not {type(whole).__name__}")
    return whole
