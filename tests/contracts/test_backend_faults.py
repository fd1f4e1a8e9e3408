"""What the gateway may rely on when a backend of any kind fails, breaks off, or is left.

The adapter is the real one, the server the shipped fake on a socket.
"""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from app import errors
from app.backends.scripted import Fault
from tests.contracts.pair import (
    KEY,
    KINDS,
    both_forms,
    collect,
    every_kind,
    pair,
    until,
)


@pytest.mark.parametrize("kind", KINDS)
@both_forms
async def test_overflow_is_recognised(kind: str, stream: bool) -> None:
    """In every server's words; Ollama cuts in silence, which shows only in its usage."""
    async with pair(kind, context_window=64) as both:
        if kind == "ollama":
            said = await both.ask("word " * 200, stream=stream)
            assert said.usage is not None
            assert said.usage.input == 64
            return
        with pytest.raises(errors.UpstreamOverflow) as raised:
            await both.ask("word " * 200, stream=stream)
    assert raised.value.code == "context_length_exceeded"


# What each fault is, and whether only the form of the request decides about it. TGI streams everything as 200.
FAULTS: list[tuple[Fault, type[errors.UpstreamFault]]] = [
    (Fault.REFUSE_401, errors.UpstreamRefused),
    (Fault.REFUSE_403, errors.UpstreamRefused),
    (Fault.MODEL_404, errors.UpstreamRefused),
    (Fault.REJECT_400, errors.UpstreamRejected),
    (Fault.UNPROCESSABLE_422, errors.UpstreamRejected),
    (Fault.BUSY_429, errors.UpstreamRateLimited),
    (Fault.LIMIT_429, errors.UpstreamRateLimited),
    (Fault.ERROR_500, errors.UpstreamUnavailable),
    (Fault.HTML_502, errors.UpstreamUnavailable),
    (Fault.LOADING_503, errors.UpstreamLoading),
    (Fault.BUSY_503, errors.UpstreamRateLimited),
    (Fault.REDIRECT_307, errors.UpstreamMalformed),
    (Fault.EMPTY_200, errors.UpstreamMalformed),
    (Fault.HTML_200, errors.UpstreamMalformed),
    (Fault.HALF_JSON_200, errors.UpstreamMalformed),
    (Fault.ERROR_200, errors.UpstreamUnavailable),
]


@every_kind
@both_forms
@pytest.mark.parametrize(("fault", "error"), FAULTS, ids=lambda value: getattr(value, "name", ""))
async def test_faults_have_their_class(kind: str, stream: bool, fault: Fault, error: type[errors.GatewayError]) -> None:
    """Before a byte reaches the client, and without the key in the message; the next request is served."""
    async with pair(kind) as both:
        both.fake.fail(fault)
        with pytest.raises(errors.UpstreamFault) as raised:
            await both.ask(stream=stream)
        assert type(raised.value) is error
        assert KEY not in raised.value.message
        assert "<" not in raised.value.message
        assert (await both.ask(stream=stream)).message(stream)["content"]
    if fault is Fault.BUSY_429 and not (kind == "tgi" and stream):
        assert raised.value.retry_after == 7.0
    assert both.fake.seen.requests == 2


BEFORE_THE_FIRST_BYTE = [Fault.CLOSED_200, Fault.ERROR_FIRST]


@every_kind
@pytest.mark.parametrize("fault", BEFORE_THE_FIRST_BYTE)
async def test_a_stream_that_fails_at_once_can_fall_back(kind: str, fault: Fault) -> None:
    """Nothing is given out before something usable came."""
    async with pair(kind) as both:
        both.fake.fail(fault)
        reply = await both.open_stream()
        with pytest.raises(errors.UpstreamFault):
            await reply.first()


IN_THE_MIDDLE = [Fault.CUT_CLEAN, Fault.CUT_RESET, Fault.ERROR_MID, Fault.NULL_FINISH]


@every_kind
@pytest.mark.parametrize("fault", IN_THE_MIDDLE)
async def test_a_stream_that_breaks_off_never_looks_whole(kind: str, fault: Fault) -> None:
    """What came is given, then the fault is raised; no [DONE], no finish reason made up; usage is estimated."""
    async with pair(kind) as both:
        both.fake.fail(fault)
        reply = await both.open_stream()
        pieces: list[bytes] = []
        with pytest.raises(errors.UpstreamFault):
            await collect(reply, pieces)
    given = b"".join(pieces)
    assert b"content" in given
    assert b"[DONE]" not in given
    assert b'"stop"' not in given
    assert reply.usage is not None
    assert reply.usage.output > 0


@every_kind
async def test_an_answer_without_a_finish_reason_is_none(kind: str) -> None:
    """Ollama's repeat guard: 200, no reason, usage zero."""
    async with pair(kind) as both:
        both.fake.fail(Fault.NULL_FINISH)
        with pytest.raises(errors.UpstreamMalformed):
            await both.ask()


@every_kind
@pytest.mark.parametrize(
    "fault",
    [Fault.NO_DONE, Fault.COMMENTS, Fault.CRLF, Fault.BYTEWISE, Fault.ODD_CHUNKS, Fault.SLOW],
    ids=lambda one: one.name,
)
async def test_odd_streams_are_whole(kind: str, fault: Fault) -> None:
    """The same text as from a plain one, ended by one [DONE]."""
    async with pair(kind) as both:
        plain = (await both.ask(stream=True)).message(True)["content"]
        both.fake.fail(fault)
        assert (await both.ask(stream=True)).message(True)["content"] == plain


@every_kind
async def test_compression_that_nobody_asked_for_is_undone(kind: str) -> None:
    """The client gets plain JSON."""
    async with pair(kind) as both:
        both.fake.fail(Fault.GZIP)
        assert (await both.ask()).message(False)["content"]


@every_kind
@both_forms
@pytest.mark.parametrize("fault", [Fault.HANG, Fault.STALL_FIRST], ids=lambda one: one.name)
async def test_cancelling_frees_the_slot(kind: str, stream: bool, fault: Fault) -> None:
    """Within a second, whether the head had come or not; the next request is served."""
    async with pair(kind) as both:
        both.fake.fail(fault)
        asked = asyncio.create_task(both.ask(stream=stream))
        await until(both.fake, "running")
        asked.cancel()
        await until(both.fake, "aborted")
        assert both.fake.seen.running == 0
        assert (await both.ask(stream=stream)).message(stream)["content"]


@every_kind
async def test_closing_in_the_middle_frees_the_slot(kind: str) -> None:
    """A reply that is given up does not go on upstream."""
    async with pair(kind) as both:
        both.fake.fail(Fault.STALL_MID)
        reply = await both.open_stream()
        assert await reply.first()
        reply.close()
        await until(both.fake, "aborted")
        assert both.fake.seen.running == 0


@every_kind
async def test_a_call_is_sent_once_and_only_with_our_key(kind: str) -> None:
    """One request for one call, whatever became of it; no redirect is followed."""
    async with pair(kind) as both:
        both.fake.fail(Fault.REDIRECT_307)
        with pytest.raises(errors.UpstreamMalformed):
            await both.ask()
        await both.ask()
    assert both.fake.seen.requests == 2
    assert both.fake.seen.keys == {hashlib.sha256(f"Bearer {KEY}".encode()).hexdigest()}
