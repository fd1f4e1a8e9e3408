"""Which client is asked what, and at which version."""

from __future__ import annotations

import json
import re

from tests.clients.house import HERE, NODE

ERRORS = "error_400 error_401 error_404 error_429 error_503"
CUTS = "cut reset broken"
BASIC = f"plain stream large fallback {ERRORS} {CUTS}"
FORCED = "forced forced_large"
CHECKS = {
    "openai-node": f"{BASIC} usage thinking tool tool_whole tool_pieces structured {FORCED} models",
    "ai-sdk": f"{BASIC} usage thinking tool tool_whole tool_pieces structured {FORCED}",
    "langchain": f"{BASIC} usage thinking tool tool_whole tool_pieces structured {FORCED}",
    "llamaindex": f"{BASIC} usage thinking tool tool_whole tool_pieces structured {FORCED}",
    "smolagents": f"{BASIC} usage thinking tool_forced tool_whole tool_pieces structured parts agent agent_stream",
    "instructor": f"{ERRORS} {CUTS} {FORCED} forced_stream forced_stream_large forced_fallback"
    " structured structured_large structured_stream",
    "pydantic-ai": f"{BASIC} usage thinking tool tool_whole tool_pieces structured {FORCED}",
    "litellm": f"{BASIC} usage thinking tool tool_whole tool_pieces structured {FORCED}",
    "huggingface-hub": f"{BASIC} usage thinking tool tool_whole tool_pieces structured {FORCED}",
}


def pinned(client: str) -> str:
    """The version that the environment was made with."""
    if client in NODE:
        wanted = json.loads((HERE / client / "package.json").read_text("utf-8"))["dependencies"]
        return str(wanted["openai" if client == "openai-node" else "ai"])
    first, *lines = (HERE / f"{client}.txt").read_text("utf-8").splitlines()
    found = re.search(r"echo '([\w.-]+)(?:\[\w+\])?==([\w.]+)'", first)
    assert found
    assert f"{found[1]}=={found[2]}" in lines
    return found[2]
