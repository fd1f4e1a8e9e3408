"""Server-sent events, as far as OpenAI streams use them: bytes in, `data` payloads out, whatever the cuts.

Obeys the WHATWG parsing rules for line ends (LF, CRLF, CR), comments, multi-line data and a leading BOM;
event names and ids carry no meaning here and are passed over. It works on bytes and splits only at line
ends, so a character cut in half, or a U+2028 inside JSON, cannot hurt.
"""

from __future__ import annotations

from app.errors import UpstreamMalformed

_BOM = b"\xef\xbb\xbf"
MAX_EVENT = 64 * 1024 * 1024  # one event; far above any real one, so that a broken backend cannot fill memory


class Decoder:
    """Feed it pieces of a stream; each call returns the payloads of the events completed by that piece."""

    __slots__ = ("_cr", "_parts", "_size", "_start")

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # an unfinished event, as it came
        self._size = 0
        self._cr = False  # a CR was last: a LF may follow and belongs to it
        self._start = True

    @property
    def idle(self) -> bool:
        """Is it between two events, so that whole ones need not pass through here?"""
        return not self._parts and not self._cr and not self._start

    def feed(self, data: bytes) -> list[bytes]:
        if self._start:
            data = self._strip_bom(data)
        if data and (self._cr or b"\r" in data):
            data = self._normalise(data)
        if not data:
            return []
        if not self._ends_event(data):
            self._keep(data)
            return []
        if self._parts:
            data = b"".join((*self._parts, data))
            self._parts.clear()
            self._size = 0
        *blocks, rest = data.split(b"\n\n")
        if rest:
            self._keep(rest)
        return [payload for block in blocks if (payload := _payload(block)) is not None]

    def flush(self) -> list[bytes]:
        """The stream ended: an event without its blank line still counts (llama.cpp and proxies do that)."""
        payload = _payload(b"".join(self._parts))
        self._parts.clear()
        self._size = 0
        return [] if payload is None else [payload]

    def _strip_bom(self, data: bytes) -> bytes:
        data = b"".join((*self._parts, data))
        self._parts.clear()
        if len(data) < 3 and _BOM.startswith(data):
            self._parts = [data] if data else []
            return b""
        self._start = False
        return data.removeprefix(_BOM)

    def _ends_event(self, data: bytes) -> bool:
        """Is there a blank line in it, or across its beginning? Only then are the pieces put together."""
        if b"\n\n" in data:
            return True
        return data.startswith(b"\n") and bool(self._parts) and self._parts[-1].endswith(b"\n")

    def _normalise(self, data: bytes) -> bytes:
        if self._cr and data.startswith(b"\n"):
            data = data[1:]  # the second half of a CRLF whose CR was already counted as a line end
        self._cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_EVENT:
            raise UpstreamMalformed("The backend sent a stream event without an end.")
        self._parts.append(data)


def encode(payload: bytes) -> bytes:
    """One event that carries `payload`, which must hold no line end (JSON never does)."""
    return b"data: " + payload + b"\n\n"


def _payload(block: bytes) -> bytes | None:
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = [_value(line) for line in block.split(b"\n") if line == b"data" or line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _value(line: bytes) -> bytes:
    return line[5:].removeprefix(b" ")
