"""The arithmetic of the benchmark on figures made by hand: what is printed is what was measured."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.bench import figures
from tests.bench.figures import JSON, STREAM, Measured, Memory, Segment, Spread


def segments(target: str, cpu: list[float], p50: list[float], errors: int = 0) -> list[Segment]:
    """The same in every load, a round for each figure."""
    return [
        Segment(target, kind, at, used, half, 2 * half, half / 2, half / 8, 1000.0, 10, errors)
        for used, half in zip(cpu, p50, strict=True)
        for kind in (JSON, STREAM)
        for at in (1, 16, 64)
    ]


@pytest.fixture
def measured() -> Measured:
    """Three rounds; the machine was twice as slow in the second, for all alike."""
    return Measured(
        ours=["smallfirst"],
        peers=["nginx", "litellm"],
        segments=[
            *segments("direct", [0, 0, 0], [1, 2, 1]),
            *segments("nginx", [10, 20, 10], [2, 4, 2]),
            *segments("smallfirst", [200, 400, 300], [3, 6, 4]),
            *segments("litellm", [6000, 12000, 9000], [90, 180, 91], errors=1),
        ],
        memory={"nginx": Memory(10, 10, 50_000), "smallfirst": Memory(70, 73, 50_000), "litellm": Memory(300, 400, 9)},
    )


def cells(table: str, label: str) -> list[str]:
    """Of the row that begins so."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_a_spread() -> None:
    """Median, least, most; of nothing there is none."""
    assert Spread.of([3, 1, 2, 10]) == (2.5, 1, 10)
    assert all(map(math.isnan, Spread.of([])))


def test_percentiles() -> None:
    """An observed value, in whatever order they came."""
    values = [float(value) for value in range(100, -1, -1)]
    assert [figures.percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert math.isnan(figures.percentile([], 0.5))


def test_ratios_are_of_one_round(measured: Measured) -> None:
    """200/10, 400/20, 300/10: the slow round does not widen the spread."""
    assert measured.ratio("smallfirst", "nginx", JSON, 16) == (20, 20, 30)
    assert measured.added("smallfirst", JSON, 16, "p50_ms") == (3, 2, 4)


@pytest.mark.parametrize(
    ("value", "shown"), [(1234.6, "1,235"), (99.94, "99.9"), (0.0123, "0.0123"), (-0.5, "-0.5"), (math.nan, "-")]
)
def test_numbers(value: float, shown: str) -> None:
    """Three digits, all of large ones."""
    assert figures.number(value) == shown


def test_ratios_below_one() -> None:
    """As the part they are."""
    assert [figures.times(value) for value in (0.04, 1.0, 22.0, 0.0)] == ["1/25", "1", "22", "0"]


def test_the_figures(measured: Measured) -> None:
    """Each target in its column; what the upstream takes by itself, and what the others add to it."""
    table = figures.figures(measured)
    assert table.splitlines()[0] == "|  | direct | nginx | litellm | smallfirst |"
    assert cells(table, "CPU us per JSON request, 16 at once") == [
        "",
        "10 [10, 20]",
        "9,000 [6,000, 12,000]",
        "300 [200, 400]",
    ]
    assert cells(table, "added ms, p50, 64 at once") == ["1 [1, 2]", "1 [1, 2]", "90 [89, 178]", "3 [2, 4]"]
    assert cells(table, "added ms, p99, 64 at once")[-1] == "6 [4, 8]"
    assert cells(table, "added ms, first token")[-1] == "1.5 [1, 2]"
    assert cells(table, "added ms, first token, scaled")[-1] == "0.375 [0.25, 0.5]"
    assert cells(table, "RSS MB after the soak") == ["", "10", "400", "73"]
    assert cells(table, "growth MB in the soak") == ["", "0", "100", "3"]
    assert cells(table, "requests in the soak") == ["", "50,000", "9", "50,000"]
    assert cells(table, "right answers before it") == ["180"] * 4
    assert cells(table, "wrong answers") == ["0", "0", "18", "0"]


def test_the_bounds(measured: Measured) -> None:
    """Judged by the median, where there is a bound."""
    table = figures.bounds(measured)
    assert cells(table, "CPU per JSON request, 1 at once, to nginx") == ["", "20 [20, 30]"]
    assert cells(table, "CPU per JSON request, 64 at once, to nginx") == ["at most 22", "20 [20, 30] holds"]
    assert cells(table, "CPU per JSON request, 64 at once, to litellm") == ["at most 1/22", "1/30 holds"]
    assert cells(table, "CPU per streamed chunk, 16 at once, to nginx") == ["at most 3", "20 [20, 30] **missed**"]
    assert cells(table, "added ms, first token, scaled") == ["at most 1", "0.375 [0.25, 0.5] holds"]
    assert cells(table, "RSS MB after 50,000 requests") == ["at most 80", "73 holds"]
    assert cells(table, "growth MB over them") == ["at most 2", "3 **missed**"]


def test_memory_is_not_judged_too_early(measured: Measured) -> None:
    """After fewer requests than the bound speaks of there is no figure for it."""
    early = replace(measured, memory={**measured.memory, "smallfirst": Memory(70, 71, 49_999)})
    assert cells(figures.bounds(early), "RSS MB after 50,000 requests") == ["at most 80", "-"]
    assert cells(figures.figures(early), "RSS MB after the soak")[-1] == "71"
