"""docs/clients.md names each client that is tested, at its version; its blocks run, each with its own client."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.backends.scripted.answers import sentences_of
from tests.clients.checks import CHECKS, pinned
from tests.clients.house import KEY, OURS, House, run
from tests.docs import pages

PAGE = "clients.md"
URL = "http://127.0.0.1:8080/v1"
HEADINGS = {
    "openai-node": "OpenAI for Node",
    "ai-sdk": "AI SDK",
    "langchain": "LangChain",
    "llamaindex": "LlamaIndex",
    "litellm": "LiteLLM",
    "huggingface-hub": "huggingface_hub",
    OURS: "OpenAI for Python",
}


def block(heading: str) -> str:
    """The first one under a heading, without its fence."""
    return pages.section(PAGE, heading).partition("\n```")[2].partition("\n")[2].partition("```")[0]


def test_each_client_is_on_the_page() -> None:
    """With the version that is tested, and a part of its own."""
    rows = pages.rows(PAGE, "Clients")
    told = {re.sub(r"\[(.+)\].*", r"\1", row[0]): row[1].strip("`") for row in rows}
    tested = {HEADINGS.get(client, client): pinned(client) for client in CHECKS}
    assert told == {HEADINGS[OURS]: "2 and 3", **tested, "Open WebUI": "-"}
    assert all(URL in block(heading) for heading in told)


@pytest.mark.clients
@pytest.mark.timeout(300)
@pytest.mark.parametrize("client", [OURS, *CHECKS])
def test_each_block_runs(client: str, house: House, tmp_path: Path) -> None:
    """As it stands, but for the address and the key."""
    code = tmp_path / "block.py"
    shown = block(HEADINGS.get(client, client))
    code.write_text(shown.replace(URL, house.url).replace('"any"', f'"{KEY}"'), "utf-8")
    wanted = "city='example' degrees=7" if client == "instructor" else sentences_of("hi", 1)
    assert wanted in run(client, code)
