"""The board, read as Grafana reads it: panels, their targets, and expressions with the variables filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
BOARD = DEPLOY / "grafana/dashboards/smallfirst.json"
_MATCHER = r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"'
_WORDS = r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)"

Panel = dict[str, Any]


def board() -> Panel:
    whole: Panel = json.loads(BOARD.read_text("utf-8"))
    return whole


def rows() -> dict[str, list[Panel]]:
    """The panels under the title of each row."""
    found: dict[str, list[Panel]] = {}
    for panel in board()["panels"]:
        if panel["type"] == "row":
            found[panel["title"]] = []
        else:
            found[list(found)[-1]].append(panel)
    return found


def panels() -> list[Panel]:
    return [panel for row in rows().values() for panel in row]


def expressions(title: str) -> list[str]:
    return [target["expr"] for panel in panels() if panel["title"] == title for target in panel["targets"]]


def filled(expression: str, window: str, large: str) -> str:
    """For all gateways, and over one window wherever the board would choose one."""
    values = {"__range": window, "__rate_interval": window, "instance": ".*", "large": large}
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each metric of ours with the labels and values that are asked of it."""
    for found in re.finditer(r"(?<![:\w])smallfirst_(\w+)(?![:\w])\s*(?:\{([^}]*)\})?", expression):
        asked = re.findall(_MATCHER, found[2] or "")
        yield found[1], [(label, value) for label, operator, text in asked for value in _values(operator, text)]


def grouped(expression: str) -> set[str]:
    """Labels by which something is added up or matched."""
    lists = re.findall(_WORDS, expression)
    return {label.strip() for one in lists for label in one.split(",") if label.strip()}


def _values(operator: str, text: str) -> list[str]:
    return text.split("|") if "~" in operator else [text]
