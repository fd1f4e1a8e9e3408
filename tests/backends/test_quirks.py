"""The table itself: what it claims must be consistent."""

from __future__ import annotations

import pytest

from app.backends.quirks import BY_KIND, EVERYTHING


@pytest.mark.parametrize("kind", BY_KIND)
def test_claims_agree_with_each_other(kind: str) -> None:
    """Nothing is both accepted and dropped; who ignores tool_choice claims of it only what is emulated."""
    quirks = BY_KIND[kind]
    assert quirks.has <= EVERYTHING
    assert not quirks.ignored & quirks.dropped
    if quirks.tool_choice == "none":
        assert "tool_choice.required" not in quirks.has
        assert ("tool_choice.named" in quirks.has) == (quirks.formats != "none")
    if quirks.accepted is not None:
        assert quirks.ignored <= quirks.accepted
        assert quirks.off.keys() | quirks.low.keys() <= quirks.accepted
    assert not (quirks.off.keys() | quirks.low.keys()) & (quirks.ignored | quirks.dropped)


def test_openai_is_the_norm() -> None:
    """Any compatible server is taken at its word."""
    assert BY_KIND["openai"].has == EVERYTHING
    assert not BY_KIND["openai"].ignored
