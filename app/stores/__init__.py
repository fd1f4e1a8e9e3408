"""Where what was seen is kept."""

from app.stores.sqlite import Keeping, SqliteRecords, Totals, read_totals

__all__ = ["Keeping", "SqliteRecords", "Totals", "read_totals"]
