"""Sequences as text: JSON that can be read back, mermaid diagrams, and plain text."""

from __future__ import annotations

import importlib
import itertools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tenuto.sequence.blocks import Parallel
from tenuto.sequence.decisions import Decision
from tenuto.sequence.nodes import BaseNode, FunctionNode
from tenuto.sequence.stages import Chain, Stage

if TYPE_CHECKING:
    from tenuto.sequence.workflow import Sequence

__all__ = ["from_json", "outline", "schema", "to_json"]


def schema(sequence: Sequence, format: str, mode: str) -> str:
    """The sequence as `mermaid`, `json` or `text`; `full` shows what is within blocks, decisions and nested sequences,
    `overview` only the main line. Raises ValueError for another format or mode."""
    if mode not in ("overview", "full"):
        raise ValueError(f"a schema's mode is overview or full, not {mode!r}")
    if format == "json":
        return to_json(sequence)
    if format == "mermaid":
        return _Mermaid(mode == "full").draw(sequence)
    if format == "text":
        return _Text(mode == "full").draw(sequence)
    raise ValueError(f"a schema is mermaid, json or text, not {format!r}")


def outline(stages: tuple[Stage, ...]) -> str:
    """The names of all nodes as they are arranged: the same in every process."""
    return " >> ".join(
        stage.name + "".join(f"({outline(inner)})" for _, inner in _within(stage) if stage.kind != "sequence")
        for stage in stages
    )


class _Text:
    def __init__(self, full: bool) -> None:
        self._full = full

    def draw(self, sequence: Sequence) -> str:
        return "\n".join([sequence.name, *self._chain(sequence.stages, "  ")])

    def _chain(self, stages: tuple[Stage, ...], indent: str) -> list[str]:
        return [line for stage in stages for line in self._stage(stage, indent)]

    def _stage(self, stage: Stage, indent: str) -> list[str]:
        lines = [f"{indent}{stage.name}"]
        if not self._full:
            return lines
        for label, inner in _within(stage):
            if label:
                lines.append(f"{indent}  {label}:")
            lines += self._chain(inner, indent + ("    " if label else "  "))
        return lines


class _Mermaid:
    def __init__(self, full: bool) -> None:
        self._full = full
        self._lines = ["flowchart TD"]
        self._count = 0

    def draw(self, sequence: Sequence) -> str:
        self._chain(sequence.stages, [], {})
        return "\n".join(self._lines)

    def _chain(
        self, stages: tuple[Stage, ...], before: list[tuple[str, str]], earlier: dict[Stage, str]
    ) -> list[tuple[str, str]]:
        """Draw stages after `before`, pairs of a drawn stage and the arrow's label; where the chain's end is.

        `earlier` says where the stages were drawn that a decision may go back to."""
        for stage in stages:
            own = self._stage(stage)
            self._arrows(before, own)
            before = [(own, "")]
            if self._full and not stage.is_node:
                before = self._inside(stage, own, earlier)
            earlier = {**earlier, stage: own}
        return before

    def _inside(self, stage: Stage, own: str, earlier: dict[Stage, str]) -> list[tuple[str, str]]:
        ends: list[tuple[str, str]] = []
        for label, inner in _within(stage):
            if not isinstance(stage, Decision):
                ends += self._chain(inner, [(own, "")], {})
            elif inner[-1] in earlier:
                self._arrows(self._chain(inner[:-1], [(own, label)], earlier), earlier[inner[-1]])
            else:
                ends += self._chain(inner, [(own, label)], earlier)
        return ends or [(own, "")]

    def _stage(self, stage: Stage) -> str:
        self._count += 1
        identity = f"n{self._count}"
        left, right = {"decision": ("{", "}"), "block": ("[[", "]]"), "sequence": ("[/", "/]")}.get(
            stage.kind, ("[", "]")
        )
        self._lines.append(f"    {identity}{left}{_quoted(stage.name)}{right}")
        return identity

    def _arrows(self, before: list[tuple[str, str]], to: str) -> None:
        for node, label in before:
            self._lines.append(f"    {node} -->{f'|{_quoted(label)}|' if label else ''} {to}")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'


def _within(stage: Stage) -> list[tuple[str, tuple[Stage, ...]]]:
    """The chains within a stage, with a label."""
    if isinstance(stage, Parallel):
        return [(f"branch {number}", branch) for number, branch in enumerate(stage.branches, 1)]
    if isinstance(stage, Decision):
        return [(branch.describe(), branch.stages) for branch in stage.branches]
    if isinstance(stage, Chain) or stage.kind == "sequence":
        return [("", stage.stages)]  # type: ignore[attr-defined]
    return []


def to_json(sequence: Sequence) -> str:
    """The sequence as JSON. Nodes are named by where they can be imported from; `from_json` needs that, so it can't
    read back nodes made within functions, nor decisions."""
    names = [stage.name for stage in sequence.stages]
    return json.dumps(
        {
            "workflow_id": sequence.name,
            "name": sequence.name,
            "type": "sequence",
            "nodes": [_form(stage) for stage in sequence.stages],
            "connections": [{"from": a, "to": b} for a, b in itertools.pairwise(names)],
            "metadata": {
                "created_at": datetime.now(UTC).isoformat(),
                "version": "1.0",
                "max_steps": sequence.max_steps,
                "description": f"{len(names)} stages",
            },
        },
        indent=1,
    )


def _form(stage: Stage) -> dict[str, Any]:
    form: dict[str, Any] = {"name": stage.name, "type": stage.kind}
    if isinstance(stage, FunctionNode):
        form["import"] = f"{stage.__module__}:{stage.__qualname__}"  # type: ignore[attr-defined]
    elif isinstance(stage, BaseNode):
        form["import"] = f"{type(stage).__module__}:{type(stage).__qualname__}"
    elif isinstance(stage, Parallel):
        form |= {"max_concurrent": stage.max_concurrent, "timeout": stage.timeout}
    if not stage.is_node:
        form["within"] = [
            {"label": label, "nodes": [_form(inner) for inner in chain]} for label, chain in _within(stage)
        ]
    return form


def from_json(kind: type[Sequence], text: str) -> Sequence:
    """The sequence that `to_json` wrote. Raises ValueError naming the node that can't be found again."""
    data = json.loads(text)
    stages = [_stage_from(form, kind) for form in data["nodes"]]
    return kind(*stages, name=data["name"], max_steps=data["metadata"]["max_steps"])


def _stage_from(form: dict[str, Any], kind: type[Sequence]) -> Stage:
    if form["type"] == "node":
        return _imported(form)
    inner = [tuple(_stage_from(own, kind) for own in chain["nodes"]) for chain in form.get("within", ())]
    if form["type"] == "block":
        return Parallel(tuple(inner), form["max_concurrent"], form["timeout"])
    if form["type"] == "sequence":
        return kind(*inner[0], name=form["name"])
    raise ValueError(f"a {form['type']} can't be read back from JSON: its conditions are code")


def _imported(form: dict[str, Any]) -> BaseNode:
    module, _, path = form["import"].partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"node {form['name']!r} can't be found again at {form['import']}: {error}") from error
    made = found() if isinstance(found, type) else found
    if not isinstance(made, BaseNode):
        raise ValueError(f"{form['import']} is no node any more, but {made!r}")
    return made if made.name == form["name"] else made.alias(form["name"])
