"""From a backend's answer to what the client reads: the same bytes unless a rule changes them. Pure.

Streams: `feed` takes upstream bytes in any cuts and gives whole events. Nothing is given out before the first
event that carries something, so that a failure until then can still fall back. A complete answer ends in
exactly one usage event (if asked for) and one `[DONE]`; one that does not end in a finish reason is a fault,
never a silent end. Other rules: usage wherever it stands, ids that collide, finish reasons in OpenAI's words,
reasoning under both of its names, a forced tool call that the backend wrote as plain JSON.
"""

from __future__ import annotations

from typing import Any

import orjson

from app.backends import faults
from app.backends.mould import Mould
from app.core.chat import ChatRequest
from app.core.sse import Decoder, encode
from app.core.types import Usage
from app.errors import UpstreamFault, UpstreamMalformed

DONE = b"data: [DONE]\n\n"
_FINISH = {"stop_sequence": "stop", "eos_token": "stop", "eos": "stop", "tool_call": "tool_calls"}
MOST = 10**9  # tokens; more is no count, but for instance -1 without its sign
CASTS = 8  # moulds tried per stream; events that differ in more than their text are read one by one
_TEXT_KEYS = {"role", "content"}
_USEFUL = ("reasoning", "refusal", "audio", "function_call")  # beside content and tool_calls
_COMMON = ("id", "object", "created", "model", "system_fingerprint")
ODD = "The backend's answer has not the shape of an answer."
_ODD = (TypeError, AttributeError, KeyError, ValueError)  # what odd JSON does to code that expects the usual one
Json = dict[str, Any]


