"""Workflows as sequences: plain functions made into nodes, chained with `>>`, run in the caller's process.

@node("fetch_user")
def fetch_user(user_id: int) -> dict: ...

workflow = Sequence(fetch_user >> parallel(fetch_orders, fetch_preferences) >> aggregate)
profile = workflow.execute(123)
"""

from __future__ import annotations

from tenuto.sequence.blocks import Parallel as ParallelNode
from tenuto.sequence.caches import Cache
from tenuto.sequence.children import child_workflow
from tenuto.sequence.circuits import Circuit
from tenuto.sequence.class_nodes import AsyncBatchNode, AsyncNode, AsyncParallelBatchNode, BatchNode
from tenuto.sequence.clock import InstantClock
from tenuto.sequence.conditions import NodeMapper, create_type_pattern
from tenuto.sequence.conditions import default as _
from tenuto.sequence.controller import WorkflowController
from tenuto.sequence.decisions import decision
from tenuto.sequence.errors import (
    CircuitOpenError,
    FatalError,
    MaxIterationsExceededError,
    MaxStepsExceededError,
    NodeNotFoundError,
    ParallelExecutionError,
    ParallelTimeoutError,
    RetryableError,
    WorkflowError,
    WorkflowStoppedException,
)
from tenuto.sequence.joining import parallel
from tenuto.sequence.nodes import BaseNode, Node, node
from tenuto.sequence.reporting import (
    ErrorReport,
    PerformanceAlert,
    PerformanceSummary,
    PerformanceThreshold,
    WorkflowMetrics,
    WorkflowMetricsCollector,
    WorkflowReportingSystem,
)
from tenuto.sequence.state import ParallelResults, SharedState, workflow_state
from tenuto.sequence.type_checks import (
    TypeMismatchWarning,
    WorkflowTypeChecker,
    check_node_chain_types,
    get_type_checker,
    set_type_checking_mode,
    type_checking_mode,
)
from tenuto.sequence.validation import (
    BaseValidator,
    SequenceValidator,
    ValidationError,
    ValidationIssue,
    ValidationResult,
    ValidationSeverity,
    ValidationWarning,
    create_default_validator,
    validate_sequence,
)
from tenuto.sequence.validators import CycleDetectionValidator, DependencyValidator, SchemaValidator
from tenuto.sequence.workflow import Sequence

__all__ = [
    "AsyncBatchNode",
    "AsyncNode",
    "AsyncParallelBatchNode",
    "BaseNode",
    "BaseValidator",
    "BatchNode",
    "Cache",
    "Circuit",
    "CircuitOpenError",
    "CycleDetectionValidator",
    "DependencyValidator",
    "ErrorReport",
    "FatalError",
    "InstantClock",
    "MaxIterationsExceededError",
    "MaxStepsExceededError",
    "Node",
    "NodeMapper",
    "NodeNotFoundError",
    "ParallelExecutionError",
    "ParallelNode",
    "ParallelResults",
    "ParallelTimeoutError",
    "PerformanceAlert",
    "PerformanceSummary",
    "PerformanceThreshold",
    "RetryableError",
    "SchemaValidator",
    "Sequence",
    "SequenceValidator",
    "SharedState",
    "TypeMismatchWarning",
    "ValidationError",
    "ValidationIssue",
    "ValidationResult",
    "ValidationSeverity",
    "ValidationWarning",
    "WorkflowController",
    "WorkflowError",
    "WorkflowMetrics",
    "WorkflowMetricsCollector",
    "WorkflowReportingSystem",
    "WorkflowStoppedException",
    "WorkflowTypeChecker",
    "_",
    "check_node_chain_types",
    "child_workflow",
    "create_default_validator",
    "create_type_pattern",
    "decision",
    "get_type_checker",
    "node",
    "parallel",
    "set_type_checking_mode",
    "type_checking_mode",
    "validate_sequence",
    "workflow_state",
]
