"""The kinds of tasks: which rules apply to which type. A type that is not listed is a task for a worker."""

from __future__ import annotations

from tenuto.graph.kinds.decision_ import DecisionTask
from tenuto.graph.kinds.do_while import DoWhile
from tenuto.graph.kinds.dynamic import Dynamic
from tenuto.graph.kinds.exclusive_join import ExclusiveJoin
from tenuto.graph.kinds.fork_join import ForkJoin
from tenuto.graph.kinds.fork_join_dynamic import ForkJoinDynamic
from tenuto.graph.kinds.human import Human
from tenuto.graph.kinds.inline import Inline
from tenuto.graph.kinds.join import Join
from tenuto.graph.kinds.json_jq_transform import JsonJqTransform
from tenuto.graph.kinds.kind import Kind
from tenuto.graph.kinds.lambda_ import Lambda
from tenuto.graph.kinds.noop import Noop
from tenuto.graph.kinds.pull_workflow_messages import PullWorkflowMessages
from tenuto.graph.kinds.set_variable import SetVariable
from tenuto.graph.kinds.start_workflow import StartWorkflow
from tenuto.graph.kinds.sub_workflow import SubWorkflow
from tenuto.graph.kinds.switch import Switch
from tenuto.graph.kinds.system import System
from tenuto.graph.kinds.terminate import Terminate
from tenuto.graph.kinds.wait import Wait
from tenuto.graph.kinds.worker import Worker
from tenuto.model.graph import Task

WORKER, SYSTEM = "SIMPLE", "SYSTEM"

JOIN = Join()

KINDS: dict[str, Kind] = {
    WORKER: Worker(),
    SYSTEM: System(),
    "DECISION": DecisionTask(),
    "DO_WHILE": DoWhile(),
    "DYNAMIC": Dynamic(),
    "EXCLUSIVE_JOIN": ExclusiveJoin(),
    "FORK_JOIN": ForkJoin(),
    "FORK_JOIN_DYNAMIC": ForkJoinDynamic(),
    "HUMAN": Human(),
    "INLINE": Inline(),
    "JOIN": JOIN,
    "JSON_JQ_TRANSFORM": JsonJqTransform(),
    "LAMBDA": Lambda(),
    "NOOP": Noop(),
    "PULL_WORKFLOW_MESSAGES": PullWorkflowMessages(),
    "SET_VARIABLE": SetVariable(),
    "START_WORKFLOW": StartWorkflow(),
    "SUB_WORKFLOW": SubWorkflow(),
    "SWITCH": Switch(),
    "TERMINATE": Terminate(),
    "WAIT": Wait(),
    "WAIT_FOR_WEBHOOK": Human(),
}


def kind_name(task_type: str, system_types: frozenset[str]) -> str:
    """Under which name the rules of a type are found."""
    if task_type in KINDS:
        return task_type
    return SYSTEM if task_type in system_types else WORKER


def kind_of(task_type: str, system_types: frozenset[str]) -> Kind:
    """The rules of a type."""
    return KINDS[kind_name(task_type, system_types)]


def of(task: Task) -> Kind:
    """The rules of a task."""
    return KINDS[task.kind]


def is_engine_task(kind: str) -> bool:
    """Does the engine itself see to tasks of this kind, rather than a worker?"""
    return kind != WORKER
