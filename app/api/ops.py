"""Everything that is not hot: models, the decision alone, health, readiness, metrics.

Plain FastAPI. `/metrics` and the details of `/ready` are for the admin key, or for this machine only when
the server is bound to loopback.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from app import __version__
from app.api import incoming
from app.api.auth import is_loopback_host
from app.api.live import Site
from app.core.chat import ChatRequest
from app.core.policy import AUTO
from app.errors import Forbidden, UnknownModel

CREATED = 1767225600  # models have no birthday here; a constant keeps lists comparable


def routes(site: Site) -> APIRouter:
    """All endpoints of this file, with and without the `/v1` prefix where OpenAI has one."""
    router = APIRouter()

    async def root() -> dict[str, str]:
        return {"name": "smallfirst", "version": __version__}

    async def health() -> dict[str, str]:
        return {"status": "ok"}

    async def ready(request: Request, response: Response) -> dict[str, Any]:
        problem = _not_ready(site)
        if problem is not None:
            response.status_code = 503
        body: dict[str, Any] = {"status": problem or "ready"}
        if _is_admin(site, request):
            body |= _details(site)
        return body

    async def metrics(request: Request) -> Response:
        if not _is_admin(site, request):
            raise Forbidden("Metrics want the admin key (server.admin_key_env), or a loopback address.")
        text = await asyncio.to_thread(site.render_metrics)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def models(request: Request) -> dict[str, Any]:
        site.live.keys.find(_headers(request))
        return {"object": "list", "data": [_card(name, owner) for name, owner in _models(site).items()]}

    async def model(request: Request, model_id: str) -> dict[str, Any]:
        site.live.keys.find(_headers(request))
        owner = _models(site).get(model_id)
        if owner is None:
            raise UnknownModel(f"The model '{model_id[:100]}' does not exist. GET /v1/models lists those that do.")
        return _card(model_id, owner)

    async def route(request: Request) -> dict[str, Any]:
        return await _decision(site, request)

    router.add_api_route("/", root, methods=["GET"], summary="Name and version")
    router.add_api_route("/", root, methods=["HEAD"], include_in_schema=False)
    router.add_api_route("/health", health, methods=["GET"], summary="Is the process alive?")
    router.add_api_route("/ready", ready, methods=["GET"], summary="Can it serve?")
    router.add_api_route("/metrics", metrics, methods=["GET"], summary="Prometheus metrics")
    for prefix, shown in (("/v1", True), ("", False)):
        router.add_api_route(f"{prefix}/models", models, methods=["GET"], include_in_schema=shown)
        router.add_api_route(f"{prefix}/models/{{model_id:path}}", model, methods=["GET"], include_in_schema=shown)
        router.add_api_route(f"{prefix}/route", route, methods=["POST"], include_in_schema=shown)
    return router


def _headers(request: Request) -> incoming.RawHeaders:
    return incoming.headers(request.scope)


def _is_admin(site: Site, request: Request) -> bool:
    headers = _headers(request)
    return (site.loopback and is_loopback_host(headers)) or site.live.keys.is_admin(headers)


def _not_ready(site: Site) -> str | None:
    if site.draining:
        return "draining"
    posts = site.live.gateway.posts.values()
    return None if any(post.backend.facts.state != "down" for post in posts) else "no backend is usable"


def _details(site: Site) -> dict[str, Any]:
    gateway = site.live.gateway
    backends = {}
    for name, post in gateway.posts.items():
        facts, lane = post.backend.facts, post.lane
        backends[name] = {
            "tier": post.tier,
            "state": facts.state,
            "problem": facts.problem,
            "context_window": post.backend.spec.context_window or facts.context_window,
            "inflight": lane.inflight,
            "queued": len(lane.waiting),
            "slots": lane.slots,
        }
    return {
        "version": __version__,
        "router": f"{gateway.router.name} {gateway.router.version}",
        "threshold": gateway.routing.threshold,
        "config_error": site.reload_error,
        "backends": backends,
    }


def _models(site: Site) -> dict[str, str]:
    """Every name that `model` may take, and who owns it; that of embeddings last."""
    gateway = site.live.gateway
    names = {AUTO: "smallfirst"} | dict.fromkeys(gateway.routing.tiers, "smallfirst")
    for post in gateway.all_posts():
        names.setdefault(post.backend.spec.model, post.backend.spec.name)
    return names


def _card(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": owner}


async def _decision(site: Site, request: Request) -> dict[str, Any]:
    live, headers = site.live, _headers(request)
    request_id = incoming.request_id(headers) or site.new_id()
    caller = incoming.caller(headers, live, request_id, site.now(), request.scope["headers"])
    chat: ChatRequest = incoming.parse("chat", await incoming.body(headers, request.receive, live.max_body))
    gateway = live.gateway
    plan = gateway.decide(chat, caller)
    post = gateway.posts[plan.steps[0].backend]
    first = post.backend.spec
    score, contributions = gateway.explain(chat)
    return {
        "tier": plan.steps[0].tier,
        "model": first.model,
        "backend": first.name,
        "score": score,  # shown even where it did not decide
        "threshold": gateway.routing.threshold if plan.threshold is None else plan.threshold,
        "reason": plan.reason,
        "rule": plan.rule,
        "estimate": round(chat.estimated_tokens() * post.candidate().token_rate),  # prompt tokens at that backend
        "needs": sorted(chat.needs),
        "fallbacks": [step.backend for step in plan.steps[1:]],
        "router": f"{gateway.router.name} {gateway.router.version}",
        "contributions": [{"feature": name, "value": value} for name, value in contributions],
    }
