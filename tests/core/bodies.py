"""Request bodies that nobody should send: absurd in size, text or type. Features and models must stand them."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st


def ask(text: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


HUGE: dict[str, dict[str, Any]] = {
    "empty object": {},
    "no messages": {"messages": []},
    "empty text": ask(""),
    "one character": ask("x"),
    "1 MB of one character": ask("a" * 1_000_000),
    "3 MB of one Chinese character": ask("中" * 1_000_000),
    "lone surrogates": ask("\ud800" * 100_000),
    "surrogates amid text": ask("\udfff 证明 \ud800\ud800 é"),
    "every byte": ask(bytes(range(256)).decode("latin-1") * 4_000),
    "random bytes": ask(Random(1).randbytes(200_000).decode("utf-8", "surrogateescape")),
    "10,000 parts": ask([{"type": "text", "text": "x" * 100_000}] * 10_000),
    "10,000 messages": {"messages": [{"role": "user", "content": "hi"}] * 10_000},
    "a huge number": ask("", max_tokens=10**400),
    "no number": ask("", max_tokens=float("nan"), max_completion_tokens=float("-inf")),
    "1,000 tools": ask(
        "", tools=[{"function": {"parameters": {"properties": {str(n): {} for n in range(1_000)}}}}] * 1_000
    ),
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "text", "role"]), inner),
    max_leaves=8,
)
PARTS = st.fixed_dictionaries({}, optional={"type": st.just("text") | JSON, "text": st.text() | JSON})
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system", "assistant", "tool"]) | JSON, "content": st.lists(PARTS) | JSON}
)
FIELDS = ("prompt", "tools", "functions", "response_format", "max_tokens", "max_completion_tokens", "reasoning_effort")
BODIES = st.fixed_dictionaries({}, optional={"messages": st.lists(MESSAGES) | JSON} | dict.fromkeys(FIELDS, JSON))
