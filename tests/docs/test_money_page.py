"""docs/money.md: kinds, parameters and every figure, computed by the code that keeps the books."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from app.cli.demo.clock import SLOW
from app.cli.demo.day import arrivals
from app.cli.demo.house import CONFIG as DEMO
from app.cli.demo.requests import load
from app.core import baseline, prices
from app.core.baseline import HourBaseline, HourParams, TokenBaseline
from app.core.ledger import Ledger, entries_of
from app.core.meter import Meter, Use
from app.core.prices import HourPrice, LocalPrice, TokenPrice, Unpriced, charge
from app.core.types import Api, Capacity, CostKind, Entry, Reason, Receipt, Record, Timeouts, Usage
from app.errors import UpstreamFault, UpstreamMalformed, UpstreamUnavailable
from app.main import money
from app.main.money import Money
from app.settings import GatewayConfig, Source
from app.stores import Keeping, SqliteRecords, read_totals
from app.telemetry.metrics import Metrics, Now
from tests.docs.pages import blocks, rows, section, word
from tests.fakes import ANSWER, EVENTS, HANG, USAGE, FakeBackend, Play, Rig
from tests.gateway.asking import ask
from tests.telemetry.examples import a_receipt, a_record

PAGE = "money.md"
NINE = 20_780 * 86_400.0 + 9 * 3600  # 2026-11-23, 9:00 UTC
TEXT = blocks(PAGE, "yaml")[0]
GROQ = TokenPrice(0.15, 0.60, 0.075)
EXAMPLE = Usage(1200, 300, cached=1000)


def flat(heading: str) -> str:
    return section(PAGE, heading).replace("\n", " ")


def usd(nano: float) -> str:
    return f"{nano / 1e9:.6f}"


# --- kinds --------------------------------------------------------------------------------------------------


def test_kinds() -> None:
    """All of them, each under the price that it comes from."""
    told = {word(row[0]): word(row[2]) for row in rows(PAGE, "The ledger")}
    assert told.keys() == set(get_args(CostKind))
    priced = {"tokens": GROQ, "compute-hour": HourPrice(1.0), "local": LocalPrice(1, 1, 1, 1)}
    assert told == {kind: name for name, price in priced.items() for kind in prices.kinds(price)}
    assert prices.kinds(Unpriced()) == ()


def test_price_ids() -> None:
    """A hash over figures, source and date."""
    others = TokenPrice(0.15, 0.61, 0.075), TokenPrice(0.15, 0.60, 0.075, "x"), TokenPrice(0.15, 0.60, 0.075, None, "y")
    assert GROQ.id == TokenPrice(0.15, 0.60, 0.075).id
    assert len({GROQ.id, *(other.id for other in others)}) == 4


# --- tokens -------------------------------------------------------------------------------------------------


def test_the_tokens_of_the_example() -> None:
    """What they cost, and what they would have cost."""
    assert f"{usd(charge(GROQ, EXAMPLE) or 0)} USD" in flat("Tokens")
    compared = TokenBaseline("all-llm", "llm", GROQ)
    assert f"counts {usd(compared.nano(EXAMPLE, 'slm'))} USD" in flat("The baseline")
    assert compared.nano(EXAMPLE, "llm") == charge(GROQ, EXAMPLE)
    assert compared.verbosity == 1


def test_rounding() -> None:
    """Once, half up, to a nano-dollar; without a price of its own cached input costs as much."""
    assert [charge(TokenPrice(0.0005, 1.0), Usage(tokens, 0)) for tokens in (0, 1, 2, 3)] == [0, 1, 1, 2]
    assert charge(TokenPrice(1.0, 1.0), Usage(10, 0, cached=9)) == charge(TokenPrice(1.0, 1.0), Usage(10, 0))


async def attempt(play: Play, stream: bool = False, leaves: bool = False, patience: float = 5.0) -> Receipt:
    """How one attempt at one backend is booked. `leaves`: the client does, as soon as it can."""
    rig = Rig([("slm", FakeBackend("small", play, timeouts=Timeouts(first_token=patience, load=0.0)))])
    asking = asyncio.create_task(ask(rig, stream=stream))
    await rig.backends[0].reached.wait()
    if leaves and play.head == HANG:
        asking.cancel()
    with contextlib.suppress(UpstreamFault, asyncio.CancelledError):
        delivery = await asking
        try:
            if leaves:
                delivery.close(cancelled=True)
            else:
                await delivery.relay(lambda piece: True)
        except UpstreamFault as error:
            delivery.close(error)
        delivery.close()
    return rig.record.receipts[0]


ENDINGS: dict[str, tuple[Play, dict[str, Any]]] = {
    "answered in full": (Play((ANSWER,)), {}),
    "broke after the first byte": (Play((EVENTS[0], UpstreamMalformed("torn"))), {"stream": True}),
    "the client left after the first byte": (Play((EVENTS[0], HANG)), {"stream": True, "leaves": True}),
    "the client left before it": (Play(head=HANG), {"leaves": True}),
    "too slow before it": (Play(head=HANG), {"patience": 0.01}),
    "an answer that cannot be used": (Play((UpstreamMalformed("odd"),)), {}),
    "refused with an error status, or not reached": (Play(head=UpstreamUnavailable("gone")), {}),
}


@pytest.mark.parametrize("row", rows(PAGE, "Tokens")[:-1], ids=lambda row: row[0])
async def test_endings(row: list[str]) -> None:
    """Each is booked as the table says."""
    play, how = ENDINGS[row[0]]
    receipt = await attempt(play, **how)
    usages = {"as counted": USAGE, "what came": USAGE, "none": None}
    if row[1] == "the prompt, estimated":
        assert receipt.usage is not None
        assert receipt.usage.estimated
        assert (receipt.usage.input > 0, receipt.usage.output) == (True, 0)
    else:
        assert receipt.usage == usages[row[1]]
    assert receipt.kind == (None if row[2] == "-" else word(row[2]))
    assert (receipt.nano_usd == 0) == (receipt.kind is None)  # the tokens that there were cost something


async def test_without_a_slot_there_is_no_attempt() -> None:
    """The last row."""
    last = rows(PAGE, "Tokens")[-1]
    assert last[:2] == ["no free slot", "no attempt"]
    assert {row[0] for row in rows(PAGE, "Tokens")} == {*ENDINGS, last[0]}
    rig = Rig([("slm", FakeBackend("small", Play((HANG,)), capacity=Capacity(1, 0))), ("llm", FakeBackend("large"))])
    first = asyncio.create_task(ask(rig))
    await rig.backends[0].reached.wait()
    (await ask(rig)).close()
    assert [receipt.backend for receipt in rig.record.receipts] == ["large"]
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


# --- endpoints, boxes ---------------------------------------------------------------------------------------


def replicas(samples: Sequence[tuple[float, int]], call: float | None, awake: str = "always") -> list[int]:
    """Replicas billed in each of two minutes; at `call` seconds a request goes there."""
    text = TEXT.replace("usd_per_hour: 5.0", f'usd_per_hour: 5.0, awake: "{awake}"')
    price = Source(None, {}, text).load().config.backends["large"].price.to_core()
    assert isinstance(price, HourPrice)
    meter, billed = Meter(price, "large", "llm"), []
    meter.settle(NINE)
    happened = [(at, "sample", count) for at, count in samples] + ([(call, "call", 0)] if call is not None else [])
    for minute in (0, 1):
        for at, what, count in sorted(happened):
            if at // 60 == minute and what == "sample":
                meter.sample(NINE + at, count)
            elif at // 60 == minute:
                meter.enter(Use("r", 1, "large", "llm"), NINE + at)
                meter.leave(Use("r", 1, "large", "llm"), NINE + at)
        before = meter.minutes
        meter.settle(NINE + 60 * (minute + 1))
        billed.append(meter.minutes - before)
    return billed


def test_replicas_of_a_minute() -> None:
    """The rows of the table, in their order."""
    assert len(rows(PAGE, "Endpoints")) == 4
    assert replicas([(1, 1), (20, 3), (40, 2), (60, 0)], None) == [3, 0]
    assert replicas([(1, 2)], None) == [2, 2]
    assert replicas([(1, 0)], 70) == [0, 1]
    assert replicas([], 70, awake="00:00-09:01") == [1, 1]
    assert replicas([], None, awake="00:00-09:01") == [1, 0]


def test_minutes_are_settled_soon() -> None:
    """Within a second of their end."""
    assert "within a second" in flat("Endpoints")
    assert money.EVERY == 1.0


def test_a_dropped_box_is_paid_while_it_is_used() -> None:
    """And not while it is not."""
    assert "still paid while requests that began before use it" in flat("Boxes")
    hands, till = Hands(), Till()
    purse, spec = Money(hands, [till]), FakeBackend("small").spec
    meter = purse.meter(spec, "slm", LocalPrice(1000, 3.6, 0, 1))
    assert meter is not None
    meter.enter(Use("r", 1, "small", "slm"), hands.at)
    purse.keep([])
    hands.at += 30
    meter.leave(Use("r", 1, "small", "slm"), hands.at)
    hands.at += 600
    purse.settle()
    assert till.ledger.total == till.by_request["r"] == 30 * 1_000_000


# --- the baseline -------------------------------------------------------------------------------------------


def test_parameters() -> None:
    """Each with its key and default; defaults of the config are the same."""
    told = {word(row[0]): row[1:3] for row in rows(PAGE, "The baseline")}
    assert told.keys() == {one.name for one in fields(HourParams)}
    keys = Source(None, {}, TEXT).load().config.baseline.__class__.model_fields
    for one in fields(HourParams):
        where, default = told[one.name]
        assert default == ("-" if one.default in (MISSING, None) else f"{one.default:g}")
        if one.name != "usd_per_hour":
            assert word(where) == f"baseline.{one.name}"
            assert keys[one.name].default == (None if one.default is MISSING else one.default)
    assert keys.keys() - told.keys() == {"tier", "verbosity"}
    assert f"until {baseline.MEASURED} answers" in flat("The baseline")


@pytest.mark.parametrize("row", rows(PAGE, "The baseline", 1), ids=lambda row: row[0])
def test_replicas_for_arrivals(row: list[str]) -> None:
    """The table is what the code says to the parameters above it."""
    assert "With 8 places, the defaults and `max_replicas: 4`" in flat("The baseline")
    one = HourBaseline("all-llm", "llm", HourParams(5.0, concurrency=8, max_replicas=4))
    for _ in range(int(row[0])):
        one.arrive(NINE, None)
    assert [spent.replicas for spent in one.settle(NINE + 60)] == [int(row[1])]


def test_who_is_in_the_baseline() -> None:
    """Chat alone of all endpoints, and of that every reason but one."""
    told = flat("The baseline")
    apis: dict[Api, str] = {"completion": "/v1/completions", "embedding": "/v1/embeddings"}
    assert {*apis, "chat"} == set(get_args(Api))
    assert all(f"`{path}`" in told and not baseline.counts(api, "score") for api, path in apis.items())
    outside = {reason for reason in get_args(Reason) if not baseline.counts("chat", reason)}
    assert outside == {word(told.partition("the reason ")[2])}


def test_service_in_the_demo() -> None:
    """Measured on another clock, but thrice what it is there is one replica still."""
    assert f"up to {SLOW:g} times as fast" in flat("The baseline")
    text = DEMO.format(small="http://s", large="http://l", records="r", share=0.05, usd_per_hour=1)
    one = Source(None, {}, text).load().config.baseline_to_core()
    assert isinstance(one, HourBaseline)
    one.params = replace(one.params, service=3 * one.params.service)
    for arrival in arrivals(load()):
        one.arrive(NINE + arrival.at, None)
    assert {spent.replicas for spent in one.settle(NINE + 86_400)} <= {0, 1}


def test_who_has_no_baseline() -> None:
    """A single tier, or no price; a box of one's own is one replica."""
    config = Source(None, {}, TEXT).load().config
    assert config.baseline_to_core() is not None
    unpriced = re.sub(r"price: \{kind: compute-hour.*\}", "price: unpriced", TEXT)
    assert Source(None, {}, unpriced).load().config.baseline_to_core() is None
    single = TEXT.replace("[small]", "[small, large]").replace("  - {name: llm, backends: [large]}\n", "")
    assert Source(None, {}, single).load().config.baseline_to_core() is None
    box = "baseline: {tier: slm}\n"
    own = Source(None, {}, re.sub(r"baseline: .*\n", box, TEXT)).load().config.baseline_to_core()
    assert isinstance(own, HourBaseline)
    assert (own.params.min_replicas, own.params.max_replicas) == (1, 1)


