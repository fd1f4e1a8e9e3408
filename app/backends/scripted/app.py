"""The fake as an ASGI app: slots, queue, counting, faults; what it says is in `answers`, how in `wire`."""

from __future__ import annotations

import asyncio
import base64
import copy
import gzip
import hashlib
import struct
from collections.abc import Iterator
from typing import Any

import orjson

from app.backends.scripted import answers, checks, native
from app.backends.scripted.endpoint import Endpoint
from app.backends.scripted.http import SSE, Dropped, Leaving, answer, answer_json, read_body
from app.backends.scripted.model import STREAM_ONLY, Fault, Model, Seen
from app.backends.scripted.wire import STYLES, Wire, error, stream_error

Json = dict[str, Any]
CHAT, TEXT, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
_REFUSED = {
    Fault.REFUSE_403: (403, "You may not do that."),
    Fault.MODEL_404: (404, "model 'x' not found"),
    Fault.REJECT_400: (400, "temperature must be at most 2"),
    Fault.UNPROCESSABLE_422: (422, "temperature must be at most 2"),
    Fault.BUSY_429: (429, "Model is overloaded"),
    Fault.ERROR_500: (500, "CUDA error: out of memory"),
    Fault.BUSY_503: (503, "server busy, please try again.  maximum pending requests exceeded"),
    Fault.LOADING_503: (503, "Loading model"),
}
_PAGE = b"<html><body><h1>Bad Gateway</h1></body></html>"
_HTML = [(b"content-type", b"text/html")]
_CUT_AFTER = 3  # tokens


