"""What holds of all documents: links lead to headings that exist, and each page is linked from the README."""

from __future__ import annotations

import re

import pytest

from app.cli.demo.day import END, START
from app.cli.demo.requests import load
from tests.docs.pages import DOCS

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def anchors(text: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#{1,4} (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_headings_that_links_name(page: object) -> None:
    """Within a page and across."""
    assert page in PAGES
    text = page.read_text("utf-8")  # type: ignore[attr-defined]
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", text):
        there = (page.parent / target) if target else page  # type: ignore[attr-defined]
        assert anchor in anchors(there.read_text("utf-8")), f"{target}#{anchor}"


def test_the_readme_names_each_page() -> None:
    """Nobody has to find one by chance."""
    readme = PAGES[0].read_text("utf-8")
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in readme] == []


def test_the_demo_is_as_large_as_the_readme_says() -> None:
    """How many requests, of how many kinds, and in which language."""
    requests = load()
    readme = PAGES[0].read_text("utf-8")
    assert f"{len(requests)} requests of fifteen kinds, half of them Chinese" in readme
    assert len({request.kind for request in requests}) == 15
    chinese = sum(bool(re.search("[\u4e00-\u9fff]", request.text)) for request in requests)
    assert round(chinese / len(requests), 1) == 0.5
    assert "eight hours of a working day" in readme
    assert END - START == 8 * 3600
