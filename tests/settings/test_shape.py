from __future__ import annotations

from app.settings.config import GatewayConfig
from app.settings.shape import places


def test_places_follow_what_is_written() -> None:
    """Names of backends and items of lists as the document has them, keys by the kind it names."""
    document = {"backends": {"a": {"kind": "ollama", "price": {"kind": "tokens"}}}, "keys": [{}]}
    found = set(places(GatewayConfig, document))
    assert {("server", "port"), ("backends", "a", "keep_alive"), ("keys", 0, "env")} <= found
    assert ("backends", "a", "price", "cached_input") in found
    assert ("backends", "a", "price", "watts") not in found
    assert ("backends", "a", "engine") not in found
    assert ("backends", "b") not in found


def test_without_a_kind_every_key_may_stand() -> None:
    """And a document of the wrong shape is no trouble."""
    assert ("backends", "a", "engine") in set(places(GatewayConfig, {"backends": {"a": {}}}))
    assert ("backends",) in set(places(GatewayConfig, {"backends": [1, 2]}))
    assert ("tiers", 1, "name") in set(places(GatewayConfig, {"tiers": [1, [2]]}))
