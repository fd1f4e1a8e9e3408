"""Conservation: whatever happens, all books hold the same nano-dollars, each in one kind, none of them twice.

The driver, meters, ledger, metrics and database are the real ones; backends are fakes and the clock is set by hand. A
history is any sequence of: somebody asks, an answer goes on or ends somehow, time passes, a probe looks, a reload
changes the price of the endpoint or drops it. What should have been paid is worked out beside it, from what the fakes
have seen: which minutes the endpoint was used in, and what the probes said.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.baseline import Baseline, HourBaseline, HourParams, TokenBaseline
from app.core.prices import NANO, HourPrice, LocalPrice, Price, TokenPrice, Unpriced, kinds
from app.core.types import Capacity, Entry, Record, Timeouts, Usage
from app.errors import GatewayError, UpstreamLoading, UpstreamMalformed, UpstreamUnavailable
from app.gateway import Delivery, Gateway, Post, Routing, Slots
from app.gateway.books import Books
from app.main.money import Money
from app.stores import Keeping, SqliteRecords, read_totals
from app.telemetry.metrics import Metrics, Now
from tests.fakes import EVENTS, HANG, FakeBackend, FakeReply, FakeRouter, Play, a_caller, a_request
from tests.serving import PATIENCE

START = 20_000 * 86_400.0 + 0.5  # half a second from any edge of a minute, as all times then are
CHEAP, DEAR = HourPrice(6.0), HourPrice(12.0)  # a tenth and a fifth of a dollar a minute
BOX = LocalPrice(watts=1000, usd_per_kwh=0.36, hardware_usd=6307.2, life_years=1)  # 0.36 and 0.72 dollars an hour
SECOND = {"energy": 100_000, "capex": 200_000}  # of that box, in nano-dollars
TOKENS = TokenPrice(1.0, 2.0, 0.5)
HASTY = Timeouts(0.001, 0.001, 0.001, 0.002, 0.001)
BASELINES: tuple[Callable[[], Baseline | None], ...] = (
    lambda: TokenBaseline("all-llm", "llm", TOKENS, verbosity=1.3),
    lambda: HourBaseline("all-llm", "llm", HourParams(6.0, 2, min_replicas=0, max_replicas=3, scale_to_zero_after=90)),
    lambda: None,
)


@dataclass
class Hands:
    """A clock."""

    at: float = START

    def utc(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@dataclass
class Witness:
    """An observer that keeps what it is told."""

    records: list[Record] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    baseline_nano: int = 0

    def on_settled(self, record: Record) -> None:
        self.records.append(record)
        self.baseline_nano += record.baseline_nano or 0

    def on_entries(self, entries: Sequence[Entry]) -> None:
        self.entries += entries

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        self.baseline_nano += nano_usd


class Used(FakeBackend):
    """A fake that remembers from when to when calls were at it, and whose next plays are told to it."""

    def __init__(self, name: str, hands: Hands, **options: Any) -> None:
        super().__init__(name, timeouts=HASTY, capacity=Capacity(3, 1, 0.001), **options)
        self.spans: list[list[float]] = []
        self._hands = hands

    async def send(self, request: Any, request_id: str) -> FakeReply:
        span = [self._hands.at, self._hands.at]
        self.spans.append(span)
        try:
            reply = await super().send(request, request_id)
        finally:
            span[1] = self._hands.at
        close = reply.close

        def closing() -> None:
            span[1] = self._hands.at
            close()

        reply.close = closing  # type: ignore[method-assign]
        return reply

    def will(self, play: Play) -> None:
        self._plays = [play]


class World:
    """A gateway, its books, and what the fakes have seen."""

    def __init__(self, baseline: Baseline | None, path: Path) -> None:
        self.hands, self.witness, self.metrics, self.told = Hands(), Witness(), Metrics("0"), list[str]()
        self.path, self.records = path, SqliteRecords(Keeping(path), self.hands.utc, self.told.append)
        observers: list[Any] = [self.metrics, self.witness]
        self.money = Money(self.hands, observers)
        observers += [self.money, self.records]
        self.observers = observers
        self.baseline = baseline
        self.backends = {
            "box": Used("box", self.hands),
            "free": Used("free", self.hands),
            "endpoint": Used("endpoint", self.hands, zone="remote"),
            "api": Used("api", self.hands, zone="remote"),
        }
        self.slots, self.router = Slots(), FakeRouter()
        self.open: list[tuple[Delivery, bool]] = []
        self.asked = 0
        self.samples: list[tuple[float, int]] = []
        self.prices: list[tuple[float, HourPrice | None]] = []  # from when on
        self.reload(CHEAP)
        self.money.settle()

    # --- what can happen --------------------------------------------------------------------------------

    def reload(self, price: HourPrice | None) -> None:
        """As `app.main.build` does it; without a price the config does not name the endpoint."""
        if not self.prices or self.prices[-1][1] != price:
            self.prices.append((self.hands.at, price))
        prices: dict[str, Price] = {"box": BOX, "free": Unpriced(), "api": TOKENS}
        named: dict[str, Price] = {**prices, "endpoint": price} if price else prices
        tiers = {"box": "slm", "free": "slm", "endpoint": "llm", "api": "llm"}
        posts = [self._post(name, tiers[name], one) for name, one in named.items()]
        embeddings = self._post("box", "embeddings", BOX)
        self.money.keep(post.meter for post in [*posts, embeddings])
        self.money.follow(self.baseline)
        self.metrics.baseline = self.baseline.name if self.baseline else None
        self.gateway = Gateway(
            posts,
            Routing(("slm", "llm"), 0.5, "slm"),
            self.router,
            self.observers,
            self.hands.utc,
            lambda error: None,
            embeddings=embeddings,
            books=Books(self.hands.utc, self.money.by_tokens),
        )

    def _post(self, name: str, tier: str, price: Price) -> Post:
        backend = self.backends[name]
        return Post(backend, tier, self.slots.lane(backend.spec), price, self.money.meter(backend.spec, tier, price))

    async def ask(self, plays: Sequence[Play], score: float | None, call: dict[str, Any], leaves: int | None) -> None:
        """`plays` for the four backends; who `leaves` does so after so many turns of the loop, if it still waits."""
        for backend, play in zip(self.backends.values(), plays, strict=True):
            backend.will(play)
        self.router.value = score
        self.asked += 1
        id = "again" if call.pop("reused") else f"r-{self.asked}"
        task = asyncio.create_task(self._begin(id, call))
        if leaves is not None:
            for _ in range(leaves):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE)
        assert task.done()

    async def _begin(self, id: str, call: dict[str, Any]) -> None:
        try:
            story = self.gateway.begin(a_request(**call), a_caller(request_id=id))
            self.open.append((await self.gateway.open(story), story.request is not None and story.request.stream))
        except (GatewayError, asyncio.CancelledError):
            return

    async def go_on(self, which: int, how: str) -> None:
        """One of the open answers: another piece of it, all of it, or its client leaves."""
        if not self.open:
            return
        delivery, stream = self.open[which % len(self.open)]
        if how == "read" and stream and await self._read(delivery):
            return
        if how == "leave":
            delivery.close(cancelled=True)
        elif not stream:
            delivery.whole()
            delivery.close()
        elif how == "end":
            while await self._read(delivery):
                pass
        self.open.remove((delivery, stream))

    async def _read(self, delivery: Delivery) -> bool:
        try:
            if not await asyncio.wait_for(delivery.relay(lambda piece: False), PATIENCE):
                return True
            delivery.close()
        except GatewayError as error:
            delivery.close(error)
        return False

    def sample(self, replicas: int) -> None:
        self.samples.append((self.hands.at, replicas))
        self.money.sample(self.backends["endpoint"], replicas)

    async def end(self) -> None:
        while self.open:
            await self.go_on(0, "end")
        self.money.close()
        self.records.close()

    # --- what should have been paid -------------------------------------------------------------------------

    def endpoint_bill(self) -> dict[tuple[int, str], int]:
        """Nano-dollars by minute and kind. Each is billed once: at its end, or when a reload settles it and it was
        awake."""
        bill: dict[int, tuple[str, int]] = {}
        minutes = range(int(START // 60) + 1, int(self.hands.at // 60) + 1)
        cuts = sorted({*(60.0 * minute for minute in minutes), *(at for at, _ in self.prices), self.hands.at})
        for begin, end in pairwise(cuts):
            minute, used = int(begin // 60), self._used(begin, end)
            if minute not in bill and (replicas := self._awake(begin, end, used)):
                usd = [price.usd_per_hour for at, price in self.prices if price and at <= begin][-1]
                bill[minute] = "compute" if used else "idle", replicas * round(usd * NANO / 60)
        return {(minute, kind): nano for minute, (kind, nano) in bill.items()}

    def _used(self, begin: float, end: float) -> bool:
        return any(first <= end and last >= begin for first, last in self.backends["endpoint"].spans)

    def _awake(self, begin: float, end: float, used: bool) -> int:
        before = [replicas for at, replicas in self.samples if at <= begin]
        during = [replicas for at, replicas in self.samples if begin < at <= end]
        configured = [price for at, price in self.prices if at <= begin][-1] is not None
        said = max(during) if during else before[-1] if before else 1 if configured else 0
        return max(said, int(used)) if configured or used else 0


# --- histories ------------------------------------------------------------------------------------------------

WELL = st.sampled_from([Play(EVENTS, usage=Usage(100, 7, cached=40)), Play((*EVENTS, *EVENTS))])
ILL = st.sampled_from(
    [
        Play((EVENTS[0], UpstreamMalformed("cut")), usage=Usage(90, 3, estimated=True)),
        Play((HANG,)),
        Play(head=HANG),
        Play(head=UpstreamUnavailable("no")),
        Play(head=UpstreamLoading("soon")),
        Play((UpstreamMalformed("no"),)),
        Play(usage=None),
    ]
)
CALLS = st.fixed_dictionaries(
    {
        "api": st.sampled_from(["chat", "chat", "chat", "completion", "embedding"]),
        "stream": st.sampled_from([True, True, False]),
        "model": st.sampled_from(["auto", "auto", "slm", "llm", "endpoint-model", "endpoint-model", "api-model"]),
        "reused": st.booleans(),
    }
)
ASK = st.tuples(
    st.just("ask"),
    st.lists(st.one_of(WELL, WELL, ILL), min_size=4, max_size=4),
    st.sampled_from([0.1, 0.9, 0.9, None]),
    CALLS,
    st.sampled_from([None, None, None, 0, 1, 3]),
)
GO_ON = st.tuples(st.just("go_on"), st.integers(0, 5), st.sampled_from(["read", "end", "leave"]))
WAIT = st.tuples(st.just("wait"), st.integers(1, 150))
SAMPLE = st.tuples(st.just("sample"), st.integers(0, 2))
RELOAD = st.tuples(st.just("reload"), st.sampled_from([CHEAP, DEAR, None]))
HISTORIES = st.lists(st.one_of(ASK, ASK, GO_ON, WAIT, WAIT, SAMPLE, RELOAD), min_size=15, max_size=40)


async def lived(world: World, history: Sequence[tuple[Any, ...]]) -> None:
    """Everything at a time of its own, so that what was in a minute is beyond doubt."""
    for what, *how in history:
        world.hands.at += how[0] if what == "wait" else 1
        if what == "ask":
            plays, score, call, leaves = how
            await world.ask(plays, score, dict(call), leaves)
        elif what == "go_on":
            await world.go_on(*how)
        elif what == "sample":
            world.sample(*how)
        elif what == "reload":
            world.reload(*how)
        else:
            world.money.settle()
    world.hands.at += 1
    await world.end()


@settings(max_examples=60)
@given(history=HISTORIES, baseline=st.sampled_from(BASELINES))
async def test_no_nano_dollar_is_lost_or_counted_twice(
    history: list[tuple[Any, ...]], baseline: Callable[[], Baseline | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Receipts and minutes = ledger = counters = database, and they are what the time and the tokens cost."""
    world = World(baseline(), tmp_path_factory.mktemp("books") / "records.db")
    await lived(world, history)
    assert world.told == []
    agree(world)
    each_in_one_kind(world)
    none_twice(world)
    as_billed(world)