# --- the hour -----------------------------------------------------------------------------------------------


@dataclass
class Hands:
    """A clock that is set by hand."""

    at: float = NINE

    def utc(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


@dataclass
class Till:
    """An observer with a ledger of its own, as anybody might keep one."""

    ledger: Ledger = field(default_factory=Ledger)
    by_request: Counter[str | None] = field(default_factory=Counter)
    minutes: dict[str, set[int]] = field(default_factory=dict)
    baseline: list[tuple[int, int]] = field(default_factory=list)
    own: int = 0

    def on_settled(self, record: Record) -> None:
        self.ledger.book(entries_of(record))
        self.own += record.baseline_nano or 0

    def on_entries(self, entries: Sequence[Entry]) -> None:
        self.ledger.book(entries)
        for entry in entries:
            self.by_request[entry.request_id] += entry.nano_usd
            if entry.minute is not None:
                self.minutes.setdefault(entry.kind, set()).add(entry.minute)

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        self.baseline.append((replicas, nano_usd))


# (begins, ends, id, backend, outcome), in seconds after nine
DAY = [(30.0 + 180 * k, 36.0 + 180 * k, f"easy-{k}", "small", "ok") for k in range(20)]
DAY += [
    (1560.0, 1561.0, "hard-1-refused", "large", "loading"),
    (1810.0, 1830.0, "hard-1", "large", "ok"),
    (1820.0, 1880.0, "hard-2", "large", "ok"),
]
TIERS = {"small": "slm", "large": "llm"}


class Hour:
    """Nine to ten, played through the meters, the baseline and all books. `asleep`: it may sleep, else never does."""

    def __init__(self, config: GatewayConfig, folder: Path, asleep: bool, more: Sequence[Record] = ()) -> None:
        self.hands, self.till, self.metrics = Hands(), Till(), Metrics("0")
        self.file = folder / "records.db"
        self.records = SqliteRecords(Keeping(self.file, keep_days=36_500), self.hands.utc, print)
        self.observers = [self.till, self.metrics, self.records]
        self.purse = Money(self.hands, self.observers)
        self.purse.follow(config.baseline_to_core())
        assert self.purse.baseline is not None
        self.metrics.baseline = self.purse.baseline.name
        self.specs = {spec.name: spec for spec in config.backend_specs()}
        self.meters = {n: self.purse.meter(spec, TIERS[n], config.prices()[n]) for n, spec in self.specs.items()}
        self.purse.settle()
        self._play(asleep)
        for record in more:
            self.settled(record)
        self.records.close()

    def _play(self, asleep: bool) -> None:
        happened: list[tuple[float, Any]] = [(60.0 * minute, self.purse.settle) for minute in range(1, 61)]
        for second in range(0, 3600, 30):
            awake = 1 if not asleep or 1560 <= second < 2820 else 0
            happened.append((second + 0.1, lambda awake=awake: self._sample(awake)))
        for began, ended, name, backend, outcome in DAY:
            use = Use(name, 1, backend, TIERS[backend])
            happened.append((began, lambda use=use: self._meter(use).enter(use, self.hands.at)))
            happened.append((ended, lambda use=use: self._meter(use).leave(use, self.hands.at)))
            record = self._record(began, ended, use, outcome)
            happened.append((ended, lambda record=record: self.settled(record)))
        for second, happen in sorted(happened, key=lambda one: one[0]):
            self.hands.at = NINE + second
            happen()

    def _meter(self, use: Use) -> Meter:
        meter = self.meters[use.backend]
        assert meter is not None
        return meter

    def _sample(self, replicas: int) -> None:
        backend = FakeBackend("large")
        backend.spec = self.specs["large"]
        self.purse.sample(backend, replicas)

    def _record(self, began: float, ended: float, use: Use, outcome: str) -> Record:
        receipt = a_receipt(backend=use.backend, tier=use.tier, outcome=outcome, seconds=ended - began)
        whole = "ok" if outcome == "ok" else "upstream-error"
        return a_record(
            request_id=use.request_id,
            at=NINE + began,
            tier=use.tier,
            backend=use.backend,
            outcome=whole,
            receipts=(receipt,),
        )

    def settled(self, record: Record) -> None:
        for observer in [*self.observers, self.purse]:
            observer.on_settled(record)

    @property
    def spent(self) -> int:
        return self.till.ledger.total

    @property
    def compared(self) -> int:
        return sum(nano for _, nano in self.till.baseline) + self.till.own


def hour(folder: Path, *more: Record, asleep: bool = True) -> Hour:
    text = TEXT if asleep else re.sub(r"baseline: .*\n", "", TEXT)
    return Hour(Source(None, {}, text).load().config, folder, asleep, more)


def test_the_hour(tmp_path: Path) -> None:
    """Every line of the table."""
    one = hour(tmp_path)
    till, told = one.till, {row[0]: row[1] for row in rows(PAGE, "An hour")}
    by_kind = {kind: till.ledger.of(kind) for kind in ("compute", "idle", "energy", "capex")}
    figures = {
        f"`compute`: {len(till.minutes['compute'])} minutes": by_kind["compute"],
        f"`idle`: {len(till.minutes['idle'])} minutes": by_kind["idle"],
        "`energy`: an hour": by_kind["energy"],
        "`capex`: an hour": by_kind["capex"],
        "spent": one.spent,
        f"baseline: {len(till.baseline)} minutes of one replica": one.compared,
        "saved": one.compared - one.spent,
        "share of one small answer": till.by_request["easy-3"],
        "share of the first hard answer": till.by_request["hard-1"],
        "share of the second hard answer": till.by_request["hard-2"],
    }
    assert told == {line: usd(nano) for line, nano in figures.items()}
    assert {replicas for replicas, _ in till.baseline} == {1}
    assert len(till.minutes["energy"]) == 60
    shares = one.spent - till.by_request[None]
    assert f"come to {usd(shares)} USD; the rest of the {usd(one.spent)}" in flat("An hour")


def test_integer_replicas(tmp_path: Path) -> None:
    """An endpoint that never sleeps, against one that never would have: the box is what routing costs."""
    one = hour(tmp_path, asleep=False)
    told = flat("Traps")
    assert f"costs {usd(one.spent)} USD against a baseline of {usd(one.compared)}" in told
    assert f"routing costs {usd(one.spent - one.compared)} and saves nothing" in told


@pytest.mark.parametrize("row", rows(PAGE, "Traps"), ids=lambda row: f"{row[0]}, {row[1]}")
def test_scale_to_zero(row: list[str]) -> None:
    """The share asleep is the chance that nobody asked for so long."""
    per_hour, minutes = int(row[0]), int(row[1].removesuffix(" min"))
    assert row[2] == f"{100 * math.exp(-per_hour * minutes / 60):.0f} %"


def test_what_a_killed_process_loses() -> None:
    """The begun minute: nothing of it was told, of an endpoint, a box or the baseline. A stopped one tells it."""
    assert "entries of the minute that has begun" in flat("How the books agree")
    hands, till = Hands(), Till()
    purse, config = Money(hands, [till]), Source(None, {}, TEXT).load().config
    purse.follow(config.baseline_to_core())
    for spec in config.backend_specs():
        purse.meter(spec, TIERS[spec.name], config.prices()[spec.name])
    purse.settle()
    hands.at += 59.9
    purse.settle()
    assert (till.ledger.total, till.baseline) == (0, [])
    purse.close()
    assert {kind for _, _, kind in till.ledger.accounts} == {"idle", "energy", "capex"}
    assert len(till.baseline) == 1


def test_all_books_agree(tmp_path: Path) -> None:
    """Ledger, counters and records, over time and tokens and both kinds of baseline."""
    discarded = a_receipt(nano_usd=charge(GROQ, Usage(7, 0)), kind="discarded", outcome="timeout")
    served = a_receipt(nano_usd=charge(GROQ, EXAMPLE), kind="tokens", number=2)
    by_tokens = a_record(receipts=(discarded, served), baseline_nano=360_000, reason="explicit-model")
    again = hour(tmp_path, by_tokens)
    shown = again.metrics.render(Now("default", None, None)).decode()
    kept = read_totals(again.file)
    assert kept.accounts == again.till.ledger.accounts
    assert kept.baseline_nano == again.compared
    assert again.metrics.ledger.accounts == again.till.ledger.accounts
    assert total(shown, "cost_usd_total") == pytest.approx(again.spent / 1e9, abs=1e-9)
    assert total(shown, "baseline_cost_usd_total") == pytest.approx(again.compared / 1e9, abs=1e-9)
    assert {"tokens", "discarded", "compute", "idle", "energy", "capex"} == {kind for _, _, kind in kept.accounts}


def total(text: str, name: str) -> float:
    return sum(float(value) for value in re.findall(rf"^smallfirst_{name}\{{.*\}} (\S+)$", text, re.MULTILINE))
