"""The fake as an ASGI app: slots, queue, counting, faults; what it says is in `answers`, how in `wire`."""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import hashlib
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson

from app.backends.scripted import answers, checks, native
from app.backends.scripted.endpoint import Endpoint
from app.backends.scripted.http import (
    GZIPPED,
    Dropped,
    Leaving,
    answer,
    answer_json,
    framed,
    kept_alive,
    piece,
    read_body,
    start_stream,
)
from app.backends.scripted.model import SPOILS, STREAM_ONLY, Fault, Model, Seen
from app.backends.scripted.native import Memory
from app.backends.scripted.wire import ODD, STYLES, Wire, error, stream_error

Json = dict[str, Any]
CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
DONE = b"data: [DONE]\n\n"
AFTER = 3  # tokens before a fault that comes in the middle
BREATH = 16  # tokens after which a stream without pauses lets others run
SLOW = 0.01  # seconds
_ODD_BODY = (TypeError, AttributeError, KeyError, ValueError)  # what odd JSON does to code that expects the usual one


class Scripted:
    """One fake server. `fail` sets what goes wrong next; `seen` is what it has counted.

    `now` and `sleep` are its clock, in seconds: a demo may play them faster.
    """

    def __init__(
        self,
        model: Model,
        endpoint: Endpoint | None = None,
        *,
        keep_bodies: bool = False,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.model = model
        self.endpoint = endpoint
        self._seen = Seen()
        self.memory = Memory(model, self._seen, now, sleep)
        self._now, self._sleep = now, sleep
        self._keep_bodies = keep_bodies
        self._slots = asyncio.Semaphore(model.slots)
        self._faults: list[Fault | None] = []

    @property
    def seen(self) -> Seen:
        """A copy: it does not change any more."""
        if self.endpoint is not None:
            self._seen.minutes_billed = self.endpoint.minutes_billed
        return copy.deepcopy(self._seen)

    @property
    def loaded(self) -> bool:
        return self.memory.loaded is not None

    @property
    def idle_slots(self) -> int:
        return self.model.slots - self._seen.running

    def fail(self, fault: Fault, times: int = 1, after: int = 0) -> None:
        """The generating requests after the next `after` ones fail, `times` of them."""
        self._faults += [None] * after + [fault] * times

    def heal(self) -> None:
        self._faults.clear()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        self._seen.paths[path] = self._seen.paths.get(path, 0) + 1
        headers = dict(scope["headers"])
        if self.endpoint is not None and path.startswith("/v2/"):
            self._seen.management_calls += 1
            return await self.endpoint.manage(scope["method"], path, headers, send)
        if path in (CHAT, TEXT, EMBED):
            return await self._generate(path, headers, receive, send)
        if self.endpoint is not None and not await self.endpoint.let_through({}, send):
            return None
        body = await read_body(receive) if scope["method"] == "POST" else b""
        if body is None:
            return None
        query = scope.get("query_string", b"")
        return await native.answer_to(self, scope["method"], path, body, receive, send, query)

    async def _generate(self, path: str, headers: dict[bytes, bytes], receive: Any, send: Any) -> None:
        """Counts the request, whatever becomes of it."""
        seen = self._seen
        seen.requests += 1
        number = seen.requests
        given = headers.get(b"authorization")
        if given is not None:
            seen.keys.add(hashlib.sha256(given).hexdigest())
        raw = await read_body(receive)
        if raw is None:
            seen.aborted += 1
            return
        seen.bytes_received += len(raw)
        fault = self._faults.pop(0) if self._faults else None
        leaving, done, endpoint = Leaving(receive), False, self.endpoint
        try:
            async with leaving:
                if endpoint is None:
                    done = await self._admitted(path, raw, number, fault, given, send)
                elif await endpoint.let_through(headers, send):
                    with endpoint.busy():
                        done = await self._admitted(path, raw, number, fault, given, send)
        finally:
            if done:
                seen.completed += 1
            elif leaving.gone:
                seen.aborted += 1
            else:
                seen.failed += 1

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """First come, first served; without bound and without a word, as Ollama queues."""
        seen = self._seen
        if self._slots.locked():
            seen.queued += 1
            seen.peak_queued = max(seen.peak_queued, seen.queued)
            try:
                await self._slots.acquire()
            finally:
                seen.queued -= 1
        else:
            await self._slots.acquire()
        seen.running += 1
        seen.peak_running = max(seen.peak_running, seen.running)
        try:
            yield
        finally:
            seen.running -= 1
            self._slots.release()

    async def _admitted(
        self, path: str, raw: bytes, number: int, fault: Fault | None, given: bytes | None, send: Any
    ) -> bool:
        kind = self.model.imitates
        body = _object(raw)
        if body is None:
            await answer(send, 422 if kind in ("tgi", "transformers") else 400, error(kind, 400, "not a JSON object"))
            return False
        if self._keep_bodies:
            self._seen.bodies.append(body)
        if kind == "llama-cpp" and not self.loaded:
            return await self._refuse(send, body, 503, error(kind, 503, "Loading model", "unavailable_error"))
        async with self.slot():
            model = self.memory.model(body.get("model")) or self.model
            if path != EMBED:
                await self.memory.load(model)
            if fault is not None and await self._failed_early(fault, body, given, send):
                return False
            return await self._answered(path, body, model, number, fault, send)

    async def _answered(self, path: str, body: Json, model: Model, number: int, fault: Fault | None, send: Any) -> bool:
        try:
            refused, asked, tokens = _judged(path, body, model)
            wanted = None if refused or path == EMBED else _written(path == CHAT, asked, tokens, model, number)
        except _ODD_BODY:
            refused = checks.misshapen(model)
        if refused is not None:
            return await self._refuse(send, body, *refused)
        if wanted is None:
            return await self._embed(body, tokens, send)
        said, wire = wanted
        self._seen.messages += len(asked.get("messages") or ())
        self._seen.truncated += tokens > model.context_window
        if body.get("stream"):
            return await self._stream(wire, said, fault, send)
        await self.pause(model.first_token + model.per_token * said.tokens + SLOW * (fault is Fault.SLOW))
        return await self._whole(wire, said, fault, send)

    async def _whole(self, wire: Wire, said: answers.Answer, fault: Fault | None, send: Any) -> bool:
        if fault is Fault.STALL_FIRST:
            await start_stream(send)
            await asyncio.Event().wait()
        whole, headers = wire.whole(said), wire.headers()
        if fault is Fault.NULL_FINISH:
            whole = _null_finish(whole)
        else:
            self._count(wire.usage)
        if fault is Fault.NO_USAGE:
            whole = orjson.dumps({key: part for key, part in orjson.loads(whole).items() if key != "usage"})
        if fault is Fault.GZIP:
            whole, headers = gzip.compress(whole), [*headers, GZIPPED]
        await answer(send, 200, whole, headers)
        return fault is not Fault.NULL_FINISH

    async def _stream(self, wire: Wire, said: answers.Answer, fault: Fault | None, send: Any) -> bool:
        model, ask = wire.model, wire.asks_usage and fault is not Fault.NO_USAGE
        if not wire.style.early and fault is not Fault.STALL_FIRST:
            await self.pause(model.first_token)
            await start_stream(send)
        else:
            await start_stream(send)
            if model.first_token or fault is Fault.STALL_FIRST:
                stall = asyncio.Event().wait() if fault is Fault.STALL_FIRST else self.pause(model.first_token)
                await kept_alive(stall, wire.style.ping, self._sleep, send)
        if fault is Fault.ERROR_FIRST:
            return await _break_off(send, wire, "out of memory")
        pause = model.per_token + SLOW * (fault is Fault.SLOW)
        tokens, began = 0, self._now()
        for payload, made in wire.events(said, ask_usage=ask):
            if fault is Fault.NULL_FINISH and not made and tokens:
                break  # the repeat guard: no last event
            if made:  # by the time that each token is due, so that timers which are late do not add up
                await self.pause(began + pause * (tokens + 1) - self._now() if pause else 0.0)
            for part in framed(payload, fault):
                await piece(send, part)
            tokens += made
            if not pause and tokens % BREATH == 0:
                await asyncio.sleep(0)
            if tokens == AFTER and made and await self._spoilt(wire, fault, send):
                return False
        if fault is Fault.NULL_FINISH:
            await piece(send, b"", more=False)
            return False
        self._count(wire.usage)
        await piece(send, DONE if wire.style.done and fault is not Fault.NO_DONE else b"", more=False)
        return True

    async def _spoilt(self, wire: Wire, fault: Fault | None, send: Any) -> bool:
        """What happens in the middle of a stream; True if that was its end."""
        if fault is Fault.STALL_MID:
            await kept_alive(asyncio.Event().wait(), wire.style.ping, self._sleep, send)
        if fault is Fault.CUT_RESET:
            raise Dropped(reset=True)
        if fault is Fault.CUT_CLEAN:
            await piece(send, b"", more=False)
            return True
        if fault is Fault.ODD_CHUNKS:
            for payload in ODD:
                await piece(send, b"data: " + payload + b"\n\n")
        if fault is Fault.ERROR_MID:
            await _break_off(send, wire, "the engine died")
        return fault is Fault.ERROR_MID

    async def _embed(self, body: Json, tokens: int, send: Any) -> bool:
        given = body["input"]
        texts = given if isinstance(given, list) and not checks.is_tokens(given) else [given]
        vectors: list[Any] = [answers.embedding(str(one)) for one in texts]
        if body.get("encoding_format") == "base64":
            vectors = [base64.b64encode(struct.pack(f"<{len(one)}f", *one)).decode() for one in vectors]
        data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        self._count({**usage, "completion_tokens": 0})
        await answer_json(send, {"object": "list", "data": data, "model": body.get("model"), "usage": usage})
        return True

    def _count(self, usage: Json) -> None:
        self._seen.prompt_tokens += usage["prompt_tokens"]
        self._seen.completion_tokens += usage["completion_tokens"]

    async def pause(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

    async def _refuse(
        self, send: Any, body: Json, status: int, raw: bytes, headers: list[tuple[bytes, bytes]] | None = None
    ) -> bool:
        """Always False. TGI has one status for a stream, whatever happens: 200."""
        if self.model.imitates == "tgi" and body.get("stream") is True and status not in (401, 403, 404):
            await start_stream(send)
            said = {"message": orjson.loads(raw)["error"], "http_status_code": status}
            await piece(send, b"data: " + orjson.dumps({"error": said}) + b"\n\n" + DONE, more=False)
        else:
            await answer(send, status, raw, headers)
        return False

    async def _failed_early(self, fault: Fault, body: Json, given: bytes | None, send: Any) -> bool:
        """True if the fault was the whole answer."""
        if fault in SPOILS or fault in STREAM_ONLY:
            return False
        if fault is Fault.HANG:
            await asyncio.Event().wait()
        if fault is Fault.CLOSED_200:
            await start_stream(send)
            raise Dropped
        status, raw, headers = checks.faulty(fault, self.model.imitates, (given or b"nothing").decode("latin-1"))
        if status in (200, 307, 502):
            await answer(send, status, raw, headers)
        else:
            await self._refuse(send, body, status, raw, headers)
        return True


def _judged(path: str, body: Json, model: Model) -> tuple[checks.Refusal | None, Json, int]:
    """(refusal if there is one, the body as understood, tokens of its prompt)"""
    refused = checks.embedding_refusal(body, model) if path == EMBED else checks.refusal(body, model, path == CHAT)
    if refused is not None:
        return refused, body, 0
    asked = checks.as_understood(body, model)
    tokens = answers.prompt_tokens(asked)
    return checks.overflow(tokens, asked, model), asked, tokens


def _written(chat: bool, asked: Json, tokens: int, model: Model, number: int) -> tuple[answers.Answer, Wire]:
    """What is said, and how. A text completion has no template, so nothing that thinks apart from its text."""
    style = STYLES[model.imitates]
    said = answers.answer(
        asked,
        thinks=chat and checks.thinks(asked, model),
        honours_choice=style.honours_choice,
        honours_format=style.honours_format,
        sentences=model.sentences,
    )
    return said, Wire(model, asked, number, said, prompt=min(tokens, model.context_window), chat=chat)


def _object(raw: bytes) -> Json | None:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _null_finish(whole: bytes) -> bytes:
    value = orjson.loads(whole)
    value["choices"][0]["finish_reason"] = None
    value["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return orjson.dumps(value)


async def _break_off(send: Any, wire: Wire, message: str) -> bool:
    """An error inside the 200 stream, which ends it. Always False."""
    kind = wire.model.imitates
    after = DONE if kind in ("vllm", "tgi") else b""
    await piece(send, b"data: " + stream_error(kind, message) + b"\n\n" + after, more=False)
    return False
