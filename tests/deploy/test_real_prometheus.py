"""A real Prometheus scrapes a real gateway: after traffic of known cost each panel shows what the records hold.

The minutes of endpoints and boxes are settled by a reload that changes their prices, so that nobody has to wait for
their end. Each expression is asked at the moment of a scrape, over a window that began before the gateway: then nothing
is extrapolated.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.backends.scripted import Fault, Model, Scripted, serve_in_thread
from app.stores import read_totals
from tests.deploy.board import expressions, filled, panels
from tests.deploy.books import MONEY, QUANTILES, RATIOS, SUMS, Books, Shown, expected, key
from tests.deploy.prometheus import PATIENCE, Prometheus, prometheus, until
from tests.e2e.process import GatewayProcess, chat, exchange, gateway, post

CONFIG = """
server: {{host: 127.0.0.1, port: {{port}}, drain_delay: 0s, admin_key_env: ADMIN_KEY}}
backends:
  box: {{kind: ollama, zone: local, base_url: "{small}", model: "qwen3:4b",
        capacity: {{concurrent: 1, queue: 4, max_wait: 20s}},
        price: {{kind: local, watts: 350, usd_per_kwh: {kwh}, hardware_usd: 1600, life_years: 3}}}}
  large: {{kind: openai, zone: remote, base_url: "{large}", model: big, price: {{kind: tokens, input: 2, output: 8}}}}
  endpoint: {{kind: openai, zone: remote, host: one, base_url: "{hourly}", model: hourly,
             price: {{kind: compute-hour, usd_per_hour: {hour}}}}}
  spare: {{kind: openai, zone: remote, host: two, base_url: "{hourly}", model: spare,
          price: {{kind: compute-hour, usd_per_hour: {hour}}}}}
  free: {{kind: openai, zone: remote, base_url: "{free}", model: gratis, price: {{kind: unpriced}}}}
tiers: [{{name: slm, backends: [box]}}, {{name: llm, backends: [large, endpoint, spare, free]}}]
routing: {{llm_share: 0.25}}
records: {{path: "{records}"}}
"""
PRICES = {"kwh": 0.2, "hour": 6.0}
ADMIN_KEY = "an-admin-key-of-the-test"
WINDOW = 300  # seconds, longer than all of this takes
PER_HOUR = ("Spent, and without routing, by the hour", "Cost by kind, by the hour")
SMALL, LARGE, WHOLE_HOUR = "router-default-1", "router-default-0", 3600


@dataclass
class World:
    running: GatewayProcess
    prometheus: Prometheus
    books: Books
    small: Scripted
    large: Scripted
    config: str
    places: dict[str, str]

    def asked(self, title: str, at: float) -> list[Shown]:
        """What each target of a panel shows at that moment, rates as what they add up to over the window."""
        shown = []
        for expression in expressions(title):
            found = self.prometheus.ask(filled(expression, f"{WINDOW}s", "llm"), at)
            scale = WINDOW if "rate(" in expression and "quantile" not in expression else 1
            scale = scale / WHOLE_HOUR if title in PER_HOUR else scale
            shown.append({frozenset(labels.items()): value * scale for labels, value in found})
        return shown

    def scraped(self) -> float:
        """The moment of a scrape that began after this was called."""
        now = time.time()
        until("Prometheus does not scrape", lambda: self.prometheus.last_scrape() > now)
        return self.prometheus.last_scrape()

    def rewrite(self, **prices: float) -> None:
        """Another price for time: what was used of it so far is booked."""
        reloads = self.running.metric("smallfirst_config_reloads_total", result="ok")
        text = self.config.format(**self.places, **PRICES | prices)
        self.running.config.write_text(text.replace("{port}", str(self.running.port)))
        self.running.signal(signal.SIGHUP)
        metric = "smallfirst_config_reloads_total"
        until("the config is not reloaded", lambda: self.running.metric(metric, result="ok") > reloads)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Fakes, the gateway, and a Prometheus that has seen it before its first request."""
    small = Scripted(Model(imitates="ollama", name="qwen3:4b", slots=4, first_token=0.02, per_token=0.001))
    large = Scripted(Model(imitates="openai", name="big", slots=4, first_token=0.05, per_token=0.001))
    hourly, free = (Scripted(Model(imitates="openai", name=name, slots=4)) for name in ("hourly", "gratis"))
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(serve_in_thread(fake))
            for name, fake in {"small": small, "large": large, "hourly": hourly, "free": free}.items()
        }
        places = {**urls, "records": str(folder / "records.db")}
        running, watching = stack.enter_context(watched(CONFIG.format(**places, **PRICES), folder))
        books = Books(folder / "records.db")
        stack.callback(books.close)
        yield World(running, watching, books, small, large, CONFIG, places)


