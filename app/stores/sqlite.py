"""Records in SQLite: the request path appends to a queue, one thread writes it in batches.

A batch is at most half a second old, so a killed process loses no more than that. A disk that is full or a file that
is locked never holds up a request: what cannot be written waits, and beyond `BACKLOG` the oldest is dropped and
counted. The file is bounded in days and in megabytes; the oldest go first, a bite at a time, and their room is given
back.
"""

from __future__ import annotations

import math
import os
import secrets
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from app.core.prices import Price
from app.core.types import Entry, Record
from app.errors import ConfigError
from app.stores.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS, attempt_row, entry_rows, price_row, request_row
from app.stores.schema import MIGRATIONS

EVERY = 0.5  # seconds between batches
BACKLOG = 50_000  # settled requests and minutes that wait for a disk
PRAGMAS = (
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "foreign_keys = ON",
    "cache_size = -256",  # kB; rows are added at the ends of tables: 2 MB would fill with what nobody reads again
)
BITE = 2_000  # rows deleted between two batches
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """What may be kept, where, and how much of it."""

    path: Path
    keep_days: float = 30
    max_mb: float = 500
    store_text: bool = False
    store_local_text: bool = False
    store_features: bool = False
    store_local_features: bool = False

    def text(self, record: Record) -> str | None:
        """The second lock on words: whatever a record carries, only this much is written."""
        kept = self.store_text and (self.store_local_text or not record.local_only)
        return record.text if kept else None

    def vector(self, record: Record) -> bytes | None:
        """And on what the router has seen of them."""
        kept = self.store_features and (self.store_local_features or not record.local_only)
        return record.vector if kept else None


class _Minute(NamedTuple):
    minute: int
    baseline: str
    nano_usd: int
    replicas: int


Waiting = Record | list[Entry] | _Minute | Price


