"""Bodies that no client should send, by the hundred, from a seed: each is answered, and never by a 5xx.

To play a run again: FUZZ_SEED=NUMBER, which a failure prints, together with the number of the body.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.core import chat
from tests.fuzz.house import UPSTREAM_KEY, Answer, House, line, request

SEED = int(os.environ.get("FUZZ_SEED", "20261125"))
CLIENTS = 8
PATHS = {"/v1/chat/completions": 6, "/v1/completions": 2, "/v1/embeddings": 2, "/v1/route": 3}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
GOOD: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {"messages": [{"role": "user", "content": "hello"}]},
        {"model": "auto", "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "你好"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, PICTURE]}], "stream": True},
        {"messages": [{"role": "user", "content": "call it"}], "tools": [TOOL], "tool_choice": "auto", "n": 1},
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": "4"},
            ],
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ],
    "/v1/completions": [{"prompt": "once"}, {"prompt": ["one", "two"], "stream": True}, {"prompt": [1, 2, 3]}],
    "/v1/embeddings": [{"input": "x"}, {"input": ["a", "b"], "encoding_format": "base64"}, {"input": [[1], [2]]}],
}
GOOD["/v1/route"] = GOOD["/v1/chat/completions"]
FIELDS = [*chat._TYPES, "messages", "prompt", "input", "functions", "function_call", "chat_template_kwargs"]
FIELDS += [
    "reasoning",
    "encoding_format",
    "dimensions",
    "suffix",
    "echo",
    "best_of",
    "modalities",
    "audio",
    "prediction",
]
LONG = "m" * 1_000_000
STRINGS = [
    "",
    " ",
    "auto",
    "llm",
    "big",
    "\x00",
    "\r\nx-evil: 1",
    "\ud800",
    "\udfff\ud800",
    "\u2028",
    "\ufeff",
    "😀",
    "ﷺ",
]
STRINGS += [
    "١٢٣",
    "router-default-0.6",
    "router-default-nan",
    "router-x-1e999",
    "../../etc/passwd",
    "%s%n{0}${x}",
    "a" * 9000,
]
NUMBERS = [
    0,
    1,
    -1,
    2**31,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    10**30,
    -(2**63) - 1,
    0.5,
    -0.0,
    1e308,
    5e-324,
]
RAW_NUMBERS = [b"1e400", b"-1e400", b"NaN", b"-Infinity", b"0x10", b"01", b"1" * 5000, b"1e-99999", b".", b"1."]
BATCH = 400  # bodies of one quick run, per way


class Maker:
    """Makes bodies; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def value(self, depth: int = 3) -> Any:
        """Any JSON value, odd ones most of all."""
        dice = self.dice
        kind = dice.randrange(8 if depth else 6)
        if kind == 6:
            return [self.value(depth - 1) for _ in range(dice.randrange(4))]
        if kind == 7:
            return {self.name(): self.value(depth - 1) for _ in range(dice.randrange(4))}
        if kind == 5 and dice.random() < 0.02:
            return LONG
        return dice.choice(
            [None, dice.random() < 0.5, dice.choice(NUMBERS), dice.choice(STRINGS), dice.choice(STRINGS)]
        )

    def name(self) -> str:
        dice = self.dice
        return dice.choice([*FIELDS, "role", "content", "type", "function", "name", "text", "", "\ud800", "__class__"])

    def good(self, path: str) -> Any:
        return json.loads(json.dumps(self.dice.choice(GOOD[path])))

    def field(self, path: str) -> bytes:
        """A good body in which one to three fields are anything."""
        body = self.good(path)
        for _ in range(self.dice.randint(1, 3)):
            body[self.dice.choice(FIELDS)] = self.value()
        return self.written(body)

    def place(self, path: str) -> bytes:
        """A good body in which one place, however deep, is anything, gone, or there twice."""
        body = self.good(path)
        places = list(_places(body))
        holder, key = self.dice.choice(places)
        change = self.dice.randrange(4)
        if change == 0:
            del holder[key]
        elif change == 1 and isinstance(holder, list):
            holder.extend(holder[:50])
        else:
            holder[key] = self.value()
        return self.written(body)

    def anything(self, path: str) -> bytes:
        return self.written(self.value(4))

    def deep(self, path: str) -> bytes:
        """Nested as deep as a parser takes, and deeper, somewhere in a good body."""
        depth = self.dice.choice([100, 230, 236, 240, 250, 254, 255, 260, 1000, 1023, 1024, 1025, 5000, 100_000])
        opening, closing = self.dice.choice([(b"[", b"]"), (b'{"a":', b"}")])
        nest = opening * depth + b"1" + closing * depth
        body = self.good(path)
        holder, key = self.dice.choice(list(_places(body)))
        holder[key] = "HERE"
        return json.dumps(body).encode().replace(b'"HERE"', nest)

    def number(self, path: str) -> bytes:
        """Numbers that are none, or that no machine holds."""
        body = {**self.good(path), self.dice.choice(FIELDS): "HERE"}
        return json.dumps(body).encode().replace(b'"HERE"', self.dice.choice(RAW_NUMBERS))

    def torn(self, path: str) -> bytes:
        """A good body after an accident to its bytes."""
        raw, dice = bytearray(self.written(self.good(path))), self.dice
        accident = dice.randrange(7)
        if accident == 0:
            return bytes(raw[: dice.randrange(len(raw))])
        if accident == 1:
            for _ in range(dice.randint(1, 5)):
                raw[dice.randrange(len(raw))] = dice.randrange(256)
        if accident == 2:
            return raw.decode().encode(dice.choice(["utf-16", "utf-32", "utf-8-sig"]))
        if accident == 3:
            return bytes(raw + dice.choice([b"x", b"{}", b"\x00", b"  ", b"/* */", b","]))
        if accident == 4:
            return bytes(raw[:-1] + b"," + bytes(raw[1:]))  # every field twice
        if accident == 5:
            return bytes(dice.randrange(256) for _ in range(dice.randrange(200)))
        return bytes(raw)

    def written(self, value: Any) -> bytes:
        """Escaped, or as a careless client writes it: surrogates and all."""
        if self.dice.random() < 0.5:
            return json.dumps(value).encode()
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


