"""The scripts in a definition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from tenuto.graph.checks.tree import Site, sites
from tenuto.graph.definitions import WorkflowDef
from tenuto.model.json_values import Json

_JAVASCRIPT = frozenset(("javascript", "graaljs", "js"))


class Script(Struct, frozen=True):
    """`body`: the text is the body of a function, not a program."""

    path: str
    language: Literal["javascript", "jq"]
    text: str
    body: bool = False


def scripts_of(definition: WorkflowDef, path: str = "") -> list[Script]:
    """The scripts of a workflow and of the sub-workflows that are defined in it. Inputs with expressions in them are
    left out: what they come to is known only when they run."""
    scripts: list[Script] = []
    for site in sites(definition):
        place = f"{path}{site.path}"
        scripts += [script for script in _scripts(site, place) if script.text.strip()]
        given = site.node.sub_workflow_param
        if given is not None and isinstance(given.workflow_definition, WorkflowDef):
            scripts += scripts_of(given.workflow_definition, f"{place}.subWorkflowParam.workflowDefinition.")
    return scripts


def _scripts(site: Site, place: str) -> Iterator[Script]:
    node, given = site.node, site.node.input_parameters
    evaluator = (node.evaluator_type or "").lower()
    match node.type:
        case "SWITCH" if evaluator in _JAVASCRIPT:
            yield Script(f"{place}.expression", "javascript", node.expression or "")
        case "JOIN":
            yield Script(f"{place}.expression", "javascript", node.expression or "")
        case "DECISION":
            yield Script(f"{place}.caseExpression", "javascript", node.case_expression or "")
        case "DO_WHILE":
            yield Script(f"{place}.loopCondition", "javascript", node.loop_condition or "")
        case "INLINE" if str(given.get("evaluatorType") or "javascript").lower() in _JAVASCRIPT:
            yield from _input(place, given, "expression", "javascript")
        case "LAMBDA":
            yield from _input(place, given, "scriptExpression", "javascript", body=True)
        case "JSON_JQ_TRANSFORM":
            yield from _input(place, given, "queryExpression", "jq")
        case "HTTP_POLL":
            yield from _input(place, given, "terminationCondition", "javascript")
            request = given.get("http_request")
            if isinstance(request, dict):
                yield from _input(place, request, "http_request.terminationCondition", "javascript")


def _input(
    place: str, given: dict[str, Json], path: str, language: Literal["javascript", "jq"], *, body: bool = False
) -> Iterator[Script]:
    text = given.get(path.rpartition(".")[2])
    if isinstance(text, str) and "${" not in text:
        yield Script(f"{place}.inputParameters.{path}", language, text, body)
