"""What a request asks, read off its body: the text to score, and counters of everything around that text.

The text is the last user message, because it is what has to be answered now. System prompt, earlier
turns, tools, wanted format and length enter as counters only, so a long history about a hard topic does
not make the "thanks" after it hard. A completion request is read by its `prompt`; without any user
message the last message that has text is read.

Fields may have any type that JSON has: what is not understood counts as absent. Nothing recurses, at most the last
`PARTS` messages and the first `PARTS` parts or tools are looked at, and of a text at most `WINDOW`
characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p
from typing import Any

WINDOW = 6_000  # bytes of UTF-8: about 1,000 English words or 2,000 Chinese characters
PARTS = 64
NAMES = (
    "turns",
    "history",
    "system",
    "tool_result",
    "tools",
    "tool_parameters",
    "json_output",
    "images",
    "wanted_length",
    "short_answer",
    "effort",
)
EFFORT = {"none": -1.0, "minimal": -1.0, "low": -0.5, "high": 1.0, "xhigh": 1.0}
SYSTEM_ROLES = ("system", "developer")
RESULT_ROLES = ("tool", "function")
IMAGE_PARTS = ("image_url", "input_image")


def asked(body: Any) -> tuple[str, list[float]]:
    """The text to score (cut to WINDOW) and one value per name in NAMES."""
    if not isinstance(body, dict):
        return "", [0.0] * len(NAMES)
    messages = body.get("messages")
    if isinstance(messages, list) and messages:
        text, around = _conversation(messages)
    else:
        text, around = _text(body.get("prompt")), [0.0, 0.0, 0.0, 0.0, 0.0]
    turns, history, system, results, images = around
    count, parameters = _tools(body.get("tools") or body.get("functions"))
    wanted = _number(body.get("max_completion_tokens")) or _number(body.get("max_tokens"))
    effort = body.get("reasoning_effort")
    return text, [
        turns,
        history,
        system,
        results,
        count,
        parameters,
        1.0 if _structured(body.get("response_format")) else 0.0,
        images,
        log1p(wanted),
        1.0 if 0 < wanted <= 32 else 0.0,
        EFFORT.get(effort, 0.0) if isinstance(effort, str) else 0.0,
    ]


def _conversation(messages: Sequence[Any]) -> tuple[str, list[float]]:
    """Its text, and turns, history, system prompt, tool results after the text, images (logs of counts)."""
    text, other, images = "", "", 0
    history = system = results = 0
    seen = messages if len(messages) <= PARTS else [messages[0], *messages[-PARTS:]]
    for message in reversed(seen):
        if not isinstance(message, dict):
            continue
        role, content = message.get("role"), message.get("content")
        if role in SYSTEM_ROLES:
            system += _length(content)
            other = other or _text(content)
        elif role == "user" and not text:
            text, images = _text(content), images + _images(content)
        elif role in RESULT_ROLES and not text:
            results += 1
        else:
            history += _length(content)
            other = other or _text(content)
    counts = (len(messages) - 1, history, system, results, images)
    return text or other, [log1p(count) for count in counts]


def _text(content: Any) -> str:
    """The text of a message content or prompt: a string, or the strings and text parts of a list."""
    if isinstance(content, str):
        return window(content)
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") if isinstance(part, dict) else part for part in content[:PARTS])
    return window("\n".join([window(text) for text in texts if isinstance(text, str)]))


def window(text: str) -> str:
    """Head and tail of a text that is longer than WINDOW: two thirds and one third of what fits."""
    if len(text) <= WINDOW and text.isascii():
        return text
    sample = text if len(text) <= WINDOW else text[:WINDOW]
    room = WINDOW * len(sample) // len(sample.encode("utf-8", "surrogatepass"))
    return text if len(text) <= room else f"{text[: room * 2 // 3]}\n{text[-(room // 3) :]}"


def _length(content: Any) -> int:
    return len(content) if isinstance(content, str) else len(_text(content))


def _images(content: Any) -> int:
    if not isinstance(content, list):
        return 0
    return sum(isinstance(part, dict) and part.get("type") in IMAGE_PARTS for part in content[:PARTS])


def _tools(tools: Any) -> tuple[float, float]:
    """Logs of how many functions are offered and how many parameters they take together."""
    if not isinstance(tools, list):
        return 0.0, 0.0
    parameters = 0
    for tool in tools[:PARTS]:
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        schema = function.get("parameters") if isinstance(function, dict) else None
        properties = schema.get("properties") if isinstance(schema, dict) else None
        parameters += len(properties) if isinstance(properties, dict) else 0
    return log1p(len(tools)), log1p(parameters)


def _structured(response_format: Any) -> bool:
    return isinstance(response_format, dict) and response_format.get("type") not in (None, "text")


def _number(value: Any) -> float:
    """A count of tokens as the client wrote it, 0 if it is none; bounded so that no integer is too large."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return 0.0
    return float(max(0, min(1_000_000, value))) if value == value else 0.0
