"""What the documents tell people to type exists, their configs load, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from app.cli import COMMANDS
from app.settings import Source

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for top in ("docs", "deploy", "router_models") for page in (ROOT / top).rglob("*.md"))]
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`]+)`")
_METRIC = re.compile(r"\bsmallfirst_\w+")


def blocks(*languages: str) -> list[str]:
    return [
        code for page in PAGES for language, code in _BLOCK.findall(page.read_text("utf-8")) if language in languages
    ]


def typed(program: str) -> list[list[str]]:
    """The words after `program` on each line of a shell block, comments left out."""
    lines = [
        line.partition(" #")[0].split() for block in blocks("sh", "bash", "console") for line in block.splitlines()
    ]
    return [line[1:] for line in lines if line[:1] == [program]]


def told(program: str) -> list[list[str]]:
    """The words after `program` in each span of code within the text."""
    spans = [span.split() for page in PAGES for span in _SPAN.findall(_BLOCK.sub("", page.read_text("utf-8")))]
    return [words[1:] for words in spans if words[0] == program and len(words) > 1]


def options(command: str) -> set[str]:
    built = typer.main.get_command(_program(command))
    return {name for parameter in built.params for name in parameter.opts}


def _program(command: str) -> typer.Typer:
    program = typer.Typer(add_completion=False)
    program.command()(next(one for one in COMMANDS if one.__name__ == command))
    return program


@pytest.mark.parametrize("words", [*typed("smallfirst"), *told("smallfirst")], ids=" ".join)
def test_each_command_exists(words: list[str]) -> None:
    """With the options that are shown."""
    assert words[0] in {command.__name__ for command in COMMANDS}
    assert {word for word in words if word.startswith("--")} <= options(words[0])


def test_each_target_exists() -> None:
    """What follows `make` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    asked = {words[0] for words in typed("make")} | {
        word for page in PAGES for word in re.findall(r"`make ([a-z-]+)", page.read_text("utf-8"))
    }
    assert asked
    assert asked <= targets


@pytest.mark.parametrize("text", blocks("yaml"))
def test_each_config_loads(text: str) -> None:
    """Whole configs only; the one thing missing may be a secret."""
    assert [warning for warning in Source(None, {}, text).load().warnings if "is not set" not in warning] == []


def test_python_compiles() -> None:
    """Code for people to copy is at least Python."""
    for code in blocks("python"):
        compile(code, "block", "exec")


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in _LINK.findall(page.read_text("utf-8")):
            if not re.match(r"[a-z]+:|#", target):
                yield page, target.partition("#")[0]


def test_links_resolve() -> None:
    """Within the repository, and to files that belong to it."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    kept = {ROOT / name for name in listed.stdout.splitlines()}  # empty where this is no checkout
    for page, target in links():
        found = (page.parent / target).resolve()
        assert found.exists(), f"{page.name}: {target}"
        assert not kept or found in kept or any(found in path.parents for path in kept), f"{target} is not in git"


def test_metrics_exist() -> None:
    """A metric that a document names is one that the gateway has."""
    source = (ROOT / "app/telemetry/metrics.py").read_text("utf-8")
    for page in PAGES:
        for name in _METRIC.findall(page.read_text("utf-8")):
            shown = re.sub(r"_(total|bucket|sum|count)$", "", name.removeprefix("smallfirst_"))
            assert f'"{shown}' in source, name