class Shaping:
    """What both forms of an answer share: the rules that change a choice, and what is learned on the way."""

    __slots__ = ("_call_id", "_forced", "_id", "_model", "_own_ids", "chars", "model", "request", "usage")

    def __init__(
        self, request: ChatRequest, request_id: str, own_ids: bool, forced: str | None, model: str = ""
    ) -> None:
        """`model` is the id we asked for: it stands in an answer that names none."""
        prefix = "cmpl" if request.api == "completion" else "chatcmpl"
        self._id = f"{prefix}-{request_id}"
        self._own_ids = own_ids
        self._call_id = f"call_{request_id}"
        self._forced = forced
        self._model = model
        self.request = request
        self.chars = 0  # UTF-8 bytes of the answer, for an estimate if usage never comes
        self.model: str | None = None
        self.usage: Usage | None = None

    def final_usage(self) -> Usage:
        """What the backend said, else an estimate: four bytes of text are about one token."""
        if self.usage is not None:
            return self.usage
        return Usage(self.request.estimated_tokens(), (self.chars + 3) // 4, estimated=True)

    def take_usage(self, said: Any) -> bool:
        """True if it says something: some servers send zeros until they know."""
        if not isinstance(said, dict):
            return False
        sent, made = said.get("prompt_tokens"), said.get("completion_tokens") or 0
        if isinstance(sent, int) and isinstance(made, int) and min(sent, made) >= 0 and 0 < max(sent, made) <= MOST:
            details = said.get("prompt_tokens_details")
            cached = details.get("cached_tokens") if isinstance(details, dict) else None
            self.usage = Usage(sent, made, min(max(cached, 0), sent) if isinstance(cached, int) else 0)
            return True
        return False

    def head(self, answer: Json) -> bool:
        """Id and model; True if something was changed. One id for all events of a stream, also for those without."""
        model, said = answer.get("model"), answer.get("id")
        if self.model is None and isinstance(model, str) and model:
            self.model = model
        if model and said and not self._own_ids:
            self._id = said
            return False
        changed = not model and bool(self._model)
        if changed:
            answer["model"] = self._model
        if self._own_ids or (not said and answer.get("choices")):
            answer["id"] = self._id
            changed = True
        return changed

    def text(self, part: Json) -> bool:
        """Reasoning under both names; True if something was changed. Counts what the answer says."""
        changed = False
        one, other = part.get("reasoning"), part.get("reasoning_content")
        if one is not None and other is None:
            part["reasoning_content"] = other = one
            changed = True
        elif other is not None and one is None:
            part["reasoning"] = other
            changed = True
        for said in (part.get("content"), other):
            if said.__class__ is str:
                self.chars += len(said.encode("utf-8", "replace"))
        return changed

    def call(self, arguments: str, *, index: int | None = None) -> Json:
        """A tool call made of what the backend wrote as content."""
        call: Json = {
            "id": self._call_id,
            "type": "function",
            "function": {"name": self._forced, "arguments": arguments},
        }
        return call if index is None else {"index": index, **call}

    @property
    def forced(self) -> str | None:
        return self._forced


class Stream(Shaping):
    """One streamed answer."""

    __slots__ = (
        "_begun",
        "_called",
        "_casts",
        "_decoder",
        "_fault",
        "_finished",
        "_given",
        "_held",
        "_keep_usage",
        "_like",
        "_mould",
        "_ready",
        "_tools",
        "_usage_event",
        "done",
    )

    def __init__(
        self, request: ChatRequest, request_id: str, own_ids: bool, forced: str | None, model: str = ""
    ) -> None:
        super().__init__(request, request_id, own_ids, forced, model)
        self._decoder = Decoder()
        self._held: list[bytes] = []
        self._given = False
        self._begun: set[int] = set()  # choices, by index
        self._finished: set[int] = set()
        self._tools: set[int] = set()  # those that call tools
        self._like: Json = {}  # what all events have in common: id, object, created, model
        self._called = False  # the forced call's first delta is out
        options = request.body.get("stream_options") or {}
        self._keep_usage = request.wants_usage and options.get("continuous_usage_stats") is True
        self._usage_event: bytes | None = None
        self._fault: UpstreamFault | None = None
        self._mould: Mould | None = None
        self._ready: Mould | None = None  # the mould, while the decoder is between two events
        self._casts = 0 if request.api == "chat" and forced is None else CASTS
        self.done = False  # its own [DONE] or a fault was seen: whatever follows, `finish` says how it ended

    def feed(self, data: bytes) -> bytes:
        """Events ready for the client, maybe none. Raises UpstreamFault, after what came before it was given."""
        mould = self._ready
        if mould is not None and mould.fits(data):
            self.chars += len(data) - mould.size
            return data if mould.ours is None else mould.ours + data[len(mould.prefix) :]
        if self._fault is not None:
            raise self._fault
        self._ready = None
        out = self._take(self._decoder.feed(data))
        self._ready = self._mould if self._decoder.idle else None
        return out

    def finish(self) -> bytes:
        """The upstream ended. The last events and [DONE]. Raises UpstreamFault if the answer is not complete."""
        out = self.feed(b"") + self._take([] if self.done else self._decoder.flush())
        if self._fault is not None:
            raise self._fault
        if not self._begun or self._begun - self._finished:
            raise UpstreamMalformed("The backend's answer broke off: it ended without a finish reason.")
        if self.request.wants_usage:
            out += self._usage_event or encode(self._made_usage())
        return out + DONE

    def _take(self, payloads: list[bytes]) -> bytes:
        out: list[bytes] = []
        try:
            for payload in payloads:
                if payload == b"[DONE]":
                    self.done = True
                    break
                self._event(payload, out)
        except UpstreamFault as fault:
            self._fault, self._mould, self.done = fault, None, True
        except _ODD:
            self._fault, self._mould, self.done = UpstreamMalformed(ODD), None, True
        if self._fault is not None and not out:
            raise self._fault
        return b"".join(out)

    def _event(self, payload: bytes, out: list[bytes]) -> None:
        chunk = _object(payload)
        if chunk.get("error"):
            raise faults.from_stream(chunk["error"])
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        changed = self.head(chunk)
        if choices and not self._like:
            self._like = {key: chunk[key] for key in _COMMON if key in chunk}
        if usage is not None:  # belongs into an event of its own, once, at the end
            if self.take_usage(usage):
                alone = choices == [] and not changed
                self._usage_event = encode(payload if alone else _dumps({**chunk, "choices": []}))
            if not choices:
                return
            if not self._keep_usage:
                del chunk["usage"]
                changed = True
        useful = False
        for choice in choices or ():
            some, other = self._choice(choice)
            useful, changed = useful or some, changed or other
        event = encode(_dumps(chunk) if changed else payload)
        first = not self._given
        self._give(event, useful, out)
        if not first and self._casts < CASTS and _is_text(chunk):  # the first has to leave as soon as it can
            self._casts += 1
            self._mould = Mould.cast(encode(payload), event)

    def _give(self, event: bytes, useful: bool, out: list[bytes]) -> None:
        if self._given:
            out.append(event)
            return
        self._held.append(event)
        if useful:
            self._given = True
            out.extend(self._held)
            self._held.clear()

    def _choice(self, choice: Json) -> tuple[bool, bool]:
        """(does it carry something, was it changed)"""
        if not isinstance(choice, dict):
            raise UpstreamMalformed("The backend sent a choice that is not an object.")
        index = choice.get("index") or 0
        self._begun.add(index)
        delta = choice.get("delta")
        useful = changed = False
        if isinstance(delta, dict):
            changed = self.text(delta)
            useful = bool(delta.get("content")) or any(map(delta.get, _USEFUL))
            if delta.get("tool_calls") and not self._called:
                self._tools.add(index)
                useful = True
            elif self._forced is not None and (self._called or index not in self._tools):
                changed = self._as_call(delta, index) or changed
        elif choice.get("text"):
            self.chars += len(str(choice["text"]).encode("utf-8", "replace"))
            useful = True
        finish = choice.get("finish_reason")
        if finish:  # some servers say "" until the end
            self._finished.add(index)
            useful = True
            changed = _finish(choice, finish, index in self._tools) or changed
        return useful, changed

    def _as_call(self, delta: Json, index: int) -> bool:
        """The forced call as the backend wrote it: plain JSON in the content. True if something was changed."""
        again = delta.pop("tool_calls", None)  # the same call in the backend's own form: one is enough
        arguments = delta.get("content") or ""
        if not self._called:
            arguments = arguments.lstrip()
        if not arguments:
            return again is not None
        del delta["content"]
        if self._called:
            delta["tool_calls"] = [{"index": 0, "function": {"arguments": arguments}}]
        else:
            self._called = True
            self._tools.add(index)
            delta["tool_calls"] = [self.call(arguments, index=0)]
        return True

    def _made_usage(self) -> bytes:
        """A usage event for a backend that sent none: estimated, since the client asked for one."""
        return _dumps({**self._like, "choices": [], "usage": _counters(self.final_usage())})


class Whole(Shaping):
    """One answer that is not a stream."""

    __slots__ = ()

    def shape(self, body: bytes) -> bytes:
        """The body for the client. Raises UpstreamFault if it is not a usable answer."""
        try:
            return self._shaped(body)
        except _ODD:
            raise UpstreamMalformed(ODD) from None

    def _shaped(self, body: bytes) -> bytes:
        answer = _object(body)
        if answer.get("error"):
            raise faults.from_stream(answer["error"])
        self.take_usage(answer.get("usage"))
        if self.request.api == "embedding":
            if not isinstance(answer.get("data"), list):
                raise UpstreamMalformed("The backend's answer has no embeddings.")
            self.model = answer.get("model") if isinstance(answer.get("model"), str) else None
            return body
        changed = self.head(answer)
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise UpstreamMalformed("The backend's answer has no choices.")
        for choice in choices:
            changed = self._choice(choice) or changed
        return _dumps(answer) if changed else body

    def _choice(self, choice: Json) -> bool:
        message = choice.get("message") if isinstance(choice, dict) else None
        if message is None and isinstance(choice, dict) and isinstance(choice.get("text"), str):
            self.chars += len(choice["text"].encode("utf-8", "replace"))
            return _ended(choice, tools=False)
        if not isinstance(message, dict):
            raise UpstreamMalformed("The backend's answer has no message.")
        changed = self.text(message)
        said = message.get("content")
        if self._forced is not None and not message.get("tool_calls") and isinstance(said, str) and said.strip():
            message["tool_calls"] = [self.call(said.strip())]
            message["content"] = None
            changed = True
        return _ended(choice, tools=bool(message.get("tool_calls"))) or changed


def _is_text(chunk: Json) -> bool:
    """One choice that goes on, with nothing a rule is about."""
    choices = chunk.get("choices") or []
    if len(choices) != 1 or choices[0].get("finish_reason") is not None or chunk.get("usage") is not None:
        return False
    delta = choices[0].get("delta")
    return bool(delta) and bool(delta.get("content")) and not (delta.keys() - _TEXT_KEYS)


def _ended(choice: Json, *, tools: bool) -> bool:
    finish = choice.get("finish_reason")
    if finish:
        return _finish(choice, finish, tools)
    if not tools:
        raise UpstreamMalformed("The backend's answer broke off: it has no finish reason.")
    choice["finish_reason"] = "tool_calls"
    return True


def _finish(choice: Json, finish: Any, tools: bool) -> bool:
    said = _FINISH.get(finish, finish)
    if tools and said == "stop":
        said = "tool_calls"
    choice["finish_reason"] = said
    return bool(said != finish)


def _object(payload: bytes) -> Json:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise UpstreamMalformed("The backend's answer is not JSON.") from None
    if not isinstance(value, dict):
        raise UpstreamMalformed("The backend's answer is not a JSON object.")
    return value


def _dumps(value: Json) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # it nests deeper than can be written, though it could be read
        raise UpstreamMalformed("The backend's answer is nested too deeply.") from None


def _counters(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
