"""Figures as text."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterator
from typing import Any

__all__ = ["render"]

Figures = dict[str, dict[str, Any]]


def render(format: str, figures: Figures) -> str:
    """Sections of figures as markdown, json, csv or html. Raises ValueError for another format."""
    renderers = {"markdown": _markdown, "json": _json, "csv": _csv, "html": _html}
    if format not in renderers:
        raise ValueError(f"a report is {', '.join(renderers)}, not {format!r}")
    return renderers[format](figures)


def _lines(figures: Figures) -> Iterator[tuple[str, str, str]]:
    for section, values in figures.items():
        for key, value in values.items():
            yield section, key, f"{value:.6f}" if isinstance(value, float) else str(value)


def _markdown(figures: Figures) -> str:
    rows = [f"| {section} | {key} | {value.replace('|', chr(92) + '|')} |" for section, key, value in _lines(figures)]
    return "\n".join(["# Workflow report", "", "| section | figure | value |", "|---|---|---|", *rows, ""])


def _json(figures: Figures) -> str:
    return json.dumps(figures, indent=1, default=str)


def _csv(figures: Figures) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["section", "figure", "value"])
    writer.writerows(_lines(figures))
    return text.getvalue()


def _html(figures: Figures) -> str:
    rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in _lines(figures))
    return "<table>\n" + "".join(f"<tr>{row}</tr>\n" for row in rows) + "</table>\n"