class Scripted:
    """One fake server. `fail` sets what goes wrong next; `seen` is what it has counted."""

    def __init__(self, model: Model, endpoint: Endpoint | None = None, *, keep_bodies: bool = False) -> None:
        self.model = model
        self.endpoint = endpoint
        self.loaded = model.loaded
        self._seen = Seen()
        self._keep_bodies = keep_bodies
        self._slots = asyncio.Semaphore(model.slots)
        self._faults: list[Fault | None] = []

    @property
    def seen(self) -> Seen:
        """A copy: it does not change any more."""
        return copy.deepcopy(self._seen)

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
            if not self.endpoint.named(path):
                return await answer_json(send, {"error": "endpoint not found"}, 404)
            return await answer_json(send, self.endpoint.described())
        if self.endpoint is not None and not await self.endpoint.let_through(headers, send):
            return None
        if path in (CHAT, TEXT, EMBED):
            return await self._generate(path, headers, receive, send)
        body = await read_body(receive) if scope["method"] == "POST" else b""
        return await native.answer_to(self, scope["method"], path, body, send)

    async def load(self) -> None:
        """What the first request after a pause waits for."""
        if not self.loaded:
            self._seen.loads += 1
            await asyncio.sleep(self.model.load)
            self.loaded = True

    async def _generate(self, path: str, headers: dict[bytes, bytes], receive: Any, send: Any) -> None:
        seen = self._seen
        seen.requests += 1
        number = seen.requests
        given = headers.get(b"authorization")
        if given is not None:
            seen.keys.add(hashlib.sha256(given).hexdigest())
        raw = await read_body(receive)
        fault = self._faults.pop(0) if self._faults else None
        try:
            async with Leaving(receive) as leaving:
                try:
                    done = await self._admitted(path, raw, number, fault, given, send)
                except asyncio.CancelledError:
                    if leaving.gone and leaving._task.uncancel() == 0:
                        seen.aborted += 1
                        return
                    raise
        except Dropped:
            seen.failed += 1
            raise
        if done:
            seen.completed += 1
        else:
            seen.failed += 1

    async def _admitted(
        self, path: str, raw: bytes, number: int, fault: Fault | None, given: bytes | None, send: Any
    ) -> bool:
        seen = self._seen
        seen.queued += 1
        seen.peak_queued = max(seen.peak_queued, seen.queued)
        try:
            await self._slots.acquire()
        finally:
            seen.queued -= 1
        seen.running += 1
        seen.peak_running = max(seen.peak_running, seen.running)
        try:
            await self.load()
            if fault is not None and await self._failed_early(fault, given, send):
                return False
            return await self._answered(path, orjson.loads(raw), number, fault, send)
        finally:
            seen.running -= 1
            self._slots.release()

    async def _answered(self, path: str, body: Json, number: int, fault: Fault | None, send: Any) -> bool:
        if self._keep_bodies:
            self._seen.bodies.append(body)
        kind, chat = self.model.imitates, path == CHAT
        refused = checks.refusal(body, self.model, chat) if path != EMBED else None
        tokens = answers.prompt_tokens(body)
        refused = refused or checks.overflow(tokens, body, self.model)
        if refused is not None:
            await answer(send, *refused)
            return False
        if path == EMBED:
            return await self._embed(body, tokens, send)
        style = STYLES[kind]
        said = answers.answer(
            body,
            thinks=checks.thinks(body, self.model),
            honours_choice=style.honours_choice,
            honours_format=style.honours_format,
        )
        tokens = min(tokens, self.model.context_window)
        usage = {"prompt_tokens": tokens, "completion_tokens": said.tokens, "total_tokens": tokens + said.tokens}
        wire = Wire(self.model, body, number, usage, chat)
        if body.get("stream"):
            return await self._stream(wire, said, fault, send)
        await asyncio.sleep(self.model.first_token + self.model.per_token * said.tokens)
        self._count(usage)
        whole = wire.whole(said)
        if fault is Fault.NULL_FINISH:
            whole = _null_finish(whole)
        if fault is Fault.NO_USAGE:
            whole = orjson.dumps({key: part for key, part in orjson.loads(whole).items() if key != "usage"})
        if fault is Fault.GZIP:
            named = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
            await answer(send, 200, gzip.compress(whole), named)
        else:
            await answer(send, 200, whole)
        return fault is not Fault.NULL_FINISH

    async def _stream(self, wire: Wire, said: answers.Answer, fault: Fault | None, send: Any) -> bool:
        ask = bool((wire.body.get("stream_options") or {}).get("include_usage")) and fault is not Fault.NO_USAGE
        await asyncio.sleep(self.model.first_token)
        await send({"type": "http.response.start", "status": 200, "headers": SSE})
        if fault is Fault.STALL_FIRST:
            await asyncio.Event().wait()
        if fault is Fault.ERROR_FIRST:
            await _broken(send, wire, "out of memory")
            return False
        tokens = 0
        for payload, made in wire.events(said, ask_usage=ask):
            if made and self.model.per_token:
                await asyncio.sleep(self.model.per_token)
            for part in _framed(payload, fault):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            tokens += made
            if tokens >= _CUT_AFTER and fault in (Fault.STALL_MID, Fault.CUT_CLEAN, Fault.CUT_RESET, Fault.ERROR_MID):
                return await _cut(send, wire, fault)
        self._count(wire.usage)
        end = b"data: [DONE]\n\n" if wire.style.done and fault is not Fault.NO_DONE else b""
        await send({"type": "http.response.body", "body": end, "more_body": False})
        return True

    async def _embed(self, body: Json, tokens: int, send: Any) -> bool:
        given = body["input"]
        texts = given if isinstance(given, list) else [given]
        if self.model.imitates == "ollama" and not all(isinstance(one, str) for one in texts):
            await answer(send, 400, error("ollama", 400, "invalid input type"))
            return False
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

    async def _failed_early(self, fault: Fault, given: bytes | None, send: Any) -> bool:
        """True if the fault was the whole answer."""
        kind = self.model.imitates
        if fault in STREAM_ONLY or fault in (Fault.NULL_FINISH, Fault.NO_USAGE, Fault.GZIP, Fault.STALL_FIRST):
            return False
        if fault is Fault.HANG:
            await asyncio.Event().wait()
        if fault is Fault.REFUSE_401:
            shown = (given or b"nothing").decode("latin-1")
            await answer(send, 401, error(kind, 401, f"Incorrect API key provided: {shown}"))
        elif fault in _REFUSED:
            status, text = _REFUSED[fault]
            retry = [(b"retry-after", b"7")] if fault is Fault.BUSY_429 else []
            named = [(b"content-type", b"application/json"), *retry]
            await answer(send, status, error(kind, status, text), named)
        elif fault is Fault.REDIRECT_307:
            await answer(send, 307, b"", [(b"location", b"http://elsewhere.invalid/v1/chat/completions")])
        elif fault is Fault.HTML_502:
            await answer(send, 502, _PAGE, _HTML)
        else:
            bodies = {Fault.EMPTY_200: b"", Fault.HTML_200: _PAGE, Fault.HALF_JSON_200: b'{"id": "x", "choi'}
            await answer(send, 200, bodies.get(fault, error(kind, 500, "the runner process has terminated")))
        return True


def _null_finish(whole: bytes) -> bytes:
    value = orjson.loads(whole)
    value["choices"][0]["finish_reason"] = None
    value["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return orjson.dumps(value)


def _framed(payload: bytes, fault: Fault | None) -> Iterator[bytes]:
    event = b"data: " + payload + b"\n\n"
    if fault is Fault.COMMENTS:
        event = b": keep-alive\n\n" + event
    if fault is Fault.CRLF:
        event = event.replace(b"\n", b"\r\n")
    if fault is Fault.BYTEWISE:
        yield from (event[index : index + 1] for index in range(len(event)))
    else:
        yield event


async def _cut(send: Any, wire: Wire, fault: Fault) -> bool:
    if fault is Fault.STALL_MID:
        await asyncio.Event().wait()
    if fault is Fault.CUT_RESET:
        raise Dropped
    if fault is Fault.ERROR_MID:
        await _broken(send, wire, "the engine died")
    else:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    return False


async def _broken(send: Any, wire: Wire, message: str) -> None:
    kind = wire.model.imitates
    after = b"data: [DONE]\n\n" if kind in ("vllm", "tgi") else b""
    event = b"data: " + stream_error(kind, message) + b"\n\n" + after
    await send({"type": "http.response.body", "body": event, "more_body": False})
