"""Versions: old databases are brought forward, newer ones are left alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from app.errors import ConfigError
from app.stores.schema import MIGRATIONS
from app.stores.sqlite import connect

LATER = (*MIGRATIONS, "ALTER TABLE requests ADD COLUMN verdict TEXT")


def columns(db: sqlite3.Connection) -> set[str]:
    return {row[1] for row in db.execute("PRAGMA table_info(requests)")}


def test_an_older_database_is_brought_forward_with_all_it_holds(tmp_path: Path) -> None:
    """A later release adds its step, and only that."""
    old = connect(tmp_path / "records.db")
    salt = old.execute("SELECT value FROM meta").fetchall()
    old.close()
    new = connect(tmp_path / "records.db", LATER)
    assert new.execute("PRAGMA user_version").fetchone()[0] == len(LATER)
    assert "verdict" in columns(new)
    assert new.execute("SELECT value FROM meta").fetchall() == salt
    new.close()


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """With what can be done about it, and without a change."""
    connect(tmp_path / "records.db", LATER).close()
    with pytest.raises(ConfigError, match="use the newer release, or name another file"):
        connect(tmp_path / "records.db")


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    """Half of a migration is none."""
    path = tmp_path / "records.db"
    connect(path).close()
    with pytest.raises(ConfigError):
        connect(path, (*MIGRATIONS, "ALTER TABLE requests ADD COLUMN verdict TEXT; SELECT no_such_thing FROM nowhere"))
    db = connect(path)
    assert "verdict" not in columns(db)
    db.close()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file of something else is named and not touched."""
    path = tmp_path / "records.db"
    path.write_text("these are my notes" * 1000)
    with pytest.raises(ConfigError, match=r"records\.path: .* cannot be used"):
        connect(path)
    assert path.read_text().startswith("these are my notes")


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A file stands where a folder should be."""
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match=r"records\.path"):
        connect(tmp_path / "data" / "records.db")
