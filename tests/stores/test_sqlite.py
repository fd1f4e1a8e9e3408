"""Records on a real disk: batches, bounds, failures, a killed process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.prices import HourPrice, LocalPrice, TokenPrice, Unpriced
from app.core.types import Entry, Record, Usage
from app.errors import ConfigError
from app.stores.sqlite import BACKLOG, DAY, Keeping, SqliteRecords, connect, read_totals
from tests.telemetry.examples import RECORD, a_receipt, a_record

NOW = 20_000 * DAY
PATIENCE = 20.0


@contextmanager
def records(path: Path, **more: object) -> Iterator[SqliteRecords]:
    told: list[str] = []
    store = SqliteRecords(Keeping(path, **more), lambda: NOW, told.append)  # type: ignore[arg-type]
    yield store
    store.close()
    assert told == []


def column(path: Path, query: str) -> list[object]:
    db = sqlite3.connect(path)
    found = [row[0] for row in db.execute(query)]
    db.close()
    return found


def test_everything_is_there_after_the_end(tmp_path: Path) -> None:
    """Requests with their attempts, minutes of boxes and of the baseline; and the sums of all that."""
    path = tmp_path / "new" / "records.db"
    with records(path) as store:
        receipts = (
            a_receipt(nano_usd=5, kind="discarded", usage=Usage(10, 1)),
            a_receipt(number=2, nano_usd=7, kind="tokens", usage=Usage(10, 2), tier="llm"),
        )
        store.on_settled(a_record(at=NOW, receipts=receipts, baseline_nano=100))
        store.on_settled(a_record(at=NOW, outcome="shed", receipts=()))
        minute = int(NOW // 60)
        store.on_entries([Entry("slm", "ollama", "energy", 11, "p", "r-1", 1, minute)])
        store.on_entries([Entry("slm", "ollama", "capex", 1, "p", minute=minute)])
        store.on_baseline("all-llm", 1000, minute, 2)
    totals = read_totals(path)
    assert totals.accounts == {
        ("slm", "ollama", "discarded"): 5,
        ("llm", "ollama", "tokens"): 7,
        ("slm", "ollama", "energy"): 11,
        ("slm", "ollama", "capex"): 1,
    }
    assert totals.baseline_nano == 1100
    assert totals.outcomes == {"ok": 1, "shed": 1}
    assert totals.tokens == (20, 3)


def test_a_second_run_goes_on(tmp_path: Path) -> None:
    """Numbers go on where they were, and so does the salt, so that a key stays the same key."""
    path = tmp_path / "records.db"
    for _ in range(2):
        with records(path) as store:
            store.on_settled(a_record(at=NOW))
    assert column(path, "SELECT id FROM requests") == [1, 2]
    assert len(set(column(path, "SELECT key_hash FROM requests"))) == 1


WORDS = [
    ({}, False, None),
    ({"store_text": True}, False, "words"),
    ({"store_text": True}, True, None),
    ({"store_text": True, "store_local_text": True}, True, "words"),
]


@pytest.mark.parametrize(("keeping", "local_only", "kept"), WORDS)
def test_words_are_kept_only_where_that_is_allowed(
    keeping: dict[str, bool], local_only: bool, kept: str | None, tmp_path: Path
) -> None:
    """Whatever a record carries by mistake."""
    path = tmp_path / "records.db"
    with records(path, **keeping) as store:
        store.on_settled(a_record(at=NOW, text="words", local_only=local_only))
    assert column(path, "SELECT text FROM requests") == [kept]


@pytest.mark.parametrize(("keeping", "local_only", "kept"), WORDS)
def test_vectors_are_kept_only_where_that_is_allowed(
    keeping: dict[str, bool], local_only: bool, kept: str | None, tmp_path: Path
) -> None:
    """What the router sees of words is treated as they are."""
    path = tmp_path / "records.db"
    with records(path, **{key.replace("text", "features"): yes for key, yes in keeping.items()}) as store:
        store.on_settled(a_record(at=NOW, vector=b"numbers", local_only=local_only))
    assert column(path, "SELECT vector FROM requests") == [kept and b"numbers"]


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    """With its attempts and minutes; what is young enough stays."""
    path = tmp_path / "records.db"
    with records(path, keep_days=30) as store:
        for age in (0, 29, 31, 400):
            store.on_settled(a_record(at=NOW - age * DAY, request_id=f"r-{age}"))
            store.on_entries([Entry("slm", "ollama", "energy", 1, "p", minute=int((NOW - age * DAY) // 60))])
            store.on_baseline("all-llm", 1, int((NOW - age * DAY) // 60), 1)
    with records(path, keep_days=30):
        pass
    assert column(path, "SELECT request_id FROM requests") == ["r-0", "r-29"]
    assert [column(path, f"SELECT count(*) FROM {table}") for table in ("attempts", "entries", "baseline")] == [[2]] * 3


def test_the_file_stays_below_its_bound(tmp_path: Path) -> None:
    """The oldest go first, and their room is given back."""
    path = tmp_path / "records.db"
    with records(path, store_text=True, max_mb=100) as store:
        for number in range(6000):
            store.on_settled(a_record(at=NOW, request_id=f"r-{number}", text="x" * 1000))
    full = path.stat().st_size
    for _ in range(2):
        with records(path, max_mb=3):
            pass
    left = column(path, "SELECT request_id FROM requests")
    assert path.stat().st_size <= 3e6 < full
    assert left
    assert left[-1] == "r-5999"


def test_a_locked_file_loses_nothing(tmp_path: Path) -> None:
    """What cannot be written waits; the trouble is told once."""
    path, told = tmp_path / "records.db", []
    store = SqliteRecords(Keeping(path), lambda: NOW, told.append)
    store._writer._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    store.on_settled(a_record(at=NOW))
    until = time.monotonic() + PATIENCE
    while not told and time.monotonic() < until:
        time.sleep(0.01)
    other.rollback()
    other.close()
    store.on_settled(a_record(at=NOW))
    store.close()
    assert len(told) == 1
    assert column(path, "SELECT count(*) FROM requests") == [2]
    assert store.dropped == 0


def test_what_can_never_be_written_stops_nothing_else(tmp_path: Path) -> None:
    """It is dropped and counted, and what comes later is written."""
    path, told = tmp_path / "records.db", []
    store = SqliteRecords(Keeping(path), lambda: NOW, told.append)
    store.on_entries([Entry("slm", "ollama", "energy", 1, "p", minute=None)])
    until = time.monotonic() + PATIENCE
    while not told and time.monotonic() < until:
        time.sleep(0.01)
    store.on_settled(a_record(at=NOW))
    store.close()
    assert (len(told), store.dropped) == (1, 1)
    assert column(path, "SELECT count(*) FROM requests") == [1]


def test_only_what_can_never_be_written_is_lost(tmp_path: Path) -> None:
    """A number no database takes does not drag down what was settled in the same half second."""
    path, told = tmp_path / "records.db", []
    store = SqliteRecords(Keeping(path), lambda: NOW, told.append)
    store.on_settled(a_record(at=NOW, request_id="before"))
    store.on_settled(a_record(at=NOW, receipts=(a_receipt(usage=Usage(2**64, 1)),)))
    store.on_settled(a_record(at=NOW, request_id="after"))
    store.close()
    assert (len(told), store.dropped) == (1, 1)
    assert column(path, "SELECT request_id FROM requests") == ["before", "after"]


def test_what_is_written_is_not_written_again(tmp_path: Path) -> None:
    """Also if something fails right after it: here the deleting of what is too old."""
    path, told = tmp_path / "records.db", []
    store = SqliteRecords(Keeping(path), lambda: NOW, told.append)
    db = sqlite3.connect(path)
    db.execute("CREATE TRIGGER t BEFORE DELETE ON baseline BEGIN DELETE FROM nowhere; END")
    db.close()
    store.on_baseline("all-llm", 7, 1, 1)  # long ago
    until = time.monotonic() + PATIENCE
    while not told and time.monotonic() < until:
        time.sleep(0.01)
    store.close()
    assert "nowhere" in told[0]
    assert (column(path, "SELECT nano_usd FROM baseline"), store.dropped) == ([7], 0)


def test_prices_are_written_once(tmp_path: Path) -> None:
    """As often as they are told, in one process and the next; those of another figure beside them."""
    path = tmp_path / "records.db"
    prices = TokenPrice(0.15, 0.60, source="list"), HourPrice(5.0), LocalPrice(350, 0.187, 1600, 3), Unpriced()
    for more in ([], [TokenPrice(0.15, 0.61)]):
        with records(path) as store:
            for price in (*prices, *prices, *more):
                store.on_price(price)
    kept = dict(zip(column(path, "SELECT price_id FROM prices"), column(path, "SELECT price FROM prices"), strict=True))
    assert kept.keys() == {price.id for price in (*prices, TokenPrice(0.15, 0.61))}
    said = json.loads(str(kept[prices[0].id]))
    assert said == {
        "kind": "tokens",
        "currency": "USD",
        "input": 0.15,
        "output": 0.6,
        "cached_input": None,
        "source": "list",
        "as_of": None,
    }


def test_a_price_is_not_dropped(tmp_path: Path) -> None:
    """Others are where too much waits: it is told only once, and what is kept cannot be read without it."""
    path = tmp_path / "records.db"
    with records(path) as store:
        store._keep_waiting([HourPrice(5.0), *[a_record(at=NOW)] * (BACKLOG + 7)])
        waiting = list(store._waiting)
        assert (len(waiting), waiting[0], store.dropped) == (BACKLOG + 1, HourPrice(5.0), 7)
        for _ in range(BACKLOG - 1):  # they need not be written
            store._waiting.pop()
    assert column(path, "SELECT price_id FROM prices") == [HourPrice(5.0).id]


def test_two_may_write_to_one_file(tmp_path: Path) -> None:
    """As when a new process starts while the old one drains: nobody's number is taken."""
    path = tmp_path / "records.db"
    with records(path) as other:
        with records(path) as one:
            one.on_settled(a_record(at=NOW, request_id="r-0"))
        other.on_settled(a_record(at=NOW, request_id="r-1"))
    assert column(path, "SELECT request_id FROM requests ORDER BY id") == ["r-0", "r-1"]
    assert column(path, "SELECT count(*) FROM attempts") == [2]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes")
