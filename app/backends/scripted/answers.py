"""What the fake says: a fixed choice among sentences, in the language it was asked in; tool calls and JSON
that satisfy their schema. The same request always gets the same answer."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

import orjson

Json = dict[str, Any]

_TOKEN = re.compile(r"\s*(?:[\u3400-\u9fff\u3000-\u303f\uff00-\uffef]|[A-Za-z0-9]+|[^\sA-Za-z0-9\u3400-\u9fff])|\s+\Z")
_CJK = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[a-z]{4,}|[\u3400-\u9fff]{2}")
_ENGLISH = (
    "Sure. The short answer is yes, and the reason is that both parts depend on the same value.",
    "Here is a brief outline: first collect the facts, then compare them, and finally write down what follows.",
    "It depends on the details you gave. In most cases the simple way works and needs no further step.",
    "Thank you for asking. I would begin with the smaller piece, check it, and only then go on to the rest.",
)
_CHINESE = (
    "好的。简短地说，答案是肯定的，因为两部分取决于同一个数值。",
    "下面是一个简单的提纲：先收集事实，再进行比较，最后写下结论。",
    "这取决于您给出的细节。多数情况下，简单的办法就够用了。",
    "谢谢提问。我会先做较小的一部分，检查无误之后再继续。",
)
_FORMATS = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T09:26:53Z",
    "email": "ada@example.org",
    "uri": "https://example.org/",
    "uuid": "6f1d2c3b-4a59-4e8f-9d7c-0b1a2c3d4e5f",
}
DEEPEST = 12  # levels of a schema
_THOUGHTS = "The user asks something. Let me look at it step by step and see what is needed. "


@dataclass(frozen=True, slots=True)
class Answer:
    """`pieces` are the tokens of the text; `call` is (name, arguments) of a tool call instead."""

    pieces: list[str]
    finish: str
    thoughts: list[str]
    call: tuple[str, str] | None = None
    stopped: bool = False  # by a stop sequence

    @property
    def tokens(self) -> int:
        said = count(self.call[0] + self.call[1]) if self.call else len(self.pieces)
        return said + len(self.thoughts)


def count(text: str) -> int:
    return len(_TOKEN.findall(text))


def prompt_tokens(body: Json) -> int:
    if "messages" in body:
        tools = count(orjson.dumps(body["tools"]).decode()) if body.get("tools") else 0
        return tools + sum(count(_text(message.get("content"))) + 3 for message in body["messages"])
    given = body.get("prompt", body.get("input", ""))
    return sum(count(one) if isinstance(one, str) else 1 for one in (given if isinstance(given, list) else [given]))


def answer(body: Json, *, thinks: bool, honours_choice: bool, honours_format: bool, sentences: int = 1) -> Answer:
    """`thinks`: hundreds of tokens of reasoning come first. An answer in words has up to so many `sentences`."""
    asked = _asked(body)
    thoughts = _TOKEN.findall(_THOUGHTS * 8) if thinks else []
    tool = _tool(body, asked, honours_choice)
    if tool is not None:
        function = tool["function"]
        arguments = orjson.dumps(value(function.get("parameters") or {"type": "object"})).decode()
        return Answer([], "tool_calls", thoughts, (function["name"], arguments))
    text = _json(body) if honours_format and body.get("response_format") else None
    return _cut(body, sentences_of(asked, sentences) if text is None else text, thoughts)


def value(schema: Any, root: Json | None = None, depth: int = 0) -> Any:
    """A small value that satisfies a JSON schema; references are looked up in `root`."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return {}
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for many in ("anyOf", "oneOf"):
        if schema.get(many):
            return value(schema[many][0 if depth < DEEPEST // 2 else -1], root, depth + 1)
    kind = schema.get("type")
    kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        wanted = (schema.get("properties") or {}).items()
        needed = schema.get("required") or []
        return {name: value(one, root, depth + 1) for name, one in wanted if depth < DEEPEST // 2 or name in needed}
    if kind == "array":
        size = int(schema.get("minItems") or (1 if depth < DEEPEST // 2 else 0))
        return [value(schema.get("items") or {"type": "string"}, root, depth + 1)] * size
    if kind in ("integer", "number"):
        return _number(schema, kind)
    return {"boolean": True, "null": None}.get(str(kind), _string(schema))


def _resolved(schema: Json, root: Json) -> Json:
    """References followed, and `allOf` merged into one level."""
    for _ in range(DEEPEST):
        if not isinstance(schema.get("$ref"), str):
            break
        found: Any = root
        for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
            found = found.get(step) if isinstance(found, dict) and step else found
        schema = found if isinstance(found, dict) else {}
    for part in schema.get("allOf") or ():
        other = _resolved(part, root)
        merged = {**(other.get("properties") or {}), **(schema.get("properties") or {})}
        schema = {**other, **schema, **({"properties": merged} if merged else {})}
    return schema


def _number(schema: Json, kind: str) -> float:
    step = schema.get("multipleOf") or 1
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    wanted = 7 if low is None else max(low, -(-low // step) * step)
    wanted = wanted if high is None else min(wanted, high)
    return int(wanted // step * step) if kind == "integer" else float(wanted)


def _string(schema: Json) -> str:
    text = _FORMATS.get(schema.get("format", ""), "example")
    text += "e" * (int(schema.get("minLength") or 0) - len(text))
    return text[: schema.get("maxLength")]


def embedding(text: str, size: int = 8) -> list[float]:
    seed = zlib.crc32(text.encode("utf-8", "replace"))
    return [((seed >> shift) % 1000) / 1000 for shift in range(size)]


def _asked(body: Json) -> str:
    for message in reversed(body.get("messages") or []):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return _text(body.get("prompt"))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text") or "") if isinstance(part, dict) else str(part) for part in content)
    return ""


def sentences_of(asked: str, most: int) -> str:
    chinese = _CJK.search(asked) is not None
    known, seed = _CHINESE if chinese else _ENGLISH, zlib.crc32(asked.encode("utf-8", "replace"))
    many = 1 + seed // len(known) % most
    return ("" if chinese else " ").join(known[(seed + number) % len(known)] for number in range(many))


def _tool(body: Json, asked: str, honours_choice: bool) -> Json | None:
    tools: list[Json] = [tool for tool in body.get("tools") or [] if isinstance(tool.get("function"), dict)]
    choice = body.get("tool_choice") if honours_choice else "auto"
    if not tools or choice == "none":
        return None
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        return next((tool for tool in tools if tool["function"].get("name") == wanted), tools[0])
    fitting = next((tool for tool in tools if _mentions(asked, tool["function"])), None)
    if choice == "required":
        return fitting or tools[0]
    if body["messages"][-1].get("role") == "tool":
        return None  # the call was made; now there is an answer
    return fitting


def _mentions(asked: str, function: Json) -> bool:
    words = set(_WORD.findall(asked.lower()))
    about = f"{function.get('name')} {function.get('description')}".replace("_", " ").lower()
    return bool(words & set(_WORD.findall(about)))


def _json(body: Json) -> str | None:
    wanted = body["response_format"]
    schema = (wanted.get("json_schema") or {}).get("schema") or wanted.get("value") or wanted.get("schema")
    if isinstance(schema, dict) and "schema" in schema and "type" not in schema:
        schema = schema["schema"]
    if wanted.get("type") == "text":
        return None
    return orjson.dumps(value(schema or {"type": "object", "properties": {"answer": {"type": "string"}}})).decode()


def _cut(body: Json, text: str, thoughts: list[str]) -> Answer:
    stops = body.get("stop") or []
    found = [text.index(stop) for stop in ([stops] if isinstance(stops, str) else stops) if stop in text]
    pieces = _TOKEN.findall(text[: min(found, default=None)])
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is None or limit >= len(pieces) + len(thoughts):
        return Answer(pieces, "stop", thoughts, stopped=bool(found))
    kept = thoughts[:limit]
    return Answer(pieces[: max(limit - len(kept), 0)], "length", kept)
