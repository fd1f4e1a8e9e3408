"""Any OpenAI-compatible server behind the `Backend` seam: table of quirks out, shaping in, faults named.

One upstream call is: body made for this backend, posted with the backend's own key (never the client's
headers), status judged, then pieces shaped as they arrive. Timeouts, slots and retries are the driver's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import orjson

from app.backends import faults
from app.backends.http_client import HttpClient
from app.backends.http_connection import HttpReply
from app.backends.inbound import Stream, Whole
from app.backends.outbound import forced_function, outbound, thinking_fields
from app.backends.quirks import Quirks
from app.core.chat import ChatRequest
from app.core.types import Api, BackendSpec, Capability, Facts, Usage
from app.errors import UpstreamFault, UpstreamMalformed, UpstreamUnavailable
from app.ports import Give

PATHS: dict[Api, str] = {"chat": "/chat/completions", "completion": "/completions", "embedding": "/embeddings"}
LINGER = 0.5  # seconds
ERROR_BODY = 64 * 1024  # bytes of an error answer that are read
SECRET = 16  # characters from which on a key is taken for one, not for a word such as "none", wherever it stands
MASK = "***"


@dataclass(frozen=True, slots=True)
class Wiring:
    """What an adapter needs beside its spec: how to connect, what to say, whom to tell."""

    client: HttpClient
    quirks: Quirks
    api_key: str | None
    on_unhonoured: Callable[[str, str], None]
    warming: Callable[[], Awaitable[bool]]
    extra_headers: tuple[tuple[str, str], ...] = ()


class OpenAIBackend:
    """Implements `app.ports.Backend`. `facts` are replaced by whoever probes."""

    def __init__(self, spec: BackendSpec, wiring: Wiring, facts: Facts) -> None:
        self.spec = spec
        self.facts = facts
        self._wiring = wiring
        root = spec.base_url.rstrip("/").removesuffix("/v1")
        self._urls = {api: f"{root}/v1{path}" for api, path in PATHS.items()}
        self._headers = {"content-type": "application/json"}
        if wiring.api_key:
            self._headers["authorization"] = f"Bearer {wiring.api_key}"
        self._headers.update(wiring.extra_headers)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """By the table of the kind; narrowed by what the model was found not to have."""
        has, learned = self._wiring.quirks.has, self.facts.capabilities
        return has if learned is None else has & learned

    async def send(self, request: ChatRequest, request_id: str) -> HttpAnswer:
        if self.facts.state == "down" and self.facts.problem == MISSING_KEY:
            raise UpstreamUnavailable(MISSING_KEY)
        wiring, spec = self._wiring, self.spec
        quirks = wiring.quirks
        thinking = thinking_fields(quirks, spec.reasoning, self.facts.thinks)
        body = outbound(request, spec.model, quirks, thinking, self._note)
        headers = {**self._headers, "x-request-id": request_id}
        reply = await wiring.client.post(self._urls[request.api], headers, orjson.dumps(body))
        if reply.status != 200:
            await _refuse(reply, wiring.api_key)
        forced = forced_function(request, quirks)
        if not request.stream:
            whole = Whole(request, request_id, quirks.own_ids, forced, spec.model)
            return HttpAnswer(reply, whole, wiring.api_key)
        if "json" in (reply.header("content-type") or ""):
            await _refuse(reply, wiring.api_key)
        stream = Stream(request, request_id, quirks.own_ids, forced, spec.model)
        return StreamedAnswer(reply, stream, wiring.api_key)

    async def warming(self) -> bool:
        return await self._wiring.warming()

    def _note(self, field: str) -> None:
        self._wiring.on_unhonoured(self.spec.name, field)


MISSING_KEY = "The API key of this backend is not set in the environment."


class HttpAnswer:
    """Implements `app.ports.Reply` for a whole answer. One that holds the key it was asked with goes on without it."""

    __slots__ = ("_key", "_reply", "_secret", "_shape", "last", "pieces")

    def __init__(self, reply: HttpReply, shape: Stream | Whole, key: str | None) -> None:
        self._key = key
        self._secret = key.encode() if key and len(key) >= SECRET else None
        self._reply = reply
        self._shape = shape
        self.pieces = 1
        self.last = 0.0

    @property
    def usage(self) -> Usage | None:
        """Known or estimated, also for an answer that was cut off."""
        return self._shape.final_usage()

    @property
    def model(self) -> str | None:
        model = self._shape.model
        return model.replace(self._key, MASK) if model and self._key and self._secret else model

    async def first(self) -> bytes:
        assert isinstance(self._shape, Whole)
        try:
            return self._without_key(self._shape.shape(await self._reply.read()))
        except UpstreamFault as fault:
            raise _masked(fault, self._key) from None

    async def relay(self, give: Give) -> bool:
        return True  # nothing follows

    def close(self) -> None:
        self._reply.close()

    def _without_key(self, out: bytes) -> bytes:
        """Events come whole, so none is cut in two."""
        return out if self._secret is None else out.replace(self._secret, MASK.encode())


class StreamedAnswer(HttpAnswer):
    """The same for a stream."""

    __slots__ = ("_ended", "_over", "_stream", "_time")

    def __init__(self, reply: HttpReply, stream: Stream, key: str | None) -> None:
        super().__init__(reply, stream, key)
        self._stream = stream
        self._time = asyncio.get_running_loop().time
        self._over = False  # nothing more will come from upstream
        self._ended = False  # and everything was handed on

    async def first(self) -> bytes:
        stream, out = self._stream, b""
        try:
            while not out and not self._over:
                data = await self._reply.chunk()
                out = stream.feed(data) if data else b""
                self._over = not data or stream.done
            return self._without_key(out or self._finish())
        except UpstreamFault as fault:
            raise _masked(fault, self._key) from None

    async def relay(self, give: Give) -> bool:
        try:
            if not self._over:
                ended = await self._reply.relay(partial(self._pass, give))
                self._over = ended or self._stream.done
            if not self._over:
                return False
            if not self._ended:
                give(self._without_key(self._finish()))
                self.pieces += 1
                self.last = self._time()
        except UpstreamFault as fault:
            raise _masked(fault, self._key) from None
        await self._linger()
        return True

    def _pass(self, give: Give, data: bytes) -> bool:
        """A piece has arrived; each call in here is paid for by every piece of a stream.

        `time`, as a call of what stands in a slot is one that CPython 3.11 cannot specialise.
        """
        stream, time = self._stream, self._time
        out = stream.feed(data)
        if not out:
            return not stream.done
        if self._secret is not None and self._secret in out:
            out = self._without_key(out)
        room = give(out)
        self.pieces += 1
        self.last = time()
        return room and not stream.done

    def _finish(self) -> bytes:
        self._ended = True
        return self._stream.finish()

    async def _linger(self) -> None:
        """Wait a moment for the end of the body behind [DONE]: then the connection can be used again."""
        with contextlib.suppress(TimeoutError, UpstreamFault):
            async with asyncio.timeout(LINGER):
                while await self._reply.chunk():
                    pass


async def _refuse(reply: HttpReply, api_key: str | None) -> None:
    """Raise what the answer stands for; its connection is not worth keeping for a large error page.

    Some servers repeat the key they were given: whatever its form, ours goes no further.
    """
    try:
        body = b""
        while len(body) < ERROR_BODY and (piece := await reply.chunk()):
            body += piece
    except UpstreamFault:
        body = b""
    finally:
        reply.close()
    if api_key:
        body = body.replace(api_key.encode(), MASK.encode())
    if reply.status != 200:
        fault = faults.from_response(reply.status, reply.header("retry-after"), body, reply.header("date"))
    else:
        error = _error_in(body)
        fault = faults.from_stream(error) if error else UpstreamMalformed("The backend did not stream its answer.")
    raise _masked(fault, api_key)


def _masked(fault: UpstreamFault, api_key: str | None) -> UpstreamFault:
    """The same, without our key in what a client may read: JSON may have spelled it otherwise before it was decoded."""
    if api_key:
        fault.message = fault.message.replace(api_key, MASK)
        fault.args = (fault.message,)
        fault.param = fault.param and fault.param.replace(api_key, MASK)
    return fault


def _error_in(body: bytes) -> object:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value.get("error") if isinstance(value, dict) else None
