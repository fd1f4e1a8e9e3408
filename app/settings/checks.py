"""What no single field can know: names that must exist, agree or differ, and what privacy forbids."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from app.core.policy import ROUTELLM
from app.core.prices import TimePrice
from app.settings.backends import STARTED_AT, Ollama, Startable
from app.settings.config import GatewayConfig
from app.settings.fields import is_loopback
from app.settings.problems import Problem, suggestion

_SAME_HOST = "must be the same as of '{}', which runs on the same host"
_CLOUD = re.compile(r"(?:-|:)cloud\Z")


def cross_checks(config: GatewayConfig) -> Iterator[Problem]:
    yield from _reach(config)
    yield from _secrets(config)
    yield from _tiers(config)
    yield from _tier_names(config)
    yield from _rules(config)
    yield from _hosts(config)
    yield from _cloud(config)
    yield from _started(config)
    yield from _embeddings(config)


def _reach(config: GatewayConfig) -> Iterator[Problem]:
    if config.auth == "none" and config.keys:
        yield Problem(("auth",), "'none' contradicts keys; drop one of the two")
    if config.auth == "keys" and not config.keys and not config.server.loopback:
        yield Problem(
            ("server", "host"),
            "without keys only this machine may ask; add keys, or use 127.0.0.1, "
            "or write 'auth: none' if everybody who can reach it may use it",
        )


def _secrets(config: GatewayConfig) -> Iterator[Problem]:
    for name in _twice(key.name for key in config.keys):
        yield Problem(("keys",), f"two keys are named '{name}'")
    variables = [key.env for key in config.keys]
    if config.server.admin_key_env:
        variables.append(config.server.admin_key_env)
    for name in _twice(variables):
        yield Problem(("keys",), f"the variable {name} is used for two keys; give each its own")


def _tiers(config: GatewayConfig) -> Iterator[Problem]:
    for index, tier in enumerate(config.tiers):
        for name in tier.backends:
            if name not in config.backends:
                hint = suggestion(name, config.backends)
                yield Problem(("tiers", index, "backends"), f"there is no backend '{name}'{hint}")
    for name in _twice(name for tier in config.tiers for name in tier.backends):
        yield Problem(("tiers",), f"the backend '{name}' stands in the tiers twice; it can be in one, once")
    names = [tier.name for tier in config.tiers]
    for path, wanted in (
        (("routing", "default_tier"), config.routing.default_tier),
        (("baseline", "tier"), config.baseline.tier),
    ):
        if wanted is not None and wanted not in names:
            yield Problem(path, f"there is no tier '{wanted}'{suggestion(wanted, names)}")


def _tier_names(config: GatewayConfig) -> Iterator[Problem]:
    models = {backend.model for backend in config.backends.values()}
    for name in _twice(tier.name for tier in config.tiers):
        yield Problem(("tiers",), f"two tiers are named '{name}'")
    for index, tier in enumerate(config.tiers):
        if tier.name == "auto" or ROUTELLM.match(tier.name):
            yield Problem(("tiers", index, "name"), f"'{tier.name}' asks for routing; take another name")
        if tier.name in models:
            yield Problem(("tiers", index, "name"), f"'{tier.name}' is also a model's id; take another name")


def _rules(config: GatewayConfig) -> Iterator[Problem]:
    rules, local = config.routing.rules, _local_tiers(config)
    for name in _twice(rule.name for rule in rules):
        yield Problem(("routing", "rules"), f"two rules are named '{name}'")
    for index, rule in enumerate(rules):
        at, tier = ("routing", "rules", index), rule.then.tier
        tiers, keys = [one.name for one in config.tiers], [key.name for key in config.keys]
        if tier is not None and tier not in tiers:
            yield Problem((*at, "then", "tier"), f"there is no tier '{tier}'{suggestion(tier, tiers)}")
        elif rule.then.local_only and tier is not None and tier not in local:
            yield Problem((*at, "then"), f"the tier '{tier}' has no local backend, so it cannot be local-only")
        if rule.then.local_only and not local:
            yield Problem((*at, "then", "local_only"), "no backend of a tier is in zone local, so all would be refused")
        for key in rule.when.key or ():
            if key not in keys:
                yield Problem((*at, "when", "key"), f"there is no key '{key}'{suggestion(key, keys)}")


def _local_tiers(config: GatewayConfig) -> set[str]:
    zones = {spec.name: spec.zone for spec in config.backend_specs()}
    return {tier for name, tier in config.tier_of().items() if zones.get(name) == "local"}


def _hosts(config: GatewayConfig) -> Iterator[Problem]:
    """Slots belong to the host (or, without one, to address and model): who shares them must agree on them."""
    specs = sorted(config.backend_specs(), key=lambda spec: spec.identity)
    for _, sharing in itertools.groupby(specs, key=lambda spec: spec.identity):
        first, *others = sharing
        for other in others:
            for key in ("capacity", "zone"):
                if getattr(first, key) != getattr(other, key):
                    yield Problem(("backends", other.name, key), _SAME_HOST.format(first.name))
        yield from _one_meter(config, [first.name, *(other.name for other in others)])


def _one_meter(config: GatewayConfig, sharing: list[str]) -> Iterator[Problem]:
    """A host's time is paid once, so those who have a price for it must have the same."""
    priced = [(name, config.backends[name].price.to_core()) for name in sharing]
    timed = [(name, price.id) for name, price in priced if isinstance(price, TimePrice)]
    for name, other in timed[1:]:
        if other != timed[0][1]:
            yield Problem(("backends", name, "price"), _SAME_HOST.format(timed[0][0]))


