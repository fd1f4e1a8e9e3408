"""What a scrape sees of lanes and backends."""

from __future__ import annotations

from app.core.types import Facts
from app.main.build import build
from app.main.snapshot import snapshot
from tests.main.parts import ENVIRON, TWO_TIERS, config_of, keep


async def test_lanes_and_states_as_they_stand() -> None:
    """One line a lane, though two posts share it; every backend with its tiers and its state."""
    parts, _ = keep()
    text = TWO_TIERS + "embeddings: {backend: small, model: nomic}\n"
    gateway = build(config_of(text), ENVIRON, parts, ()).gateway
    gateway.posts["small"].lane.inflight = 1
    gateway.posts["large"].backend.facts = Facts("ready")
    parts.log.dropped = 3
    now = snapshot(gateway, 0.05, parts)
    assert [(lane.backend, lane.inflight) for lane in now.lanes] == [("small", 1), ("large", 0)]
    assert [(lane.slots, lane.queue) for lane in now.lanes] == [(1, 4), (32, 64)]
    assert [(one.name, one.tiers) for one in now.backends] == [("small", ("slm", "embeddings")), ("large", ("llm",))]
    assert (now.llm_share, now.log_dropped) == (0.05, 3)
    assert "trained" in now.router
    assert b'smallfirst_backend_inflight{backend="small"} 1.0' in parts.metrics.render(now)
