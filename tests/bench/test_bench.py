"""The benchmarks start by name and print what they promise; what the figures are is nobody's test."""

from __future__ import annotations

import sys

import pytest

from tests.bench import results, router
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


DATA = {"ROUTING_DATA": "/data"}


def test_the_results_are_what_the_commands_print(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command with its output below, in this order; options go to the gateway's."""
    assert results.main(["--quick"], DATA, lambda command: f"printed by {command}") == 0
    page = capsys.readouterr().out
    commands = ["python -m tests.bench --quick", results.ROUTER, results.MODEL]
    places = [page.index(f"printed by {command}") for command in commands]
    assert places == sorted(places)
    assert all(f"    {command}\n\n```\nprinted by {command}\n```" in page for command in commands[1:])


def test_results_want_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    """Before ten minutes are spent."""
    assert results.main([], {}) == 2
    assert "set ROUTING_DATA" in capsys.readouterr().err


def test_results_of_a_failed_command(capsys: pytest.CaptureFixture[str]) -> None:
    """There is no page; what it had printed is not lost."""
    assert results.main([], DATA, lambda _: results.printed("echo so far; exit 3")) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "exit status 3" in told.err
    assert "so far" in told.err


def test_commands_find_this_environment() -> None:
    """`python` is the one that runs this, whatever the path says."""
    assert results.printed("python -c 'import sys; print(sys.prefix)'") == sys.prefix


def test_indented_output_stays_so() -> None:
    """A command shown as code, or the empty corner of a table, at the very start."""
    assert results.printed("printf '\\n    a\\nb\\n\\n'") == "    a\nb"
