"""The commands that the documents tell people to type, in order, read from the Markdown itself."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.docs.pages import DOCS

ROOT = DOCS.parent
SHELL = ("sh", "bash", "console")
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is the first one within it."""

    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One thing to type, or a whole block of Python; `shown` is what the page says comes of it."""

    page: str
    line: int
    language: str
    text: str
    shown: str = ""

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}: {self.text.splitlines()[0]}"


# The same blocks byte for byte as README.md, which its own test holds; what a program printed that ran its commands.
COPIES = {"README.zh-CN.md", "tests/bench/RESULTS.md"}


def pages() -> list[str]:
    """All that people read and that shows something to type."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("tests/*/*.md")]
    found += [page for top in ("docs", "deploy", "router_models") for page in (ROOT / top).rglob("*.md")]
    names = {str(page.relative_to(ROOT)) for page in found} - COPIES
    return sorted(name for name in names if blocks(name))


@cache
def blocks(page: str) -> tuple[Block, ...]:
    text = (ROOT / page).read_text("utf-8")
    return tuple(Block(page, text.count("\n", 0, one.start()) + 2, one[1], one[2]) for one in _FENCE.finditer(text))


@cache
def commands(page: str) -> tuple[Command, ...]:
    """Of blocks for the shell each command, of Python the block; a block `http` is what the command before it shows."""
    found: list[Command] = []
    for block in blocks(page):
        if block.language in SHELL:
            found += _typed(block)
        elif block.language == "python":
            found.append(Command(page, block.line, "python", block.text))
        elif block.language == "http":
            last = found.pop()
            found.append(Command(page, last.line, last.language, last.text, block.text))
    return tuple(found)


def _typed(block: Block) -> Iterator[Command]:
    """The fewest lines that bash takes for whole, without the comment behind them."""
    lines: list[str] = []
    prompted = block.language == "console"
    assert not prompted or "$ " in block.text, (
        f"{block.page}:{block.line}: without `$ ` nothing is typed here; call it sh"
    )
    for number, line in enumerate(block.text.splitlines()):
        if prompted:
            if not line.startswith("$ "):
                continue
            line = line[2:]
        if not lines and (not line.strip() or line.startswith("#")):
            continue
        lines.append(line)
        text = "\n".join(lines)
        if not line.endswith("\\") and whole(text):
            yield Command(block.page, block.line + number + 1 - len(lines), "sh", re.sub(r"\s{2,}# .*$", "", text))
            lines = []
    assert not lines, f"{block.page}:{block.line}: bash does not take this for whole: {lines}"


def whole(text: str) -> bool:
    return subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False).returncode == 0
