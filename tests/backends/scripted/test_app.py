"""The fake at work: faults, slots and queue, clients that leave, and counts that add up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct

import httpx
import pytest

from app.backends.scripted import Fault, Model, Scripted, serve
from tests.backends.scripted.asking import CHAT, KINDS, asking, chat, events, joined, streamed

BOUND = 1.0  # seconds within which the fake must notice


async def until(scripted: Scripted, what: str, count: int = 1) -> None:
    """Wait for a counter of `seen`."""
    async with asyncio.timeout(BOUND):
        while getattr(scripted.seen, what) < count:
            await asyncio.sleep(0.001)


async def test_it_counts_what_it_saw() -> None:
    """Requests by path, tokens as in usage, bytes, keys by their digest only, bodies on request."""
    async with asking() as (scripted, client):
        answer = await client.post(CHAT, json=chat(), headers={"authorization": "Bearer sk-1"})
        await client.get("/v1/models")
    seen, usage = scripted.seen, answer.json()["usage"]
    assert seen.paths == {CHAT: 1, "/v1/models": 1}
    assert (seen.requests, seen.completed, seen.failed, seen.aborted) == (1, 1, 0, 0)
    assert (seen.prompt_tokens, seen.completion_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert seen.keys == {hashlib.sha256(b"Bearer sk-1").hexdigest()}
    assert seen.bodies == [chat()]
    assert seen.bytes_received == len(answer.request.content)


async def test_what_was_seen_does_not_change() -> None:
    """A snapshot stays as it was; bodies are not kept unless asked for."""
    scripted = Scripted(Model(name="m"))
    async with serve(scripted) as url, httpx.AsyncClient(base_url=url) as client:
        before = scripted.seen
        await client.post(CHAT, json=chat())
    assert (before.requests, scripted.seen.requests, scripted.seen.bodies) == (0, 1, [])


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff"])
async def test_bodies_that_are_no_json_object(raw: bytes) -> None:
    """A 400, counted as failed; the next request is served."""
    async with asking() as (scripted, client):
        assert (await client.post(CHAT, content=raw)).status_code == 400
        assert (await client.post(CHAT, json=chat())).status_code == 200
    assert (scripted.seen.failed, scripted.seen.completed) == (1, 1)


async def test_faults_come_when_they_are_told_to() -> None:
    """After so many good requests, so many times; healing ends them."""
    async with asking() as (scripted, client):
        scripted.fail(Fault.ERROR_500, 2, after=1)
        assert [(await client.post(CHAT, json=chat())).status_code for _ in range(4)] == [200, 500, 500, 200]
        scripted.fail(Fault.ERROR_500, 9)
        scripted.heal()
        assert (await client.post(CHAT, json=chat())).status_code == 200


BAD_BODIES = [
    (Fault.EMPTY_200, b""),
    (Fault.HTML_200, b"<html>"),
    (Fault.HALF_JSON_200, b'{"id": "x", "choi'),
    (Fault.ERROR_200, b'{"error"'),
]


@pytest.mark.parametrize(("fault", "start"), BAD_BODIES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_200_that_is_none(fault: Fault, start: bytes, stream: bool) -> None:
    """The status says nothing: the body is empty, a page, half or an error."""
    async with asking() as (scripted, client):
        scripted.fail(fault)
        answer = await client.post(CHAT, json=chat(stream=stream))
    assert answer.status_code == 200
    assert answer.content.startswith(start)
    assert scripted.seen.failed == 1


DROPS = [(Fault.CLOSED_200, httpx.RemoteProtocolError), (Fault.CUT_RESET, httpx.ReadError)]


@pytest.mark.parametrize(("fault", "error"), DROPS)
async def test_connections_that_drop(fault: Fault, error: type[Exception]) -> None:
    """Within a body that was promised: closed, or reset."""
    async with asking() as (scripted, client):
        scripted.fail(fault)
        with pytest.raises(error):
            await client.post(CHAT, json=chat(stream=True))
    assert scripted.seen.failed == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_silent_cut(kind: str) -> None:
    """Three tokens, a clean end, no finish reason, no [DONE]."""
    async with asking(kind) as (scripted, client):
        whole = joined(await streamed(client))
        scripted.fail(Fault.CUT_CLEAN)
        answer = await client.post(CHAT, json=chat(stream=True))
    chunks = events(answer.text)
    assert "[DONE]" not in answer.text
    assert whole.startswith(joined(chunks))
    assert len(joined(chunks)) < len(whole)
    assert not any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])
    assert (scripted.seen.failed, scripted.seen.completed) == (1, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "tokens"), [(Fault.ERROR_FIRST, 0), (Fault.ERROR_MID, 3)])
async def test_errors_inside_a_200_stream(kind: str, fault: Fault, tokens: int) -> None:
    """At once or after some tokens; at Ollama it is only an end without a reason."""
    async with asking(kind) as (scripted, client):
        scripted.fail(fault)
        chunks = events((await client.post(CHAT, json=chat(stream=True))).text)
    said = [chunk for chunk in chunks if "error" in chunk]
    assert len(said) == (0 if kind == "ollama" else 1)
    rest = [chunk for chunk in chunks if "error" not in chunk]
    assert sum(bool(one["delta"].get("content")) for chunk in rest for one in chunk["choices"]) == tokens
    assert not any(one["finish_reason"] for chunk in rest for one in chunk["choices"])


async def test_the_repeat_guard() -> None:
    """No finish reason in either form; the whole answer says that nothing was used."""
    async with asking("ollama") as (scripted, client):
        scripted.fail(Fault.NULL_FINISH, 2)
        whole = (await client.post(CHAT, json=chat())).json()
        chunks = await streamed(client)
    assert whole["choices"][0]["finish_reason"] is None
    assert set(whole["usage"].values()) == {0}
    assert joined(chunks)
    assert not any(one["finish_reason"] for chunk in chunks for one in chunk["choices"])
    assert scripted.seen.failed == 2


@pytest.mark.parametrize("fault", [Fault.COMMENTS, Fault.CRLF, Fault.BYTEWISE, Fault.ODD_CHUNKS, Fault.SLOW])
async def test_odd_streams_are_whole(fault: Fault) -> None:
    """They say the same as a plain one, and count as completed."""
    async with asking() as (scripted, client):
        plain = joined(await streamed(client))
        scripted.fail(fault)
        answer = await client.post(CHAT, json=chat(stream=True))
    chunks = [chunk for chunk in events(answer.text) if chunk.get("choices")]
    assert joined(chunks) == plain
    assert scripted.seen.completed == 2
    assert (b"\r\n" in answer.content) is (fault is Fault.CRLF)
    assert (": keep-alive" in answer.text) is (fault is Fault.COMMENTS)


async def test_other_oddities() -> None:
    """No [DONE], no usage, compressed unasked."""
    async with asking() as (scripted, client):
        for fault in (Fault.NO_DONE, Fault.NO_USAGE, Fault.NO_USAGE, Fault.GZIP):
            scripted.fail(fault)
        assert "[DONE]" not in (await client.post(CHAT, json=chat(stream=True))).text
        assert not any(chunk.get("usage") for chunk in await streamed(client))
        assert "usage" not in (await client.post(CHAT, json=chat())).json()
        answer = await client.post(CHAT, json=chat(), headers={"accept-encoding": "identity"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["choices"]


SILENT = [Fault.HANG, Fault.STALL_FIRST, Fault.STALL_MID]


@pytest.mark.parametrize("fault", SILENT)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_frees_the_slot(fault: Fault, stream: bool) -> None:
    """Whatever it waited for; the fake notices at once and serves the next."""
    if fault is Fault.STALL_MID and not stream:
        return
    async with asking() as (scripted, client):
        scripted.fail(fault)
        asked = asyncio.create_task(client.post(CHAT, json=chat(stream=stream)))
        await until(scripted, "running")
        asked.cancel()
        await until(scripted, "aborted")
        assert (await client.post(CHAT, json=chat())).status_code == 200
    assert (scripted.seen.running, scripted.seen.completed) == (0, 1)


async def test_a_client_that_leaves_within_its_request_is_aborted() -> None:
    """Its half a body is no refusal."""
    async with asking() as (scripted, client):
        port = client.base_url.port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: h\r\ncontent-length: 50\r\n\r\n".encode() + b'{"model"')
        await until(scripted, "requests")
        writer.transport.abort()
        await until(scripted, "aborted")
    assert (scripted.seen.failed, scripted.seen.bodies) == (0, [])


async def test_slots_and_a_queue_without_bound() -> None:
    """Two at once, the others wait in silence; one that leaves the queue is seen."""
    async with asking("ollama", slots=2) as (scripted, client):
        scripted.fail(Fault.HANG, 2)
        asked = [asyncio.create_task(client.post(CHAT, json=chat())) for _ in range(5)]
        await until(scripted, "queued", 3)
        asked[4].cancel()
        await until(scripted, "aborted")
        for one in asked[:2]:
            one.cancel()
        assert [(await one).status_code for one in asked[2:4]] == [200, 200]
        await until(scripted, "aborted", 3)
    seen = scripted.seen
    assert (seen.peak_running, seen.peak_queued, seen.queued, seen.completed) == (2, 3, 0, 2)


async def test_a_request_that_did_not_wait_was_not_queued() -> None:
    """One after the other, nobody waits."""
    async with asking() as (scripted, client):
        for _ in range(3):
            await client.post(CHAT, json=chat())
    assert (scripted.seen.peak_running, scripted.seen.peak_queued) == (1, 0)


async def test_silence_is_broken_where_the_server_does_so() -> None:
    """TGI sends comments while it says nothing; Ollama not even a head."""
    ticks = 0

    async def sleep(seconds: float) -> None:
        nonlocal ticks
        ticks += 1
        await (asyncio.sleep(0) if seconds == 15.0 and ticks < 5 else asyncio.Event().wait())

    scripted = Scripted(Model(imitates="tgi", name="m", first_token=60.0), sleep=sleep)
    async with serve(scripted) as url, httpx.AsyncClient(base_url=url) as client:
        async with client.stream("POST", CHAT, json=chat(stream=True)) as answer:
            assert await anext(answer.aiter_text()) == ":\n\n"
        await until(scripted, "aborted")


async def test_tokens_take_their_time() -> None:
    """On the clock that is given: the first one, and each after it; a timer that is late makes none of them later."""
    slept: list[float] = []
    late = 0.125

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    def now() -> float:
        return sum(slept) + late * len(slept)

    scripted = Scripted(Model(name="m", first_token=2.0, per_token=0.5), now=now, sleep=sleep)
    async with serve(scripted) as url, httpx.AsyncClient(base_url=url) as client:
        made = (await client.post(CHAT, json=chat())).json()["usage"]["completion_tokens"]
        await client.post(CHAT, json=chat(stream=True))
    assert slept == [2.0 + 0.5 * made, 2.0, 0.5] + [0.5 - late] * (made - 1)


async def test_embeddings_as_numbers_and_as_bytes() -> None:
    """One vector for each input, the same in both encodings; an array of tokens is one input."""
    async with asking() as (scripted, client):
        body = {"model": "e", "input": ["a", "b"]}
        plain = (await client.post("/v1/embeddings", json=body)).json()
        packed = (await client.post("/v1/embeddings", json={**body, "encoding_format": "base64"})).json()
        tokens = (await client.post("/v1/embeddings", json={"model": "e", "input": [1, 2, 3]})).json()
    numbers = [one["embedding"] for one in plain["data"]]
    raw = [base64.b64decode(one["embedding"]) for one in packed["data"]]
    assert [list(struct.unpack("<8f", one)) for one in raw] == [pytest.approx(one) for one in numbers]
    assert (len(tokens["data"]), tokens["usage"]["prompt_tokens"]) == (1, 3)
    assert scripted.seen.completed == 3


async def test_counts_add_up_under_faults_and_departures() -> None:
    """Of 120 requests of all sorts, each is completed, failed or aborted, and none holds a slot."""
    faults = [Fault.ERROR_500, Fault.CUT_RESET, Fault.HANG, Fault.CUT_CLEAN]
    async with asking(slots=8) as (scripted, client):
        for fault in faults * 10:
            scripted.fail(fault, after=1)
        asked = [asyncio.create_task(client.post(CHAT, json=chat(stream=True))) for _ in range(120)]
        async with asyncio.timeout(10):
            while sum(not one.done() for one in asked) > 0:
                for one in [one for one in asked if not one.done()][:4]:
                    one.cancel()
                await asyncio.sleep(0.002)
            await asyncio.gather(*asked, return_exceptions=True)
            while scripted.seen.running or scripted.seen.queued:
                await asyncio.sleep(0.001)
    seen = scripted.seen
    assert seen.completed + seen.failed + seen.aborted == seen.requests
    assert seen.peak_running <= 8
