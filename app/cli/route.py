"""`smallfirst route`: where would this request go, and why? The decision alone; no model is asked.

Backends are taken as the config and the tables of their kinds state them (nothing is probed), so what only a
probe teaches, such as a context window, is unknown here. Nobody's key asks, without headers, so rules about keys
and headers do not hold.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from app.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    from app.core.chat import ChatRequest
    from app.core.types import Caller, Plan, View
    from app.ports import Router
    from app.settings import GatewayConfig

TOP = 5  # contributions shown

# A fresh machine has no config, yet `smallfirst route "..."` should answer: the two tiers everything starts from.
_BUILT_IN = """
backends:
  small: {kind: ollama, zone: local, base_url: "http://127.0.0.1:11434", model: "qwen3:4b", price: {kind: unpriced}}
  large: {kind: openai, zone: remote, base_url: "http://127.0.0.1:8000", model: large, price: {kind: unpriced}}
tiers:
  - {name: slm, backends: [small]}
  - {name: llm, backends: [large]}
"""


def route(
    text: Annotated[str | None, typer.Argument(help="One user message.")] = None,
    request: Annotated[
        Path | None, typer.Option("--request", "-r", help="A chat request as JSON; - reads stdin.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The config; by default ./config/gateway.yaml.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show which tier a request would go to and why, without calling a model."""
    from app.cli.sources import named_source
    from app.core.types import Caller
    from app.routers import load_router
    from app.settings import Source

    source = named_source(config, os.environ) or Source(None, os.environ, _BUILT_IN)
    loaded = source.load().config
    router = load_router(loaded.routing.router)
    caller = Caller(request_id="route", local_only=loaded.routing.local_only)
    try:
        decision = decide(_request(text, request), caller, loaded, router)
    except GatewayError as error:
        _refused(error, as_json)
    print(json.dumps(decision, ensure_ascii=False) if as_json else _told(decision, source.name))


def decide(request: ChatRequest, caller: Caller, config: GatewayConfig, router: Router) -> dict[str, Any]:
    """The decision as JSON-ready values. Raises GatewayError when no backend may serve the request."""
    from app.core import policy

    view = _view(config, router)
    wish = policy.intent(request, caller, view)
    score = router.score(request) if wish.open else None
    plan = policy.plan(request, caller, wish, score, view)
    return _shown(request, plan, view, router.explain(request) if score else [])


def _view(config: GatewayConfig, router: Router) -> View:
    from app.backends.quirks import BY_KIND
    from app.core.types import Candidate, Step, View

    specs = {spec.name: spec for spec in config.backend_specs()}
    share = config.routing.llm_share
    threshold = config.routing.threshold if share is None else router.threshold(share)
    assert threshold is not None
    return View(
        tiers=tuple(tier.name for tier in config.tiers),
        candidates=tuple(
            Candidate(
                step=Step(name, tier),
                zone=specs[name].zone,
                model=specs[name].model,
                has=BY_KIND[config.backends[name].speaks].has,
                context_window=specs[name].context_window,
                state="unknown",
            )
            for name, tier in config.tier_of().items()
        ),
        threshold=threshold,
        default_tier=config.default_tier,
        unknown_models=config.routing.unknown_models,
        rules=config.rules(),
    )


def _shown(request: ChatRequest, plan: Plan, view: View, contributions: list[tuple[str, float]]) -> dict[str, Any]:
    models = {one.step.backend: one.model for one in view.candidates}
    first, *others = plan.steps
    strongest = sorted(contributions, key=lambda one: -abs(one[1]))[:TOP]
    return {
        "tier": first.tier,
        "model": models[first.backend],
        "backend": first.backend,
        "score": plan.score,
        "threshold": plan.threshold,
        "reason": plan.reason,
        "rule": plan.rule,
        "estimate": request.estimated_tokens(),
        "needs": sorted(request.needs),
        "fallbacks": [step.backend for step in others],
        "contributions": [{"name": name, "value": round(value, 4)} for name, value in strongest],
    }


def _told(decision: dict[str, Any], source: str) -> str:
    reason, rule, needs = decision["reason"], decision["rule"], decision["needs"]
    by = f", rule: {rule}" if rule else ""
    lines = [f"{decision['tier']}: {decision['model']} on {decision['backend']} (reason: {reason}{by})"]
    if decision["score"] is not None:
        sign = ">=" if decision["score"] >= decision["threshold"] else "<"
        lines.append(f"score {decision['score']:.4f} {sign} threshold {decision['threshold']:.4f}")
    asks = f", asks for {', '.join(needs)}" if needs else ""
    lines.append(f"about {decision['estimate']} prompt tokens{asks}")
    lines += [f"  {one['value']:+.3f}  {one['name']}" for one in decision["contributions"]]
    if decision["fallbacks"]:
        lines.append(f"if it fails: {', '.join(decision['fallbacks'])}")
    return "\n".join([*lines, f"decided under {source}"])


def _request(text: str | None, file: Path | None) -> ChatRequest:
    from app.core.chat import ChatRequest

    if (text is None) == (file is None):
        raise typer.BadParameter("give a text or --request FILE, one of them")
    if file is None:
        body: Any = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        return ChatRequest("chat", body, len(json.dumps(body)))
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return ChatRequest("chat", json.loads(raw), len(raw))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{file}: not JSON") from None


def _refused(error: GatewayError, as_json: bool) -> NoReturn:
    if as_json:
        print(json.dumps({"error": {"message": error.message, "code": error.code, "status": error.status}}))
    else:
        print(f"refused with {error.status}: {error.message}", file=sys.stderr)
    raise typer.Exit(1)