@contextmanager
def watched(config: str, folder: Path) -> Iterator[tuple[GatewayProcess, Prometheus]]:
    """Once more if a minute ended between the gateway's start and the first scrape: nobody would see it increase."""
    for last in (False, True):
        with ExitStack() as stack:
            running = stack.enter_context(gateway(config, folder, NO_PROXY="127.0.0.1", ADMIN_KEY=ADMIN_KEY))
            watching = stack.enter_context(prometheus(running.port, ADMIN_KEY, folder))
            if last or watching.ask("sum(smallfirst_cost_usd_total)")[0][1] == 0:
                yield running, watching
                return
        shutil.rmtree(folder / "tsdb")
        for left in folder.glob("records.db*"):
            left.unlink()


async def send(
    running: GatewayProcess, model: str, *, leave: float | None = None, headers: str = "", **more: object
) -> str:
    """One question; the status of its answer, or what became of it."""
    body = chat("What is the capital of France?", model=model, **more)
    answer = await exchange(running.port, post(body, headers=headers), leave_after=leave)
    return "left" if answer is None else answer.split(b" ", 2)[1].decode()


async def answered(world: World) -> None:
    """Nine small and three large ones by score, one by tier, two at the endpoint; streamed in turn."""
    for number in range(9):
        assert await send(world.running, SMALL, stream=number % 2 == 0, logit_bias={"1": 1}) == "200"
    for number in range(3):
        assert await send(world.running, LARGE, stream=number % 2 == 0) == "200"
    assert await send(world.running, "slm") == "200"
    assert [await send(world.running, "hourly") for _ in range(2)] == ["200", "200"]


async def failed(world: World) -> None:
    """A backend's 500, a stream that is cut, a body that is wrong, and one who leaves before the first byte."""
    world.large.fail(Fault.ERROR_500)
    assert await send(world.running, "big") == "502"
    world.large.fail(Fault.CUT_CLEAN)
    assert await send(world.running, "big", stream=True) == "200"
    assert await send(world.running, "auto", stream="perhaps") == "400"
    world.large.fail(Fault.HANG)
    assert await send(world.running, "big", leave=0.5) == "left"


async def crowded(world: World) -> None:
    """Three want the only slot of the box, which hangs; a fourth has no time to wait. The board shows one and two."""
    world.small.fail(Fault.HANG, times=3)
    waiting = [asyncio.create_task(send(world.running, "qwen3:4b", leave=6.0)) for _ in range(3)]
    async with asyncio.timeout(5):
        while world.running.metric("smallfirst_backend_queue_depth", backend="box") != 2:
            await asyncio.sleep(0.05)
    assert await send(world.running, "qwen3:4b", headers="x-smallfirst-deadline-ms: 100\r\n") in ("429", "503", "504")
    at = await asyncio.to_thread(world.scraped)
    depth, limit = world.asked("Waiting for a slot", at)
    assert (depth[key(backend="box")], limit[key(backend="box")]) == (2, 4)
    assert depth[key(backend="large")] == 0
    assert world.asked("Slots in use", at)[0][key(backend="box")] == 1
    assert await asyncio.gather(*waiting) == ["left"] * 3
    world.small.heal()


async def traffic(world: World) -> None:
    await answered(world)
    await failed(world)
    await crowded(world)


def in_step(world: World) -> float:
    """The moment of a scrape at which Prometheus has seen all that is in the records, and they hold all requests."""
    end = time.monotonic() + PATIENCE
    while True:
        at = world.scraped()
        seen = [world.asked(title, at)[0].get(key()) for title in ("Requests", "Spent", "Without routing")]
        kept = [sum(read_totals(world.books.path).outcomes.values()), world.books.spent(), world.books.baseline()]
        if seen == pytest.approx(kept):
            return at
        assert time.monotonic() < end, f"Prometheus has seen {seen}, the records hold {kept}"


def same(shown: list[Shown], wanted: list[Shown]) -> bool:
    """To 1e-6 of a dollar, a request or a share. Series that stand at 0 or have no value show nothing."""
    clear = [{one: value for one, value in target.items() if not one or value} for target in shown]
    return len(clear) == len(wanted) and all(
        set(one) == set(other) and all(one[label] == pytest.approx(other[label], rel=1e-9, abs=1e-6) for label in one)
        for one, other in zip(clear, wanted, strict=True)
    )


def differences(world: World, at: float) -> dict[str, tuple[list[Shown], list[Shown]]]:
    """Panels that do not show what the records hold."""
    wanted = expected(world.books, [*MONEY, *RATIOS, *SUMS])
    shown = {title: world.asked(title, at) for title in wanted}
    return {title: (shown[title], wanted[title]) for title in wanted if not same(shown[title], wanted[title])}


def agrees(world: World) -> None:
    """Once more if a minute was booked between the look at the one and at the other."""
    found = differences(world, in_step(world))
    if found:
        found = differences(world, in_step(world))
    assert found == {}


