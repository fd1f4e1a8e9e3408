"""No key and no word of a prompt gets where it does not belong, whatever an upstream repeats or a client asks for.

The upstream's key may stand in no answer, log, metric or record; the client's reaches no upstream and no log; what was
said to a model stands in no log, metric, record or header.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import urllib.parse
from typing import Any

import pytest

from tests.e2e.process import chat
from tests.fuzz.house import CLIENT_KEY, UPSTREAM_KEY, Answer, House, line, request

JSON, EVENTS, TEXT, HTML = "application/json", "text/event-stream", "text/plain", "text/html"
WORD = "xylograph"  # nobody else says it
SPOKEN = f"Tell me about the {WORD} of Aunt Zoe."
SPELLED = "".join(f"\\u{ord(letter):04x}" for letter in UPSTREAM_KEY)  # as JSON may write it


def answered(text: str) -> str:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "1", "model": "parrot", "choices": [choice]})


def event(text: str, finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return f"data: {json.dumps({'id': '1', 'model': 'parrot', 'choices': [choice], **more})}\n\n"


END = event("", "stop") + "data: [DONE]\n\n"
ECHOES: dict[str, tuple[int, str, str]] = {
    "401 with the key": (401, JSON, '{"error": {"message": "Incorrect API key provided: KEY", "code": "KEY"}}'),
    "403 in text": (403, TEXT, "KEY may not do that"),
    "400 with the key": (400, JSON, '{"error": {"message": "no such user: KEY", "param": "KEY", "type": "KEY"}}'),
    "400 with the key spelled": (400, JSON, '{"error": {"message": "no such user: KEY"}}'.replace("KEY", SPELLED)),
    "422 with the key in details": (422, JSON, '{"detail": [{"msg": "KEY", "input": "KEY", "loc": ["KEY"]}]}'),
    "404 in text": (404, TEXT, "no model for Bearer KEY"),
    "429 in text": (429, TEXT, "KEY asks too often"),
    "500 with the key": (500, JSON, '{"error": {"message": "KEY", "trace": ["KEY"]}}'),
    "502 in a page": (502, HTML, "<html>KEY</html>"),
    "503 with the key": (503, JSON, '{"error": "KEY"}'),
    "307 to another host": (307, TEXT, "KEY"),
    "308 to another host": (308, TEXT, "KEY"),
    "302 to another host": (302, TEXT, "KEY"),
    "200 and an error": (200, JSON, '{"error": {"message": "bad KEY", "code": 400}}'),
    "200 and an error spelled": (200, JSON, '{"error": {"message": "bad KEY", "code": 400}}'.replace("KEY", SPELLED)),
    "200 and text": (200, TEXT, "KEY"),
    "200 and half a JSON": (200, JSON, '{"choices": [{"message": "KEY'),
    "an answer with the key": (200, JSON, answered("my key is KEY")),
    "an answer by the key": (200, JSON, answered("hi").replace("parrot", "KEY")),
    "a stream with the key": (200, EVENTS, event("my key is KEY") + END),
    "a stream by the key": (200, EVENTS, (event("hi") + END).replace("parrot", "KEY")),
    "a stream of many keys": (200, EVENTS, event("KEY " * 9) * 200 + END),
    "an error in a stream": (200, EVENTS, 'data: {"error": {"message": "bad KEY", "code": 400}}\n\n'),
    "an error late in a stream": (200, EVENTS, event("hi") + 'data: {"error": {"message": "KEY", "code": 400}}\n\n'),
    "an event that is none": (200, EVENTS, event("hi") + "data: KEY\n\n"),
    "comments": (200, EVENTS, ": KEY\n\nevent: KEY\nid: KEY\n" + event("hi") + ": KEY\n\n" + END),
}


def forms(secret: str) -> list[bytes]:
    """A secret as it may be written down."""
    return [secret.encode(), urllib.parse.quote(secret).encode(), hashlib.sha256(secret.encode()).hexdigest().encode()]


def holds(text: bytes, secret: str) -> bool:
    return any(form in text for form in forms(secret))


async def ask(home: House, body: bytes, path: str = "/v1/chat/completions", *headers: str) -> Answer:
    async with line(home.port) as one:
        await one.say(request(body, path, *headers))
        return await one.answer()


async def written(home: House) -> bytes:
    """After the gateway has had the time to write."""
    await home.quiet()
    await asyncio.sleep(1.2)  # records are written once a second
    return await asyncio.to_thread(home.written)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", ECHOES)
async def test_an_upstream_that_repeats_its_key(home: House, name: str, stream: bool) -> None:
    """In whatever answer: the client never sees it, and no redirect is followed with it, or with the prompt."""
    home.echo.says = ECHOES[name]
    answer = await ask(home, chat(SPOKEN, model="parrot", stream=stream))
    assert not holds(answer.head + answer.body, UPSTREAM_KEY)
    assert WORD.encode() not in answer.head
    assert answer.status != 500
    if answer.status != 200:
        answer.error()
    assert home.elsewhere.seen.paths == {}


async def test_nothing_of_it_is_written_down(home: House) -> None:
    """Neither key and no word, in log, records and metrics, after all of the above and a few that are answered."""
    for number, echo in enumerate(ECHOES.values()):
        home.echo.says = echo
        await ask(home, chat(f"{SPOKEN} {number}", model="parrot", user=WORD, metadata={WORD: WORD}))
    for body in (chat(SPOKEN), chat(SPOKEN, stream=True), chat(SPOKEN, model=WORD), chat(SPOKEN)[:-3]):
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/route"):
            await ask(home, body, path, f"x-session-id: {WORD}", f"x-smallfirst-tier: {WORD}", f"user-agent: {WORD}")
            await ask(home, body, path, f"x-session-id: {WORD}")
    text = await written(home)
    assert b"parrot" in text
    assert b"smallfirst_requests_total" in text
    assert any(b"parrot" in path.read_bytes() for path in home.folder.glob("records.db*"))
    assert not holds(text, UPSTREAM_KEY)
    assert not holds(text, CLIENT_KEY)
    assert WORD.encode() not in text


async def test_a_key_that_is_wrong_is_written_nowhere(home: House) -> None:
    """It may be right elsewhere, or only in the wrong header."""
    wrong = "Nn6-somebody-elses-TT2wQz"
    for header in (f"Bearer {wrong}", wrong, f"Basic {wrong}", f"bearer  {wrong} "):
        for path in ("/v1/chat/completions", "/v1/models", "/metrics", "/ready", "/nowhere", f"/v1/models/{wrong}"):
            said = request(chat("hi"), path, f"x-api-key: {wrong}", method="POST" if "chat" in path else "GET")
            async with line(home.port) as one:
                await one.say(said.replace(f"Bearer {CLIENT_KEY}".encode(), header.encode()))
                answer = await one.answer()
            assert not holds(answer.head, wrong)
            assert wrong in path or not holds(answer.body, wrong)
    async with line(home.port) as one:
        await one.say(f"GET / HTTP/1.1\r\nauthorization: Bearer {wrong}\r\nx: \x00\r\n\r\n".encode())
        assert not holds((await one.answer()).body, wrong)
    assert not holds(await written(home), wrong)


async def test_a_client_s_headers_reach_no_upstream(home: House) -> None:
    """Neither its key nor anything else it says about itself, in no path, known or not."""
    private = "Kk5-about-the-client"
    headers = [f"{name}: {private}" for name in ("cookie", "x-api-key", "x-forwarded-for", "openai-organization", "te")]
    home.echo.says = (200, JSON, answered("hi"))
    home.echo.heard.clear()
    assert (await ask(home, chat("hi", model="parrot"), "/v1/chat/completions", *headers)).status == 200
    assert home.echo.heard
    for path in (
        "/v1/files",
        "/v1/audio/transcriptions",
        "/v1/responses",
        "/api/chat",
        "/v1/chat/completions/../models",
    ):
        assert (await ask(home, chat(SPOKEN), path, *headers)).status in (404, 405)
    heard = repr(home.echo.heard)
    assert private not in heard
    assert CLIENT_KEY not in heard
    assert WORD not in heard
    assert {path for path, _ in home.echo.heard} <= {"/v1/chat/completions", "/v1/models"}
    ours = hashlib.sha256(f"Bearer {UPSTREAM_KEY}".encode()).hexdigest()
    assert home.large.seen.keys <= {ours}
    assert home.small.seen.keys == set()


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/ready", "/metrics", "/openapi.json", "/v1/models", "/v1/models/parrot", "/v1/models/none"],
)
async def test_what_is_shown_about_the_gateway(home: House, path: str) -> None:
    """To its admin too: states and problems, never what opens a backend, nor where it is."""
    home.echo.says = ECHOES["401 with the key"]
    async with line(home.port) as one:
        await one.say(request(b"", path, method="GET"))
        answer = await one.answer()
    assert not holds(answer.head + answer.body, UPSTREAM_KEY)
    assert not holds(answer.head + answer.body, CLIENT_KEY)
    assert home.echo.location is not None
    assert b"127.0.0.1" not in answer.body
