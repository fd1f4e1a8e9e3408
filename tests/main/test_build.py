"""From a config to what is served: tiers, threshold, keys, embeddings."""

from __future__ import annotations

import pytest

from app.core.types import BackendSpec
from app.errors import ConfigError, Unauthenticated
from app.main.build import EMBEDDINGS, build
from tests.main.parts import ENVIRON, TWO_TIERS, config_of, keep


async def test_tiers_and_threshold_come_from_the_config() -> None:
    """The threshold is the router's for the share that was asked for."""
    parts, _ = keep()
    gateway = build(config_of(), ENVIRON, parts, ()).gateway
    assert gateway.routing.tiers == ("slm", "llm")
    assert gateway.routing.default_tier == "slm"
    assert gateway.routing.threshold == gateway.router.threshold(0.05)
    assert [post.tier for post in gateway.all_posts()] == ["slm", "llm"]


async def test_a_fixed_threshold_is_taken_as_it_is() -> None:
    """No calibration stands between the operator and the number."""
    parts, _ = keep()
    config = config_of(TWO_TIERS + "routing: {threshold: 0.73}\n")
    assert build(config, ENVIRON, parts, ()).gateway.routing.threshold == 0.73


async def test_embeddings_share_the_slots_of_their_backend() -> None:
    """Another model on the same box: its own adapter, the same lane, no tier."""
    parts, _ = keep()
    gateway = build(config_of(TWO_TIERS + "embeddings: {backend: small, model: nomic}\n"), ENVIRON, parts, ()).gateway
    assert gateway.embeddings is not None
    assert gateway.embeddings.tier == EMBEDDINGS
    assert gateway.embeddings.backend.spec.model == "nomic"
    assert gateway.embeddings.lane is gateway.posts["small"].lane


async def test_keys_are_known_by_their_digest() -> None:
    """The right key opens, another does not, and one whose variable is empty opens nothing."""
    parts, _ = keep()
    config = config_of(TWO_TIERS + "keys: [{name: app, env: APP_KEY, local_only: true}, {name: gone, env: GONE}]\n")
    keys = build(config, {**ENVIRON, "APP_KEY": "right"}, parts, ()).keys
    found = keys.find({b"authorization": b"Bearer right"})
    assert found is not None
    assert (found.name, found.local_only) == ("app", True)
    for wrong in (b"Bearer wrong", b"Bearer "):
        with pytest.raises(Unauthenticated):
            keys.find({b"authorization": wrong})


async def test_a_router_that_cannot_be_loaded_is_a_config_error() -> None:
    """It is told at start, not with the first request."""
    parts, _ = keep()
    with pytest.raises(ConfigError):
        build(config_of(TWO_TIERS + "routing: {router: /nowhere}\n"), ENVIRON, parts, ())


async def test_unpriced_backends_are_known_to_the_metrics() -> None:
    """So that their attempts are counted as such, never as costing nothing."""
    parts, _ = keep()
    gateway = build(config_of(), ENVIRON, parts, ()).gateway
    assert parts.metrics.unpriced == {"small"}
    assert isinstance(gateway.posts["large"].backend.spec, BackendSpec)