def quantiles_lie_where_the_records_say(world: World, at: float) -> None:
    for title, targets in QUANTILES.items():
        for wanted, shown in zip(targets, world.asked(title, at), strict=True):
            clear = {one: value for one, value in shown.items() if not math.isnan(value)}
            bounds = world.books.within(wanted)
            assert set(clear) == set(bounds), title
            assert all(bounds[one][0] <= value <= bounds[one][1] for one, value in clear.items()), title


def gauges_and_losses(world: World, at: float) -> None:
    """What is not in the records is in /ready, or known beforehand."""
    threshold = json.loads(world.running.get("/ready")[1])["threshold"]
    assert world.asked("Target", at) == [{key(): 0.25}]
    assert world.asked("Threshold", at)[0][key()] == pytest.approx(threshold)
    assert world.asked("Backends down", at) == [{key(): 0}]
    states = world.asked("State of each backend", at)[0]
    assert {dict(one)["backend"]: value for one, value in states.items()} == dict.fromkeys(
        ("box", "large", "endpoint", "spare", "free"), 2
    )
    assert world.asked("Lost or refused", at) == [{key(): 0}] * 5
    assert world.asked("Fields that a backend ignores", at)[0] == {key(backend="box", field="logit_bias"): 9}
    (built,) = world.asked("What runs", at)[0].items()
    assert dict(built[0])["instance"] == "gateway:8080"


def known_cost(world: World) -> None:
    """The books themselves: tokens as the fake has counted them, whole minutes at a tenth of a dollar."""
    costs = world.books.costs("backend", "kind")
    seen = world.large.seen
    cut = world.books.rows(
        "SELECT nano_usd FROM attempts WHERE outcome NOT IN ('ok', 'cancelled') AND backend = 'large'"
    )
    counted = (seen.prompt_tokens * 2 + seen.completion_tokens * 8) / 1e6 + sum(nano or 0 for (nano,) in cut) / 1e9
    assert costs[key(backend="large", kind="tokens")] == pytest.approx(counted)
    assert costs[key(backend="large", kind="discarded")] > 0
    minutes = costs[key(backend="endpoint", kind="compute")] / 0.1
    assert minutes == pytest.approx(round(minutes))
    assert costs[key(backend="spare", kind="idle")] >= 0.1
    assert costs[key(backend="box", kind="energy")] > 0
    assert costs[key(backend="box", kind="capex")] > 0


def rules_work(world: World, firing: set[str]) -> None:
    """All were evaluated without an error, and of the alerts these fire."""
    rules = world.prometheus.rules()
    assert len(rules) == 24
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    assert {rule["name"] for rule in rules if rule.get("state") == "firing"} == firing


def test_a_stranger_reads_no_metrics(tmp_path: Path) -> None:
    """So what follows is read with the key of the shipped config."""
    config = """
    server: {port: {port}, admin_key_env: ADMIN_KEY}
    backends: {one: {kind: scripted, zone: local, model: fake, price: unpriced}}
    """
    with gateway(config, tmp_path, ADMIN_KEY=ADMIN_KEY) as running:
        ask = b"GET /metrics HTTP/1.1\r\nHost: gateway:8080\r\n%s\r\n"
        answers = [
            asyncio.run(exchange(running.port, ask % line))
            for line in (b"", b"Authorization: Bearer another\r\n", f"Authorization: Bearer {ADMIN_KEY}\r\n".encode())
        ]
    assert [(answer or b"").split(b" ", 2)[1] for answer in answers] == [b"403", b"403", b"200"]


@pytest.mark.timeout(60)
def test_each_panel_shows_what_the_books_hold(tmp_path: Path) -> None:
    """Savings, cost by kind, share, waits, errors; then a request without a price, and savings are not known."""
    checked = {*MONEY, *RATIOS, *SUMS, *QUANTILES, "Waiting for a slot", "Slots in use", "Target", "Threshold"}
    checked |= {
        "Backends down",
        "State of each backend",
        "Lost or refused",
        "Fields that a backend ignores",
        "What runs",
    }
    assert checked == {panel["title"] for panel in panels()}
    with world(tmp_path) as made:
        asyncio.run(traffic(made))
        made.rewrite(kwh=0.3, hour=12.0)
        at = in_step(made)
        known_cost(made)
        agrees(made)
        assert made.books.share() == 0.25
        quantiles_lie_where_the_records_say(made, at)
        gauges_and_losses(made, at)
        rules_work(made, set())
        assert asyncio.run(send(made.running, "gratis")) == "200"
        at = in_step(made)
        assert made.asked("Attempts without a price", at) == [{key(): 1}]
        assert made.asked("Saved", at) == made.asked("Saved of the baseline", at) == [{}]
        until("no alert", lambda: any(rule.get("state") == "firing" for rule in made.prometheus.rules()))
        rules_work(made, {"SmallfirstUnpriced"})
