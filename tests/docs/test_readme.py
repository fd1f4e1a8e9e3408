"""README.md and the code say the same: kinds, examples, paths, headers. What is typed there has a test of its own."""

from __future__ import annotations

import re

from app.cli import COMMANDS
from tests.clients.checks import CHECKS
from tests.docs.pages import DOCS, rows, word, words
from tests.docs.test_config_page import KINDS

README = (DOCS.parent / "README.md").read_text("utf-8")
EXAMPLES = DOCS.parent / "config/examples"
PREFIX = "x-smallfirst-"


def table(first: str) -> list[list[str]]:
    """The rows below the head that begins with `first`; its cells, in backticks or not."""
    lines = README.partition(f"| {first}")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_kinds_of_backends() -> None:
    """All, and no others."""
    said = README.partition("Backend kinds: ")[2].partition("a fake")[0]
    assert set(words(said)) == set(KINDS)


def test_each_example_has_a_row() -> None:
    """Beside config/gateway.yaml."""
    linked = [re.findall(r"\((\S+)\)", row[1])[0] for row in table("way to run")]
    assert sorted(linked) == sorted(
        ["config/gateway.yaml", *(f"config/examples/{one.name}" for one in EXAMPLES.iterdir())]
    )


def test_endpoints() -> None:
    """Those of docs/http.md, which is compared with the code; the description of itself may be left out."""
    known = {(row[0], word(row[1])) for row in rows("http.md", "Endpoints")}
    told = {pair for row in table("path") for pair in paths(words(row[0]))}
    assert told <= known | {("GET", "/v1/models/{id}")}
    assert {path for _, path in known} - {path for _, path in told} == {"/openapi.json", "/v1/models/{model_id}"}


def paths(cell: list[str]) -> list[tuple[str, str]]:
    """`POST /a`, `/b` are two, both asked by POST."""
    method, found = "", []
    for one in cell:
        *named, path = one.split()
        method = named[0] if named else method
        found.append((method, path))
    return found


def test_headers() -> None:
    """Each is one of docs/http.md; of ours none is left out."""
    asked = {word(row[0]).partition(":")[0] for row in table("request header")}
    assert asked <= {word(row[0]) for row in rows("http.md", "Requests")}
    answered = {
        one if one.startswith("x-") else PREFIX + one for row in table("response header") for one in words(row[0])
    }
    assert answered == {
        word(row[0]) for row in rows("http.md", "Responses") if word(row[0]).startswith((PREFIX, "x-req"))
    }


def test_reasons() -> None:
    """In the order of docs/http.md, but for the two that stand last there and apart here."""
    part = README.partition("## How a decision is made\n")[2].partition("\n## ")[0]
    told = [name for item in re.findall(r"^\d\. ((?:`[\w-]+`(?:, )?)+):", part, re.MULTILINE) for name in words(item)]
    known = [word(row[0]) for row in rows("http.md", "Why this tier")]
    assert set(told) | {"router-unavailable"} == set(known)
    assert "`router-unavailable`" in part


def test_how_many_clients() -> None:
    """OpenAI for Python, those that are run in environments of their own, and Open WebUI."""
    assert len(CHECKS) + 2 == 11
    assert "eleven that are tested" in README


def test_commands_that_are_not_there() -> None:
    """It says so as long as it is true."""
    part = README.partition("## What is not there yet\n")[2].partition("\n## ")[0]
    absent = words(part.partition("`replay`")[1] + part.partition("`replay`")[2])
    assert absent == ["replay", "report"]
    assert not {command.__name__ for command in COMMANDS} & set(absent)
