"""Reading a page of the documentation: its tables by their heading, and what stands in backticks."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"
_CODE = re.compile(r"`([^`]+)`")


@cache
def text(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def section(name: str, heading: str) -> str:
    """What stands under a heading, up to the next one. The heading as it is written, without its `#`."""
    parts = re.split(r"^#{1,4} (.+)\n", text(name), flags=re.MULTILINE)
    return parts[parts.index(heading) + 1]


def rows(name: str, heading: str, number: int = 0) -> list[list[str]]:
    """The cells of the `number`-th table under a heading, row by row."""
    lines = section(name, heading).splitlines()
    tables: list[list[list[str]]] = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            tables[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return tables[number][2:]


def words(cell: str) -> list[str]:
    """Everything in backticks."""
    return _CODE.findall(cell)


def word(cell: str) -> str:
    """The one thing in backticks that comes first."""
    return words(cell)[0]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(name), re.DOTALL | re.MULTILINE)