WAYS: dict[str, Callable[[Maker, str], bytes]] = {
    "fields": Maker.field,
    "places": Maker.place,
    "anything": Maker.anything,
    "deep": Maker.deep,
    "numbers": Maker.number,
    "torn": Maker.torn,
}


def judge(answer: Answer) -> None:
    """Whatever came in, this is how it may end."""
    assert answer.status < 500
    assert UPSTREAM_KEY.encode() not in answer.head + answer.body
    assert b"Traceback" not in answer.body
    if answer.status != 200:
        error = answer.error()
        assert error["message"]
        assert len(answer.body) < 3000
    elif b"text/event-stream" in answer.head:
        assert answer.body.endswith(b"data: [DONE]\n\n") or b'data: {"error":' in answer.body
    else:
        assert isinstance(json.loads(answer.body), dict)


async def play(home: House, cases: list[tuple[str, bytes]], seed: int) -> dict[int, int]:
    """Send them all; how often each status came."""
    left, statuses = list(enumerate(cases))[::-1], dict[int, int]()

    async def client() -> None:
        while left:
            async with line(home.port) as one:
                await on(one)

    async def on(one: Any) -> None:
        while left:
            number, (path, body) = left.pop()
            try:
                await one.say(request(body, path))
                answer = await one.answer()
                judge(answer)
            except Exception as error:
                raise AssertionError(f"FUZZ_SEED={seed}, body {number} to {path}: {body[:500]!r}") from error
            statuses[answer.status] = statuses.get(answer.status, 0) + 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return statuses


def cases(seed: int, way: str, count: int) -> list[tuple[str, bytes]]:
    """The first `count` bodies of a seed, with where they go."""
    maker, made = Maker(seed), []
    for _ in range(count):
        path = maker.dice.choices(list(PATHS), list(PATHS.values()))[0]
        made.append((path, WAYS[way](maker, path)))
    return made


@pytest.mark.parametrize("way", WAYS)
async def test_every_body_is_answered(home: House, way: str) -> None:
    """A few hundred of each sort; some are refused, and nothing is held afterwards."""
    statuses = await play(home, cases(SEED, way, BATCH), SEED)
    assert statuses.get(400), statuses
    assert set(statuses) <= {200, 400, 413}, statuses
    await home.quiet()


@pytest.mark.parametrize("field", ["model", "user", "role", "name", "key", "tool", "content"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/route"])
async def test_names_of_a_megabyte(home: House, path: str, field: str) -> None:
    """Wherever a name may stand; it comes back in no error and no header."""
    message: dict[str, Any] = {"role": "user", "content": "hi"}
    function: dict[str, Any] = {**TOOL["function"], "name": LONG}  # type: ignore[dict-item]
    bodies: dict[str, dict[str, Any]] = {
        "role": {"messages": [{**message, "role": LONG}]},
        "name": {"messages": [{**message, "name": LONG}]},
        "content": {"messages": [{**message, "content": LONG}]},
        "tool": {"messages": [message], "tools": [{"type": "function", "function": function}]},
        "key": {"messages": [message], LONG: 1},
    }
    body = bodies.get(field, {"messages": [message], field: LONG})
    async with line(home.port) as one:
        await one.say(request(json.dumps(body).encode(), path))
        answer = await one.answer()
    judge(answer)
    assert LONG[:500].encode() not in answer.head


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
async def test_thousands_of_bodies_are_answered(home: House, way: str) -> None:
    """The same with other seeds, and the gateway does not grow."""
    before = home.gateway.rss_mb()
    for seed in range(SEED + 1, SEED + 6):
        await play(home, cases(seed, way, 1000), seed)
    await home.quiet()
    assert home.gateway.rss_mb() < before + 60


def test_a_seed_makes_the_same_bodies() -> None:
    """Else a failure could not be played again."""
    for way in WAYS:
        assert cases(7, way, 20) == cases(7, way, 20)
        assert cases(7, way, 20) != cases(8, way, 20)
