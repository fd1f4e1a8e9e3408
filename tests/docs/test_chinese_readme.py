"""README.zh-CN.md is in step with README.md: the same headings, code, links and tables, in the same order."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import DOCS

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
_BLOCK = re.compile(r"^```\w+\n.*?^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")


def read(name: str) -> str:
    return (DOCS.parent / name).read_text("utf-8")


def prose(name: str) -> str:
    """Without the blocks of code, where `#` is a comment and backticks mean something else."""
    return _BLOCK.sub("", read(name))


def levels(name: str) -> list[int]:
    return [len(signs) for signs in re.findall(r"^(#+) ", prose(name), re.MULTILINE)]


def links(name: str) -> list[str]:
    """Where they lead, in order; the first is that to the other language."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(name))[1:]


def tables(name: str) -> list[list[int]]:
    """How many cells each row has, table by table."""
    found = re.findall(r"(?:^\|.*\n)+", prose(name), re.MULTILINE)
    return [[row.count("|") - 1 for row in table.splitlines()] for table in found]


def items(name: str) -> list[str]:
    """The marks of all lists."""
    return re.findall(r"^(-|\d\.) ", prose(name), re.MULTILINE)


def test_headings() -> None:
    """As many, of the same level, one for one."""
    assert levels(ENGLISH) == levels(CHINESE)
    assert len(levels(ENGLISH)) >= 10


def test_blocks() -> None:
    """Byte for byte: what is typed is typed in any language."""
    assert _BLOCK.findall(read(ENGLISH)) == _BLOCK.findall(read(CHINESE))


@pytest.mark.parametrize("part", [links, tables, items])
def test_in_step(part: object) -> None:
    """A link, a row or a point that one has, the other has in the same place."""
    assert part(ENGLISH) == part(CHINESE)  # type: ignore[operator]
    assert part(ENGLISH)  # type: ignore[operator]


def test_names() -> None:
    """Keys, headers, paths and metrics in backticks are not translated, and none is left out."""
    told = [sorted(_SPAN.findall(prose(name))) for name in (ENGLISH, CHINESE)]
    assert told[0] == told[1]


def test_each_leads_to_the_other() -> None:
    """Before the first paragraph."""
    for one, other in ((ENGLISH, CHINESE), (CHINESE, ENGLISH)):
        assert any(f"({other})" in line for line in read(one).splitlines()[:4])


def test_it_is_chinese() -> None:
    """Each paragraph, point and row with words of its own."""
    lines = [line for line in prose(CHINESE).splitlines()[3:] if not re.match(r"\|[-|]+$", line)]
    wordy = [line for line in lines if re.search(r"[A-Za-z]{3,} [A-Za-z]{3,} [A-Za-z]{3,}", _SPAN.sub("", line))]
    assert wordy == []
    assert len(re.findall("[\u4e00-\u9fff]", prose(CHINESE))) > 2000