class SqliteRecords:
    """An `app.ports.Observer`. `on_problem` is told once when writing begins to fail, from the writing thread."""

    def __init__(self, keeping: Keeping, utc: Callable[[], float], on_problem: Callable[[str], None]) -> None:
        """Raises ConfigError if the file cannot be used."""
        self.dropped = 0
        self._keeping = keeping
        self._utc = utc
        self._on_problem = on_problem
        self._waiting: deque[Waiting] = deque()
        self._priced: set[str] = set()
        self._failing = False
        self._stop = threading.Event()
        self._writer = _Writer(keeping)
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)
        self._thread.start()

    def on_settled(self, record: Record) -> None:
        self._waiting.append(record)

    def on_entries(self, entries: Sequence[Entry]) -> None:
        self._waiting.append(list(entries))

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        self._waiting.append(_Minute(minute, baseline, nano_usd, replicas))

    def on_price(self, price: Price) -> None:
        """One that will be booked under: what the id in its rows stands for is written once."""
        if price.id not in self._priced:
            self._priced.add(price.id)
            self._waiting.append(price)

    def close(self, patience: float = 10.0) -> None:
        """Write what waits and end the thread, within `patience` seconds."""
        self._stop.set()
        self._thread.join(patience)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(EVERY)
            self._write()
        self._writer.close()

    def _write(self) -> None:
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            whole = self._keep(batch)  # and if forgetting fails, what is written stays written and is not written again
            self._writer.forget(self._utc())
            self._failing = self._failing and not whole
        except Exception as error:
            self._tell(error)

    def _keep(self, batch: list[Waiting]) -> bool:
        """True if all of it is written. Raises OperationalError if it has to wait."""
        try:
            self._writer.write(batch)
            return True
        except sqlite3.OperationalError:  # locked or full: it may be better the next time
            self._keep_waiting(batch)
            raise
        except Exception as error:  # something in it that the database will never take
            self._tell(error)
            self._keep_each(batch)
            return False

    def _keep_each(self, batch: list[Waiting]) -> None:
        """One by one, so that only those are lost that cannot be written."""
        for index, one in enumerate(batch):
            try:
                self._writer.write([one])
            except sqlite3.OperationalError:
                self._keep_waiting(batch[index:])
                raise
            except Exception:
                self.dropped += 1

    def _tell(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            self._on_problem(f"records cannot be written: {error}")

    def _keep_waiting(self, batch: list[Waiting]) -> None:
        old, kept = batch[:-BACKLOG], batch[-BACKLOG:]
        prices = [one for one in old if isinstance(one, Price)]  # few, told only once, and needed by all that is kept
        self.dropped += len(old) - len(prices)
        self._waiting.extendleft(reversed(prices + kept))


class _Writer:
    """The database, used by one thread at a time."""

    def __init__(self, keeping: Keeping) -> None:
        self._keeping = keeping
        self._db = connect(keeping.path)
        self._salt: bytes = self._db.execute("SELECT value FROM meta WHERE key = 'salt'").fetchone()[0]

    def write(self, batch: Sequence[Waiting]) -> None:
        """All of it or nothing. Another process may write to the same file: numbers are given under the lock."""
        if not batch:
            return
        records = [one for one in batch if isinstance(one, Record)]
        keeping, salt = self._keeping, self._salt
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            first: int = self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM requests").fetchone()[0]
            numbered = list(enumerate(records, first))
            requests = [request_row(n, one, salt, keeping.text(one), keeping.vector(one)) for n, one in numbered]
            self._insert("requests", REQUEST_COLUMNS, requests)
            attempts = [attempt_row(n, receipt) for n, one in numbered for receipt in one.receipts]
            self._insert("attempts", ATTEMPT_COLUMNS, attempts)
            entries = [row for one in batch if isinstance(one, list) for row in entry_rows(one)]
            self._insert("entries (minute, tier, backend, kind, nano_usd, price_id, request_id, attempt)", 8, entries)
            minutes = [one for one in batch if isinstance(one, _Minute)]
            self._insert("baseline (minute, name, nano_usd, replicas)", 4, minutes)
            prices = [price_row(one) for one in batch if isinstance(one, Price)]
            self._db.executemany("INSERT OR IGNORE INTO prices VALUES (?, ?)", prices)

    def forget(self, now: float) -> None:
        """A bite of what is too old or too much."""
        oldest = now - self._keeping.keep_days * DAY
        with self._db:
            gone = self._delete("requests", "at", oldest)
            gone += self._delete("entries", "minute", oldest / 60)
            gone += self._delete("baseline", "minute", oldest / 60)
            if self._size() > self._keeping.max_mb * 1e6:
                gone += self._delete("requests", "at", math.inf) or self._delete("entries", "minute", math.inf)
        if gone:
            self._db.executescript(
                "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)"
            )  # a script runs to its end

    def close(self) -> None:
        self._db.close()

    def _insert(self, table: str, columns: int, rows: Sequence[tuple[object, ...]]) -> None:
        self._db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})", rows)

    def _delete(self, table: str, column: str, before: float) -> int:
        """Ordered by the column, which has an index: by rowid it would read the whole table to find nothing."""
        oldest = f"SELECT rowid FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT {BITE}"
        return self._db.execute(f"DELETE FROM {table} WHERE rowid IN ({oldest})", (before,)).rowcount

    def _size(self) -> int:
        """Bytes in use; what was deleted and not yet given back does not count."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)


def connect(path: Path, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """The database at `path`, made if it is not there, at the newest version. Raises ConfigError.

    A new file is its owner's alone, as it may come to hold texts; SQLite gives its side files the same mode.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
        db = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"records.path: {path} cannot be used: {error}") from None
    try:
        for pragma in PRAGMAS:
            db.execute(f"PRAGMA {pragma}").fetchall()
        _migrate(db, path, migrations)
        db.execute("INSERT OR IGNORE INTO meta VALUES ('salt', ?)", (secrets.token_bytes(32),))
        db.commit()
    except sqlite3.Error as error:
        db.close()
        raise ConfigError(
            f"records.path: {path} cannot be used: {error}. Move it away, or name another file."
        ) from None
    except ConfigError:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise ConfigError(
            f"records.path: {path} is of version {version}, this release knows {len(migrations)}: "
            "use the newer release, or name another file."
        )
    for number, step in enumerate(migrations[version:], version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {step}; PRAGMA user_version = {number}; COMMIT;")


@dataclass(slots=True)
class Totals:
    """What a database holds: nano-dollars by tier, backend and kind and by baseline; requests by outcome; tokens."""

    accounts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    baseline_nano: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: tuple[int, int] = (0, 0)  # input, output


def read_totals(path: Path) -> Totals:
    """Read beside a running gateway. Raises ConfigError if there is nothing to read."""
    if not path.exists():
        raise ConfigError(f"{path}: there are no records.")
    db = sqlite3.connect(f"file:{os.fspath(path)}?mode=ro", uri=True)
    try:
        totals = Totals()
        spent = (
            "SELECT tier, backend, kind, sum(nano_usd) FROM attempts WHERE kind IS NOT NULL GROUP BY 1, 2, 3 "
            "UNION ALL SELECT tier, backend, kind, sum(nano_usd) FROM entries GROUP BY 1, 2, 3"
        )
        for tier, backend, kind, nano in db.execute(spent):
            totals.accounts[tier, backend, kind] += nano
        minutes = db.execute("SELECT coalesce(sum(nano_usd), 0) FROM baseline").fetchone()[0]
        own = db.execute("SELECT coalesce(sum(baseline_nano), 0) FROM requests").fetchone()[0]
        totals.baseline_nano = minutes + own
        totals.outcomes.update(dict(db.execute("SELECT outcome, count(*) FROM requests GROUP BY 1")))
        totals.tokens = db.execute("SELECT coalesce(sum(input), 0), coalesce(sum(output), 0) FROM attempts").fetchone()
        return totals
    finally:
        db.close()
