"""What the gateway costs, beside the bare upstream, nginx, LiteLLM and Portkey: CPU, added latency, memory.

All targets are up during the whole run and take turns within each load of each round. Prints Markdown. Exit code 1 if
any answer was wrong, whatever the figures are.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import figures, load, proc, targets
from tests.bench.figures import JSON, STREAM, Measured, Memory, Segment
from tests.bench.load import Load


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int
    seconds: float  # of each JSON segment, and of streams one after the other
    soak: int  # requests of ours
    peer_soak_seconds: float  # peers do as many as they can meanwhile: some would take half an hour
    soak_seconds: float = 120.0
    warm: int = 3_000  # requests
    warm_seconds: float = 3.0
    chunks: int = 100  # of each stream

    @property
    def loads(self) -> list[tuple[str, Load]]:
        return [
            *((JSON, Load(at, self.seconds)) for at in figures.CONNECTIONS[JSON]),
            (STREAM, Load(1, self.seconds, chunks=3)),
            *((STREAM, Load(at, load.PATIENCE, at, self.chunks)) for at in figures.CONNECTIONS[STREAM]),
        ]


FULL = Plan(rounds=5, seconds=1.2, soak=figures.SOAK, peer_soak_seconds=30.0)
QUICK = Plan(rounds=2, seconds=0.5, soak=3_000, peer_soak_seconds=3.0, warm_seconds=1.0, chunks=50)


@dataclass
class Bench:
    """One run: every target, the cores, and what was seen."""

    plan: Plan
    up: dict[str, tuple[targets.Target, int]] = field(default_factory=dict)  # with its process
    segments: list[Segment] = field(default_factory=list)
    memory: dict[str, Memory] = field(default_factory=dict)
    spins: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.core, self.others = {cores[0]}, set(cores[1:]) or {cores[0]}

    def start(self, target: targets.Target, folder: Path, stack: ExitStack) -> None:
        tell(f"starting {target.name}")
        with proc.on(self.others if target.name == "direct" else self.core):
            self.up[target.name] = target, stack.enter_context(targets.running(target, folder))
        for at in (1, 16, 64):
            self.put(target, Load(at, self.plan.warm_seconds, self.plan.warm))
        self.put(target, Load(8, self.plan.warm_seconds, 8, chunks=10))

    def put(self, target: targets.Target, what: Load) -> load.Result:
        with proc.on(self.others):
            result = load.run(target.port, target.headers, what)
        if result.errors:
            self.wrong.append(f"{target.name}, {what}: {result.errors} errors, the first: {result.why}")
        return result

    def spin(self) -> float:
        with proc.on(self.core):
            self.spins.append(proc.spin())
        return self.spins[-1]

    def segment(self, name: str, kind: str, what: Load) -> Segment:
        target, pid = self.up[name]
        pids, spun = proc.tree(pid), self.spin()
        before = proc.cpu(pids)
        result = self.put(target, what)
        time.sleep(0.02)  # what it does after its last answer is part of the cost
        used = proc.seconds_between(before, proc.cpu(pids))
        done = result.chunks if what.chunks else result.finished
        first_ms = figures.percentile(result.firsts, 0.5) * 1e3
        spins = spun, self.spin()
        return Segment(
            target=name,
            kind=kind,
            connections=what.connections,
            cpu_us=proc.scaled(used / max(done, 1) * 1e6, *spins),
            p50_ms=figures.percentile(result.totals, 0.5) * 1e3,
            p99_ms=figures.percentile(result.totals, 0.99) * 1e3,
            first_ms=first_ms,
            first_scaled_ms=proc.scaled(first_ms, *spins),
            per_second=result.finished / result.seconds,
            finished=result.finished,
            errors=result.errors,
        )

    def rounds(self) -> None:
        for number in range(self.plan.rounds):
            tell(f"round {number + 1} of {self.plan.rounds}")
            for kind, what in self.plan.loads:
                self.segments += [self.segment(name, kind, what) for name in self.up]

    def soak(self) -> None:
        for name, (target, pid) in self.up.items():
            if name == "direct":
                continue
            tell(f"soak of {name}")
            seconds = self.plan.soak_seconds if target.ours else self.plan.peer_soak_seconds
            before = proc.rss_mb(proc.tree(pid))
            result = self.put(target, Load(16, seconds, self.plan.soak))
            self.memory[name] = Memory(before, proc.rss_mb(proc.tree(pid)), result.finished)

    def measured(self) -> Measured:
        ours = [name for name, (target, _) in self.up.items() if target.ours]
        peers = [name for name in self.up if name not in ours and name != "direct"]
        return Measured(ours, peers, self.segments, self.memory)


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def conditions(bench: Bench, some: Sequence[targets.Target], busy: Sequence[float]) -> list[str]:
    """Without which no figure means anything."""
    cores = len(os.sched_getaffinity(0))
    plan, now = bench.plan, datetime.datetime.now(datetime.UTC)
    versions = ", ".join(f"{one.name} {one.about}" for one in some if one.about)
    return [
        f"{now:%Y-%m-%d}, {processor()}, {cores} cores, Python {platform.python_version()}; {versions}. Load average "
        f"{busy[0]:.1f} before and {os.getloadavg()[0]:.1f} after. The fixed loop that CPU is scaled by took "
        f"{statistics.median(bench.spins) * 1e3:.1f} ms, figures are as if it took {proc.REFERENCE_SPIN * 1e3:.0f}.",
        "",
        f"Median [least, most] of {plan.rounds} rounds; JSON segments of {plan.seconds:g} s; streams of {plan.chunks} "
        "chunks 10 ms apart, for the first token one at a time. Column direct is the upstream itself.",
    ]


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def run(plan: Plan, litellm: Path | None = None, portkey: Path | None = None) -> tuple[Measured, list[str], list[str]]:
    """What was measured, under which conditions, and which answers were wrong."""
    bench, busy = Bench(plan), os.getloadavg()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        some, missing = targets.found(litellm, portkey, folder)
        for line in missing:
            tell(line)
        for target in some:
            bench.start(target, folder, stack)
        bench.rounds()
        bench.soak()
    return bench.measured(), conditions(bench, some, busy), bench.wrong


Measure = Callable[[Plan, Path | None, Path | None], tuple[Measured, list[str], list[str]]]


def main(arguments: Sequence[str], plan: Plan | None = None, measure: Measure = run) -> int:
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute: few requests, wide spreads")
    parser.add_argument("--litellm", type=Path, metavar="PROGRAM", help="its command, if it is not on the path")
    parser.add_argument("--portkey", type=Path, metavar="FOLDER", help="where npm has installed it")
    options = parser.parse_args(arguments)
    measured, about, wrong = measure(plan or (QUICK if options.quick else FULL), options.litellm, options.portkey)
    command = shlex.join(["python", "-m", "tests.bench", *arguments])
    print("\n".join([f"    {command}", "", *about, "", figures.figures(measured), "", figures.bounds(measured)]))
    for line in wrong:
        tell(line)
    return 1 if wrong else 0
