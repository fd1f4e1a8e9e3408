"""How lanes and backends stand at the moment of a scrape."""

from __future__ import annotations

from app.core.prices import kinds
from app.gateway import Gateway, Post
from app.main.keep import Keep
from app.telemetry.metrics import BackendNow, LaneNow, Now


def snapshot(gateway: Gateway, llm_share: float | None, keep: Keep) -> Now:
    """`llm_share` None: the threshold is fixed by the config."""
    posts = gateway.all_posts()
    lanes: dict[int, LaneNow] = {}
    for post in posts:  # the first on a lane names it; the embedding backend comes last and shares another's
        lanes.setdefault(id(post.lane), _lane(post))
    backends: dict[str, BackendNow] = {}
    for post in posts:
        name = post.backend.spec.name
        tiers = (*backends[name].tiers, post.tier) if name in backends else (post.tier,)
        backends[name] = BackendNow(name, tiers, post.backend.facts.state, kinds(post.price))
    return Now(
        router=f"{gateway.router.name} {gateway.router.version}",
        threshold=gateway.routing.threshold,
        llm_share=llm_share,
        lanes=tuple(lanes.values()),
        backends=tuple(backends.values()),
        log_dropped=keep.log.dropped,
        records_dropped=keep.records.dropped if keep.records else 0,
    )


def _lane(post: Post) -> LaneNow:
    spec, lane = post.backend.spec, post.lane
    return LaneNow(spec.host or spec.name, lane.inflight, len(lane.waiting), lane.slots, lane.queue)
