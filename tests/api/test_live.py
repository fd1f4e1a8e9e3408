"""What the endpoints serve from."""

from __future__ import annotations

from tests.fakes import two_tiers


def test_ids() -> None:
    """Ids carry the process's prefix and never repeat."""
    site = two_tiers().site()
    ids = [site.new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(one.startswith("req-") for one in ids)