def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """A new file and what SQLite puts beside it; the mode that an operator gave to an old one stays."""
    path = tmp_path / "records.db"
    with records(path):
        assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}
    path.chmod(0o640)
    connect(path).close()
    assert path.stat().st_mode & 0o777 == 0o640


def test_nothing_to_read(tmp_path: Path) -> None:
    """A statement about nothing is an error that says so."""
    with pytest.raises(ConfigError, match="there are no records"):
        read_totals(tmp_path / "records.db")


KILLED = """
import sys, time
from pathlib import Path
from app.stores.sqlite import Keeping, SqliteRecords
from tests.telemetry.examples import a_record
store = SqliteRecords(Keeping(Path(sys.argv[1])), time.time, print)
number = 0
while True:
    store.on_settled(a_record(at=time.time(), request_id=str(number)))
    number += 1
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""


def test_a_killed_process_loses_at_most_its_last_second(tmp_path: Path) -> None:
    """kill -9 in the middle of writing: the file is whole, and what was settled a second before is in it."""
    path = tmp_path / "records.db"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    said: list[tuple[int, float]] = []
    for line in process.stdout:
        number, at = line.split()
        said.append((int(number), float(at)))
        if len(said) == 1000:
            break
    os.kill(process.pid, signal.SIGKILL)
    killed = time.time()
    process.wait()
    process.stdout.close()
    old = sum(at < killed - 1.0 for _, at in said)
    assert old > 0
    db = connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("SELECT count(*) FROM requests").fetchone()[0] >= old
    db.close()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.builds(replace, st.just(RECORD), status=st.integers(100, 599), seconds=st.floats(0, 1e6)), max_size=30)
)
def test_what_is_written_is_what_was_given(tmp_path_factory: pytest.TempPathFactory, given_: list[Record]) -> None:
    """In the same order, none twice."""
    path = tmp_path_factory.mktemp("records") / "records.db"
    with records(path, keep_days=10**6) as store:
        for record in given_:
            store.on_settled(record)
    assert column(path, "SELECT status FROM requests ORDER BY id") == [record.status for record in given_]
    assert column(path, "SELECT seconds FROM requests ORDER BY id") == [record.seconds for record in given_]
