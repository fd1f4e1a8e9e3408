"""From a checked config to what the endpoints serve from. The only place that joins the rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.api.auth import Key, Keyring, digest
from app.api.live import Live
from app.core.rules import header_names
from app.gateway import Gateway, Post, Routing
from app.gateway.books import Books
from app.main.keep import Keep
from app.ports import Observer, Router
from app.settings import GatewayConfig, secret

EMBEDDINGS = "embeddings"  # stands where a tier's name would: embeddings are outside of all tiers
Environ = Mapping[str, str]


def build(config: GatewayConfig, environ: Environ, keep: Keep, observers: Sequence[Observer]) -> Live:
    """Raises ConfigError if the router's artifact cannot be used."""
    router = keep.router(config.routing.router)
    posts = [_post(config, environ, keep, name, tier) for name, tier in config.tier_of().items()]
    keep.metrics.unpriced = {name for name, one in config.backends.items() if one.price.kind == "unpriced"}
    embeddings = _embeddings(config, environ, keep)
    everyone = [*posts, *([embeddings] if embeddings else [])]
    keep.money.keep(post.meter for post in everyone)
    keep.on_prices(post.price for post in everyone)
    keep.money.follow(config.baseline_to_core())
    keep.metrics.baseline = keep.money.baseline.name if keep.money.baseline else None
    gateway = Gateway(
        posts,
        _routing(config, router),
        router,
        observers,
        keep.now,
        keep.on_router_failure,
        embeddings=embeddings,
        books=_books(config, keep),
        sessions=keep.sessions,
    )
    return Live(
        gateway,
        _keyring(config, environ),
        int(config.server.max_body_mb * 1e6),
        config.routing.local_only,
        header_names(gateway.routing.rules),
    )


def _post(config: GatewayConfig, environ: Environ, keep: Keep, name: str, tier: str) -> Post:
    chosen = config.backends[name]
    backend = keep.backend(chosen.spec(name), chosen, environ)
    price = chosen.price.to_core()
    meter = keep.money.meter(backend.spec, tier, price)
    return Post(backend, tier, keep.slots.lane(backend.spec), price, meter, keep.rate(backend.spec))


def _embeddings(config: GatewayConfig, environ: Environ, keep: Keep) -> Post | None:
    """The same box as the backend it names, with another model: it shares that backend's slots."""
    wanted = config.embeddings
    if wanted is None:
        return None
    chosen = config.backends[wanted.backend]
    spec = chosen.spec(wanted.backend)
    backend = keep.backend(replace(spec, model=wanted.model, host=spec.identity), chosen, environ)
    price = chosen.price.to_core()
    meter = keep.money.meter(spec, EMBEDDINGS, price)
    return Post(backend, EMBEDDINGS, keep.slots.lane(spec), price, meter, keep.rate(backend.spec))


def _books(config: GatewayConfig, keep: Keep) -> Books:
    wanted = config.records if keep.records is not None else None
    return Books(
        utc=keep.money.clock.utc,
        baseline=keep.money.by_tokens,
        keep_text=wanted is not None and wanted.store_text,
        keep_local_text=wanted is not None and wanted.store_local_text,
        keep_vector=wanted is not None and wanted.store_features,
        keep_local_vector=wanted is not None and wanted.store_local_features,
    )


def _routing(config: GatewayConfig, router: Router) -> Routing:
    routing = config.routing
    threshold = routing.threshold
    if threshold is None:
        assert routing.llm_share is not None
        threshold = router.threshold(routing.llm_share)
    return Routing(
        tiers=tuple(tier.name for tier in config.tiers),
        threshold=threshold,
        default_tier=config.default_tier,
        unknown_models=routing.unknown_models,
        rules=config.rules(),
    )


def _keyring(config: GatewayConfig, environ: Environ) -> Keyring:
    keys = []
    for key in config.keys:
        value = secret(environ, key.env)
        if value is not None:
            keys.append(Key(key.name, digest(value), key.local_only, key.may_force_tier))
    admin_env = config.server.admin_key_env
    admin = secret(environ, admin_env) if admin_env else None
    return Keyring(tuple(keys), required=bool(config.keys), admin=digest(admin) if admin else None)