def _cloud(config: GatewayConfig) -> Iterator[Problem]:
    cure = "is served from its maker's cloud, so its zone is remote"
    for name, backend in config.backends.items():
        if isinstance(backend, Ollama) and backend.zone == "local" and _CLOUD.search(backend.model):
            yield Problem(("backends", name, "zone"), f"'{backend.model}' {cure}")
    embeddings = config.embeddings
    behind = config.backends.get(embeddings.backend) if embeddings else None
    if embeddings and isinstance(behind, Ollama) and behind.zone == "local" and _CLOUD.search(embeddings.model):
        yield Problem(("embeddings", "model"), f"'{embeddings.model}' {cure}; the backend is local")


def _started(config: GatewayConfig) -> Iterator[Problem]:
    """A server that we start listens on this machine, alone at its port, and reads no more than it is started for."""
    taken = {config.server.port: "the gateway listens"}
    for name, backend, server in config.started():
        at, port = ("backends", name), _loopback_port(backend.base_url)
        if backend.zone != "local":
            yield Problem((*at, "zone"), "must be local: what `start` starts runs on this machine")
        if port is None:
            yield Problem((*at, "base_url"), f"must be a loopback address with a port, like {STARTED_AT}: see `start`")
        elif port in taken:
            yield Problem((*at, "base_url"), f"{taken[port]} at this port already; write another port")
        else:
            taken[port] = f"'{name}' is started"
        if (backend.context_window or 0) > server.context:
            yield Problem((*at, "context_window"), "is more than start.llama_server.context; write that larger")


def _loopback_port(url: str) -> int | None:
    """None where no server of this machine can be started."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.path or not is_loopback(parts.hostname or ""):
        return None
    return parts.port or None


def _embeddings(config: GatewayConfig) -> Iterator[Problem]:
    if config.embeddings is None:
        return
    name = config.embeddings.backend
    backend = config.backends.get(name)
    if backend is None:
        hint = suggestion(name, config.backends)
        yield Problem(("embeddings", "backend"), f"there is no backend '{name}'{hint}")
    elif isinstance(backend, Startable) and backend.start:
        yield Problem(("embeddings", "backend"), f"'{name}' is started for chat; add a backend for embeddings")
    elif not backend.embeds:
        yield Problem(("embeddings", "backend"), f"'{name}' has no embeddings API ({backend.kind})")


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
