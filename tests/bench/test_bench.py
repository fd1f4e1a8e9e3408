"""The benchmarks start by name and print what they promise; what the figures are is nobody's test."""

from __future__ import annotations

import pytest

from tests.bench import router
from tests.bench.__main__ import BENCHMARKS, main


@pytest.mark.parametrize("arguments", [["nothing"], ["nothing", "--quick"]])
def test_bad_usage_lists_the_names(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, and every benchmark with what it measures."""
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert all(f"  {name} " in told for name in BENCHMARKS)
    assert "How long one score takes" in told


@pytest.mark.parametrize("arguments", [["router", "more"], ["gateway", "more"], ["--slow"]])
def test_bad_options(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Of a benchmark that there is: its own usage, and exit 2 as well; without a name it is the gateway's."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: python -m tests.bench" in capsys.readouterr().err


def test_the_table_of_the_router(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each request with four figures, then the size of the artifact and the time to load it."""
    router.main(calls=3)
    first, head, *rows, size, load = capsys.readouterr().out.splitlines()
    assert first.startswith("router trained ")
    assert head.split("  ")[-2:] == ["p50 scaled", "p99 scaled"]
    assert [row[:28].strip() for row in rows] == [name for name, _ in router.bodies()]
    assert all(len([float(figure) for figure in row[28:].split()]) == 4 for row in rows)
    assert "model.npz" in size
    assert load.startswith("load ")
