"""Rows: as many values as columns, in their order, and no name that could be read back."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.core.types import Record
from app.stores.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS, attempt_row, request_row
from app.stores.sqlite import connect
from tests.telemetry.examples import RECEIPT, RECORD, a_receipt

SALT = b"s" * 32


def named(table: str, row: tuple[Any, ...], folder: Path) -> dict[str, Any]:
    """The values by the name of their column."""
    db = connect(folder / "records.db")
    names = [column[1] for column in db.execute(f"PRAGMA table_info({table})")]
    db.close()
    return dict(zip(names, row, strict=True))


def test_every_column_gets_its_value(tmp_path: Path) -> None:
    """Names of columns and fields of the record agree where both have one."""
    record = replace(RECORD, needs=frozenset({"tools", "n"}), why=(("code", 0.5),), rule="private", baseline_nano=7)
    row = named("requests", request_row(1, record, SALT, "words", b"numbers"), tmp_path)
    assert len(row) == REQUEST_COLUMNS
    for name in row.keys() & {"request_id", "at", "tier", "score", "threshold", "outcome", "seconds", "rule"}:
        assert row[name] == getattr(record, name)
    assert (row["needs"], row["why"], row["baseline_nano"]) == ("n tools", '{"code": 0.5}', 7)
    assert (row["text"], row["vector"]) == ("words", b"numbers")


def test_attempts(tmp_path: Path) -> None:
    """Tokens are spread over columns; without a usage they are null, not 0."""
    receipt = replace(RECEIPT, number=2, kind="tokens", nano_usd=5, price_id="p")
    row = named("attempts", attempt_row(1, receipt), tmp_path)
    assert len(row) == ATTEMPT_COLUMNS
    assert (row["input"], row["cached"], row["output"], row["estimated"]) == (120, 0, 80, False)
    assert (row["number"], row["kind"], row["nano_usd"], row["price_id"]) == (2, "tokens", 5, "p")
    assert named("attempts", attempt_row(1, a_receipt(usage=None)), tmp_path)["input"] is None


def test_keys_and_sessions_are_told_apart_and_not_told() -> None:
    """The same name is the same hash under one salt, another under another, and its words are nowhere."""

    def hashes(record: Record, salt: bytes = SALT) -> tuple[Any, Any]:
        row = request_row(1, record, salt, None, None)
        return row[5], row[6]

    one = replace(RECORD, key="app", session="alice")
    assert hashes(one) == hashes(replace(one, request_id="r-2"))
    assert hashes(one)[1] != hashes(replace(one, session="bob"))[1]
    assert hashes(one) != hashes(one, b"t" * 32)
    assert hashes(replace(one, key=None, session=None)) == (None, None)
    assert "alice" not in str(request_row(1, one, SALT, None, None))


@pytest.mark.parametrize("odd", ["\ud800", "a\x00b", "\U0001f600" * 10, "模型"])
def test_odd_names_can_be_written(odd: str, tmp_path: Path) -> None:
    """No name that a backend or client chose stops the writer."""
    db = connect(tmp_path / "records.db")
    row = request_row(1, replace(RECORD, model=odd, request_id=odd, key=odd, session=odd), SALT, odd, None)
    db.execute(f"INSERT INTO requests VALUES ({', '.join('?' * len(row))})", row)
    assert isinstance(db, sqlite3.Connection)
    db.close()
