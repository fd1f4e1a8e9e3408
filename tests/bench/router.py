"""How long one score takes, and how large the router is: `python -m tests.bench router`.

Microseconds of this thread's CPU time per call, p50 and p99, as measured and scaled to a core on which a fixed loop
takes 20 ms (timed before and after each row); then the size of the packaged artifact and the time to load it. A few
seconds in all.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

from app.core.chat import ChatRequest
from app.routers import load_router
from tests.bench import proc

SPIN_SECONDS = 0.020
CALLS = 2_000
TEXT = """order pallet why schedule prove invoice the of a weight function between carrier which return explain if not
matrix replacement when price three monday contract thread compare deliver must under without every report"""
WORDS = tuple(TEXT.split())
HAN = (
    "请证明任意两个订单之间的距离不超过仓库半径并说明为什么这样安排可以减少等待时间设计一个方案分析合同条款今天天气很好"
)


def command(arguments: Sequence[str]) -> int:
    argparse.ArgumentParser("python -m tests.bench router", description=__doc__).parse_args(arguments)
    main()
    return 0


def main(calls: int = CALLS) -> None:
    router = load_router("default")
    print(f"router {router.name} {router.version}; fixed loop {spin_seconds() * 1e3:.1f} ms")
    print(f"{'request':28} {'p50 us':>8} {'p99 us':>8} {'p50 scaled':>11} {'p99 scaled':>11}")
    for name, body in bodies():
        request = ChatRequest("chat", body)
        before = spin_seconds()
        micros = sorted(timings(partial(router.score, request), calls))
        p50, p99 = micros[len(micros) // 2], micros[len(micros) * 99 // 100]
        scale = 2 * SPIN_SECONDS / (before + spin_seconds())
        print(f"{name:28} {p50:8.1f} {p99:8.1f} {p50 * scale:11.1f} {p99 * scale:11.1f}")
    sizes = {path.name: len(path.read_bytes()) for path in files("router_models").joinpath("default").iterdir()}
    told = ", ".join(f"{name} {size / 1e3:.0f} kB" for name, size in sorted(sizes.items()))
    print(f"artifact {sum(sizes.values()) / 1e6:.2f} MB ({told})")
    load = statistics.median(timings(lambda: load_router("default"), 20)) / 1e3
    print(f"load {load:.1f} ms (median of 20), scaled {load * SPIN_SECONDS / spin_seconds():.1f} ms")


def spin_seconds() -> float:
    """CPU seconds of a fixed loop: how fast this core is right now (best of three)."""
    return min(proc.spin() for _ in range(3))


def timings(call: Callable[[], object], calls: int) -> Iterator[float]:
    """Microseconds of each call, after a few to warm up."""
    for _ in range(10):
        call()
    for _ in range(calls):
        start = time.thread_time_ns()
        call()
        yield (time.thread_time_ns() - start) / 1e3


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "six messages, 1.5 kB", conversation()
    yield "hello", ask("Hello!")
    pick = random.Random(7)
    for tokens in (50, 500, 4_000):
        yield f"English, {tokens} tokens", ask(" ".join(_word(pick) for _ in range(tokens)))
        yield f"Chinese, {tokens} tokens", ask("".join(_character(pick) for _ in range(tokens)))
    yield "100,000 English characters", ask(" ".join(_word(pick) for _ in range(17_000))[:100_000])
    yield "100,000 Chinese characters", ask("".join(_character(pick) for _ in range(100_000)))
    yield "1 MB of one character", ask("a" * 1_000_000)
    yield "10,000 messages", {"messages": [{"role": "user", "content": "And then?"}] * 10_000}


def _word(pick: random.Random) -> str:
    """A common word, or a rare one: real texts repeat about half of their words."""
    return pick.choice(WORDS) if pick.random() < 0.5 else "".join(pick.choices("aeinorstld", k=6))


def _character(pick: random.Random) -> str:
    return pick.choice(HAN) if pick.random() < 0.5 else chr(pick.randint(0x4E00, 0x5E00))


def ask(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def conversation() -> dict[str, Any]:
    """An everyday conversation: a system prompt and five turns of a few sentences."""
    sentence = "The parcel was packed on Wednesday, weighs 20.1 kg, and should reach the hub by Friday. "
    roles = ("system", "user", "assistant", "user", "assistant", "user")
    lengths = (2, 3, 3, 4, 2, 2)
    turns = [{"role": role, "content": sentence * length} for role, length in zip(roles, lengths, strict=True)]
    turns.append(
        {
            "role": "user",
            "content": "Then explain in two or three sentences what my options are if it has not moved "
            "by Monday, including what an express replacement would cost and whether I can return the first one.",
        }
    )
    return {"model": "slm", "messages": turns, "temperature": 0.2, "max_tokens": 256}
