"""Hand-written fakes at the seams of `app.ports`, and a rig that puts a gateway together from them.

A backend plays one `Play` per send; the last one repeats. Elements of a play: bytes are given, exceptions are
raised, events are waited for (so a test decides when things go on), and HANG never goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.api.auth import Key, Keyring
from app.api.live import Live, Site
from app.core.chat import ChatRequest
from app.core.prices import Price, TokenPrice
from app.core.rules import Rule
from app.core.types import (
    Api,
    BackendSpec,
    Caller,
    Capability,
    Capacity,
    Entry,
    Facts,
    Record,
    Score,
    State,
    Timeouts,
    Usage,
    Why,
    Zone,
)
from app.gateway import Gateway, Post, Routing, Slots
from app.gateway.books import Books
from app.ports import Give, Reply

ANSWER = b'{"object":"chat.completion","choices":[]}'
EVENTS = (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n")
PRICE = TokenPrice(1.0, 2.0)
USAGE = Usage(10, 5)

Hang = Literal["hang"]
HANG: Hang = "hang"
Element = bytes | Exception | asyncio.Event | Hang


@dataclass(frozen=True)
class Play:
    """What one send meets: `head` before it returns, then `pieces` one by one, then a clean end."""

    pieces: tuple[Element, ...] = (ANSWER,)
    head: Exception | asyncio.Event | Hang | None = None
    usage: Usage | None = USAGE
    model: str | None = None


class FakeReply:
    def __init__(self, backend: FakeBackend, play: Play) -> None:
        self.usage = play.usage
        self.model = play.model
        self._backend = backend
        self._left = list(play.pieces)
        self._over = False
        self.pieces = 1
        self.last = 0.0

    async def first(self) -> bytes:
        return await self._next() or b""

    async def relay(self, give: Give) -> bool:
        while piece := await self._next():
            room = give(piece)
            self.pieces += 1
            self.last = asyncio.get_running_loop().time()
            if not room:
                return False
        return True

    async def _next(self) -> bytes | None:
        while self._left:
            element = self._left.pop(0)
            if isinstance(element, bytes):
                return element
            await meet(element)
        return None

    def close(self) -> None:
        if not self._over:
            self._over = True
            self._backend.leave()


class Taker:
    """Takes pieces, `at_once` of them without a pause; `tasks` are those in which it was called."""

    def __init__(self, at_once: int = 1000) -> None:
        self.pieces: list[bytes] = []
        self.tasks: set[object] = set()
        self._at_once = at_once

    def give(self, piece: bytes) -> bool:
        self.pieces.append(piece)
        self.tasks.add(asyncio.current_task())
        return len(self.pieces) % self._at_once != 0


async def collect(reply: Reply, pieces: list[bytes]) -> None:
    """A whole answer, to one who always has room; what came before a fault is there."""
    pieces.append(await reply.first())
    while not await reply.relay(lambda piece: pieces.append(piece) is None):
        raise AssertionError("there was room")


class FakeBackend:
    """`sent` holds the requests it saw; `left` is set whenever a call on it ends; `running` should return to 0."""

    def __init__(
        self,
        name: str = "small",
        *plays: Play,
        zone: Zone = "local",
        model: str | None = None,
        state: State = "ready",
        has: Iterable[Capability] = (),
        capacity: Capacity | None = None,
        timeouts: Timeouts | None = None,
        host: str | None = None,
        warm: bool | Exception | Hang = False,
    ) -> None:
        self.spec = BackendSpec(
            name,
            "openai",
            zone,
            f"http://{name}.test",
            model or f"{name}-model",
            capacity=capacity or Capacity(2, 4, 5.0),
            timeouts=timeouts or Timeouts(),
            host=host,
        )
        self.facts = Facts(state=state)
        self.capabilities: frozenset[Capability] = frozenset(has)
        self.sent: list[tuple[ChatRequest, str]] = []
        self.reached = asyncio.Event()
        self.left = asyncio.Event()
        self.running = 0
        self.asked = 0
        self._plays = list(plays) or [Play()]
        self._warm = warm

    async def send(self, request: ChatRequest, request_id: str) -> FakeReply:
        play = self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]
        self.sent.append((request, request_id))
        self.running += 1
        self.reached.set()
        try:
            if play.head is not None:
                await meet(play.head)
        except BaseException:
            self.leave()
            raise
        return FakeReply(self, play)

    async def warming(self) -> bool:
        self.asked += 1
        if not isinstance(self._warm, bool):
            await meet(self._warm)
        return self._warm is True

    def leave(self) -> None:
        self.running -= 1
        self.left.set()


async def meet(element: Exception | asyncio.Event | Hang) -> None:
    if isinstance(element, Exception):
        raise element
    await (asyncio.Event() if element == HANG else element).wait()


class FakeRouter:
    """Gives `value` and says `why`, has no opinion (None), or raises either."""

    name = "fake"
    version = "1"

    def __init__(self, value: float | Exception | None = 0.1, why: Why | Exception = ()) -> None:
        self.value = value
        self.why = why

    def score(self, request: ChatRequest) -> Score | None:
        if isinstance(self.value, Exception):
            raise self.value
        return None if self.value is None else Score(self.value, self.tell)

    def tell(self) -> Why:
        if isinstance(self.why, Exception):
            raise self.why
        return self.why

    def threshold(self, llm_share: float) -> float:
        return 1.0 - llm_share

    def explain(self, request: ChatRequest) -> list[tuple[str, float]]:
        return [("bias", -1.5), ("length", 0.25)]


@dataclass
class RecordingObserver:
    records: list[Record] = field(default_factory=list)

    def on_settled(self, record: Record) -> None:
        self.records.append(record)

    def on_entries(self, entries: Sequence[Entry]) -> None:
        raise AssertionError("the driver tells of no minutes")

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        raise AssertionError("nor of what they would have cost")


class Rig:
    """A gateway over fakes. `tiers` maps backends to tiers in order; `bugs` and `router_failures` were told."""

    def __init__(
        self,
        tiers: Sequence[tuple[str, FakeBackend]],
        *,
        router: FakeRouter | None = None,
        embeddings: FakeBackend | None = None,
        price: Price = PRICE,
        unknown_models: str = "route",
        now: Callable[[], float] = time.monotonic,
        rules: tuple[Rule, ...] = (),
        books: Books | None = None,
    ) -> None:
        self.slots = Slots()
        self.observer = RecordingObserver()
        self.router_failures: list[Exception] = []
        self.bugs: list[tuple[str, BaseException]] = []
        self.now = now
        self.backends = [backend for _, backend in tiers]
        names = tuple(dict.fromkeys(tier for tier, _ in tiers))
        self.gateway = Gateway(
            [Post(backend, tier, self.slots.lane(backend.spec), price) for tier, backend in tiers],
            Routing(names, 0.5, names[0], unknown_models, rules),  # type: ignore[arg-type]
            router or FakeRouter(),
            [self.observer],
            now,
            self.router_failures.append,
            None if embeddings is None else Post(embeddings, "embed", self.slots.lane(embeddings.spec), price),
            books,
        )

    @property
    def records(self) -> list[Record]:
        return self.observer.records

    @property
    def record(self) -> Record:
        """The one record there must be by now."""
        assert len(self.records) == 1, self.records
        return self.records[0]

    def inflight(self) -> int:
        posts = [*self.gateway.posts.values(), *filter(None, [self.gateway.embeddings])]
        return sum(post.lane.inflight + len(post.lane.waiting) for post in posts)

    def on_bug(self, request_id: str, error: BaseException) -> None:
        self.bugs.append((request_id, error))

    def site(
        self,
        *keys: Key,
        admin: bytes | None = None,
        loopback: bool = True,
        max_body: int = 100_000,
        local_only: bool = False,
    ) -> Site:
        keyring = Keyring(keys, required=bool(keys), admin=admin)
        live = Live(self.gateway, keyring, max_body, local_only)
        return Site(live, loopback, self.now, lambda: b"smallfirst_up 1\n", "req-")


def two_tiers(small: FakeBackend | None = None, large: FakeBackend | None = None, **options: Any) -> Rig:
    """A small local backend and a large remote one."""
    pair = [("slm", small or FakeBackend("small")), ("llm", large or FakeBackend("large", zone="remote"))]
    return Rig(pair, **options)


def a_request(api: Api = "chat", **fields: Any) -> ChatRequest:
    required: dict[Api, dict[str, Any]] = {
        "chat": {"messages": [{"role": "user", "content": "hi"}]},
        "completion": {"prompt": "hi"},
        "embedding": {"input": "hi"},
    }
    return ChatRequest(api, {**required[api], **fields}, 40)


def a_caller(**fields: Any) -> Caller:
    return Caller(**{"request_id": "req-1", **fields})
