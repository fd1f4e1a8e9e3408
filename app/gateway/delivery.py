"""An answer on its way to the client: read it to the end, then close it with how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.core.meter import Use
from app.core.prices import charge
from app.core.types import CostKind, Receipt, Usage
from app.errors import GatewayError, UpstreamFault
from app.gateway.post import Post
from app.gateway.slots import release
from app.gateway.story import Story
from app.gateway.watch import Watch
from app.ports import Give, Reply

_NOTHING = Usage(0, 0)  # of an attempt that was refused, or never reached its backend


class Leg:
    """One attempt that holds a slot: it ends once, in a receipt, and gives the slot back at that moment."""

    __slots__ = ("_done", "_use", "first_token", "number", "post", "queued", "reply", "started", "story", "watch")

    def __init__(self, post: Post, story: Story, watch: Watch, queued: float, started: float) -> None:
        self.post = post
        self.story = story
        self.watch = watch
        self.queued = queued
        self.started = started
        self.number = story.attempt.number if story.attempt else 1
        self.first_token: float | None = None
        self.reply: Reply | None = None
        self._done = False
        if post.meter is not None:
            self._use = Use(story.caller.request_id, self.number, post.backend.spec.name, post.tier)
            post.meter.enter(self._use, story.utc())

    async def more_time(self) -> float:
        """Seconds on top if the backend is loading its model right now, else 0."""
        backend = self.post.backend
        try:
            async with asyncio.timeout(backend.spec.timeouts.connect):
                return backend.spec.timeouts.load if await backend.warming() else 0.0
        except (TimeoutError, UpstreamFault):
            return 0.0

    def end(self, outcome: str, now: float, *, left: bool = False) -> None:
        """`left`: it was we who went away, while the backend was at work."""
        if self._done:
            return
        self._done = True
        self.watch.rest()
        reply = self.reply
        if reply is not None:
            reply.close()
        seconds = now - self.started
        post = self.post
        release(post.lane, seconds)
        if post.meter is not None:
            post.meter.leave(self._use, self.story.utc())
        usage = reply.usage if reply is not None else self._unseen() if left else None
        if usage is not None:
            usage = self.story.mended(usage, post.rate)
            if outcome == "ok":
                self.story.compare(usage, post.rate)
        due = _NOTHING if usage is None and reply is None else usage
        nano = charge(post.price, due) if due else None
        self.story.receipts.append(
            Receipt(
                backend=post.backend.spec.name,
                tier=post.tier,
                outcome=outcome,
                queued=self.queued,
                first_token=self.first_token,
                seconds=seconds,
                usage=usage,
                nano_usd=nano,
                kind=None if nano is None or usage is None else self._kind(outcome),
                number=self.number,
                price_id=post.price.id,
            )
        )

    def _kind(self, outcome: str) -> CostKind:
        """What reached a client was served, even if it broke off later."""
        return "tokens" if outcome == "ok" or self.first_token is not None else "discarded"

    def _unseen(self) -> Usage:
        """A backend that was left before it said a word has most likely read the prompt, and will want it paid."""
        assert self.story.request is not None
        return Usage(self.story.request.estimated_tokens(), 0, estimated=True)


class Delivery:
    """`story` tells what was decided; `relay` hands a stream on. Always `close` it."""

    __slots__ = ("_first", "_leg", "_now", "_reply", "_watch", "story")

    def __init__(self, leg: Leg, first: bytes, now: Callable[[], float]) -> None:
        self.story = leg.story
        self._leg = leg
        self._first: bytes | None = first
        self._watch = leg.watch
        assert leg.reply is not None
        self._reply = leg.reply
        self._now = now

    def whole(self) -> bytes:
        """The complete answer of a request that is not a stream; its slot is free from now on."""
        first = self._first
        self._leg.end("ok", self._now())
        return first or b""

    async def relay(self, give: Give) -> bool:
        """Hand on a stream, piece by piece as it arrives. True at its clean end, False once `give` has no room.

        Raises UpstreamFault or DeadlineExceeded.
        """
        first = self._first
        if first is not None:
            self._first = None
            if not give(first):
                return False
        watch = self._watch
        watch.again()
        try:
            ended = await self._reply.relay(give)
        except asyncio.CancelledError:
            error = watch.verdict()
            if error is None:
                raise
            raise error from None
        finally:
            watch.rest()
            self.story.pieces = self._reply.pieces
        if ended:
            self._leg.end("ok", self._now())
        return ended

    @property
    def last(self) -> float:
        """When the last piece was handed on, in the time of the loop."""
        return self._reply.last

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