def agree(world: World) -> None:
    """All books have the same sums, account by account."""
    told, kept = world.witness, read_totals(world.path)
    receipts = [receipt for record in told.records for receipt in record.receipts]
    accounts: Counter[tuple[str, str, str]] = Counter()
    for receipt in receipts:
        if receipt.kind is not None:
            accounts[receipt.tier, receipt.backend, receipt.kind] += receipt.nano_usd or 0
    for entry in told.entries:
        accounts[entry.tier, entry.backend, entry.kind] += entry.nano_usd
    assert world.metrics.ledger.total == accounts.total()
    assert Counter(world.metrics.ledger.accounts) == accounts == kept.accounts
    shown = counters(world.metrics, "cost_usd_total", ("tier", "backend", "kind"))
    assert all(shown[account] == pytest.approx(nano / NANO, abs=1e-6) for account, nano in accounts.items())
    assert sum(shown.values()) == pytest.approx(accounts.total() / NANO, abs=1e-6)
    assert told.baseline_nano == kept.baseline_nano
    compared = counters(world.metrics, "baseline_cost_usd_total", ("baseline",))
    assert sum(compared.values()) == pytest.approx(told.baseline_nano / NANO, abs=1e-6)
    assert sum(kept.outcomes.values()) == len(told.records)
    assert len(receipts) == sum(len(backend.sent) for backend in world.backends.values())


