"""An answer on its way to the client: read it to the end, then close it with how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.core.ledger import charge
from app.core.types import Receipt
from app.errors import GatewayError
from app.gateway.post import Post
from app.gateway.slots import release
from app.gateway.story import Story
from app.gateway.watch import Watch
from app.ports import Reply


class Leg:
    """One attempt that holds a slot: it ends once, in a receipt, and gives the slot back at that moment."""

    __slots__ = ("_done", "first_token", "post", "queued", "reply", "started", "story", "watch")

    def __init__(self, post: Post, story: Story, watch: Watch, queued: float, started: float) -> None:
        self.post = post
        self.story = story
        self.watch = watch
        self.queued = queued
        self.started = started
        self.first_token: float | None = None
        self.reply: Reply | None = None
        self._done = False

    def end(self, outcome: str, now: float) -> None:
        if self._done:
            return
        self._done = True
        self.watch.rest()
        reply = self.reply
        if reply is not None:
            reply.close()
        usage = reply.usage if reply is not None else None
        seconds = now - self.started
        release(self.post.lane, seconds)
        self.story.receipts.append(
            Receipt(
                backend=self.post.backend.spec.name,
                tier=self.post.tier,
                outcome=outcome,
                queued=self.queued,
                first_token=self.first_token,
                seconds=seconds,
                usage=usage,
                nano_usd=charge(self.post.price, usage) if usage else None,
            )
        )


class Delivery:
    """`story` tells what was decided; `read` gives bytes until None. Always `close` it."""

    __slots__ = ("_first", "_leg", "_limit", "_now", "_reply", "_watch", "story")

    def __init__(self, leg: Leg, first: bytes, now: Callable[[], float]) -> None:
        self.story = leg.story
        self._leg = leg
        self._first: bytes | None = first
        self._watch = leg.watch
        assert leg.reply is not None
        self._reply = leg.reply
        self._limit = leg.post.backend.spec.timeouts.inter_token
        self._now = now

    def whole(self) -> bytes:
        """The complete answer of a request that is not a stream; its slot is free from now on."""
        first = self._first
        self._leg.end("ok", self._now())
        return first or b""

    async def read(self) -> bytes | None:
        """The next bytes of a stream, None at its clean end. Raises UpstreamFault or DeadlineExceeded."""
        first = self._first
        if first is not None:
            self._first = None
            return first
        watch = self._watch
        watch.again(self._limit)
        try:
            piece = await self._reply.read()
        except asyncio.CancelledError:
            error = watch.verdict()
            if error is None:
                raise
            raise error from None
        watch.rest()
        if piece is None:
            self._leg.end("ok", self._now())
        else:
            self.story.pieces += 1
        return piece

    def close(self, error: GatewayError | None = None, *, cancelled: bool = False) -> None:
        """Settle: served in full, broken by `error` after the first byte, or left by the client."""
        now = self._now()
        self._watch.stop()
        if cancelled:
            self._leg.end("cancelled", now)
            self.story.settle("cancelled", 499)
        elif error is not None:
            self._leg.end(error.kind, now)
            self.story.settle("aborted", error.status, error)
        else:
            self._leg.end("ok", now)
            self.story.settle("ok")