def counters(metrics: Metrics, name: str, labels: tuple[str, ...]) -> dict[tuple[str, ...], float]:
    """What a scrape shows, by its labels."""
    text = metrics.render(Now("fake", None, None)).decode()
    found: dict[tuple[str, ...], float] = {}
    for labelled, value in re.findall(rf"^smallfirst_{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE):
        given_ = dict(re.findall(r'(\w+)="([^"]*)"', labelled))
        found[tuple(given_[label] for label in labels)] = float(value)
    return found


def each_in_one_kind(world: World) -> None:
    """Tokens are charged with the attempt, time by the minute, and each only in a kind of its price."""
    prices: dict[str, Price] = {price.id: price for price in (CHEAP, DEAR, BOX, TOKENS, Unpriced())}
    for receipt in (receipt for record in world.witness.records for receipt in record.receipts):
        tokens = receipt.price_id == TOKENS.id
        assert (receipt.kind is not None) == (tokens and receipt.usage is not None)
        assert receipt.kind in ("tokens", "discarded", None)
        assert receipt.kind or not receipt.nano_usd
    for entry in world.witness.entries:
        assert entry.kind in kinds(prices[entry.price_id])
        assert entry.kind not in ("tokens", "discarded")
        assert entry.nano_usd > 0
    by_minute: dict[int | None, set[str]] = defaultdict(set)
    for entry in of_endpoint(world):
        by_minute[entry.minute].add(entry.kind)
        assert (entry.request_id is None) == (entry.kind == "idle")
    assert all(len(one) == 1 for one in by_minute.values())


def none_twice(world: World) -> None:
    """Nobody pays twice for a minute, and only who has a receipt pays."""
    lines = Counter(
        (one.request_id, one.attempt, one.tier, one.backend, one.kind, one.minute) for one in world.witness.entries
    )
    assert all(count == 1 for count in lines.values())
    attempts = {
        (record.request_id, receipt.number, receipt.backend)
        for record in world.witness.records
        for receipt in record.receipts
    }
    paying = {(one.request_id, one.attempt, one.backend) for one in world.witness.entries if one.request_id}
    assert paying <= attempts


def as_billed(world: World) -> None:
    """The endpoint as it bills itself; the box for each second there was."""
    paid: Counter[tuple[int, str]] = Counter()
    for entry in of_endpoint(world):
        assert entry.minute is not None
        paid[entry.minute, entry.kind] += entry.nano_usd
    assert paid == world.endpoint_bill()
    for kind, nano in SECOND.items():
        assert world.metrics.ledger.of(kind) == nano * round(world.hands.at - START)  # type: ignore[arg-type]


def of_endpoint(world: World) -> list[Entry]:
    return [entry for entry in world.witness.entries if entry.backend == "endpoint"]
