"""The policy: from a request, its caller and a score to a plan, with the reason in one word.

What is said outright wins over what is guessed: an explicit model or tier first, then local-only, then what
a backend must be able to do, then the context window; only what is left open is decided by the score. Zone
is a filter on every step of the plan, so no fallback can leave it. Nothing here performs anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.core.chat import ChatRequest
from app.core.types import Caller, Candidate, Plan, Reason, Score, View
from app.errors import ContextTooLong, Forbidden, InvalidRequest, NoBackendAvailable, UnknownModel

AUTO = "auto"
# RouteLLM's spelling: router-<name>-<threshold>, for instance router-default-0.116
_ROUTELLM = re.compile(r"router-[\w.]+-(\d(?:\.\d+)?)\Z")


@dataclass(frozen=True, slots=True)
class Intent:
    """What the client asked for outright. All empty: the score decides, at `threshold`."""

    threshold: float
    tier: str | None = None
    model: str | None = None

    @property
    def open(self) -> bool:
        return self.tier is None and self.model is None


def intent(request: ChatRequest, caller: Caller, view: View) -> Intent:
    """Read the wish from header and model name. Raises Forbidden, UnknownModel, InvalidRequest."""
    model = request.model
    spelled = _ROUTELLM.match(model)
    threshold = float(spelled[1]) if spelled else view.threshold
    concrete = model if any(candidate.model == model for candidate in view.candidates) else None
    tier = _wished_tier(caller.tier, view) or (model if model in view.tiers else None)
    if (tier or concrete or spelled) and not caller.may_force_tier:  # a threshold of 0 or 1 is a tier, too
        raise Forbidden("This key may not choose a tier or model. Send model 'auto'.", param="model")
    if tier and concrete:
        return _agreed(tier, concrete, threshold, view)
    if not tier and not concrete and not spelled and model != AUTO and view.unknown_models == "reject":
        raise UnknownModel(
            f"The model '{model[:100]}' does not exist. GET /v1/models lists those that do.", param="model"
        )
    return Intent(threshold, tier, concrete)


def plan(request: ChatRequest, caller: Caller, wish: Intent, score: Score | None, view: View) -> Plan:
    """Raises InvalidRequest, ContextTooLong or NoBackendAvailable when no backend may serve the request."""
    preferred, reason = _preferred(wish, score, view)
    left = _named(wish, view.candidates)
    if not left:
        raise NoBackendAvailable("No backend is configured that may serve this request.")
    left, preferred, reason = _zone(caller, wish, left, preferred, reason, view)
    left, preferred, reason = _able(request, left, preferred, reason, view)
    left, preferred, reason = _fitting(request, left, preferred, reason, view)
    ordered = sorted(left, key=lambda one: (one.state == "down", one.step.tier != preferred))
    value = score.value if score else None
    return Plan(tuple(one.step for one in ordered), reason, value, wish.threshold if wish.open else None)


def _wished_tier(tier: str | None, view: View) -> str | None:
    if tier is None or tier in view.tiers:
        return tier
    names = ", ".join(view.tiers)
    raise InvalidRequest(f"There is no such tier. Use one of: {names}.", param="x-smallfirst-tier", code="unknown_tier")


def _agreed(tier: str, model: str, threshold: float, view: View) -> Intent:
    if any(one.model == model and one.step.tier == tier for one in view.candidates):
        return Intent(threshold, tier, model)
    raise InvalidRequest(
        f"The model '{model}' is not in tier '{tier}'. Drop the header x-smallfirst-tier or send model 'auto'.",
        param="model",
        code="tier_model_conflict",
    )


def _preferred(wish: Intent, score: Score | None, view: View) -> tuple[str | None, Reason]:
    if wish.model:
        return wish.tier, "explicit-model"
    if wish.tier:
        return wish.tier, "explicit-tier"
    if score is None:
        return view.default_tier, "router-unavailable"
    return view.tiers[-1 if score.value >= wish.threshold else 0], "score"


def _named(wish: Intent, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """A concrete model is a bypass: nothing else may answer in its name. A tier is a preference."""
    if wish.model is None:
        return candidates
    return tuple(one for one in candidates if one.model == wish.model and wish.tier in (None, one.step.tier))


def _zone(
    caller: Caller,
    wish: Intent,
    left: tuple[Candidate, ...],
    preferred: str | None,
    reason: Reason,
    view: View,
) -> tuple[tuple[Candidate, ...], str | None, Reason]:
    if not caller.local_only:
        return left, preferred, reason
    local = tuple(one for one in left if one.zone == "local")
    tiers = {one.step.tier for one in local}
    if not local or (wish.tier and wish.tier not in tiers):
        asked = wish.model or wish.tier
        what = f"'{asked}' is remote" if asked else "no local backend is configured"
        raise InvalidRequest(
            f"This request is local-only, but {what}. Ask for a local tier or model, or 'auto'.",
            param="model",
            code="local_only_conflict",
        )
    if wish.open and (len(tiers) == 1 < len(view.tiers) or preferred not in tiers):
        return local, preferred if preferred in tiers else local[0].step.tier, "local-only"
    return local, preferred, reason


def _able(
    request: ChatRequest, left: tuple[Candidate, ...], preferred: str | None, reason: Reason, view: View
) -> tuple[tuple[Candidate, ...], str | None, Reason]:
    if not request.needs:
        return left, preferred, reason
    able = tuple(one for one in left if request.needs <= one.has)
    if not able:
        lacking = min((request.needs - one.has for one in left), key=len)
        names = ", ".join(sorted(lacking))
        raise InvalidRequest(
            f"No backend that may serve this request supports: {names}. "
            "Leave it out, or configure a backend that has it.",
            param=_param_of(min(lacking)),
            code="unsupported_capability",
        )
    return able, *_moved(able, preferred, reason, "capability")


def _fitting(
    request: ChatRequest, left: tuple[Candidate, ...], preferred: str | None, reason: Reason, view: View
) -> tuple[tuple[Candidate, ...], str | None, Reason]:
    fits = _fits(request)
    fitting = tuple(one for one in left if fits(one.context_window))
    if not fitting:
        largest = max(one.context_window or 0 for one in left)
        raise ContextTooLong(
            f"This model's maximum context length is {largest} tokens. Your prompt is estimated at "
            f"{request.estimated_tokens()} tokens. Shorten the messages.",
            param="messages" if request.api == "chat" else "prompt",
        )
    return fitting, *_moved(fitting, preferred, reason, "context-window")


def _fits(request: ChatRequest) -> Callable[[int | None], bool]:
    """Small bodies fit without counting: a token is at least one byte of the body."""
    estimate: list[int] = []

    def fits(window: int | None) -> bool:
        if window is None or request.size + request.max_output < window:
            return True
        if not estimate:
            estimate.append(request.estimated_tokens())
        return estimate[0] < window

    return fits


def _moved(
    left: tuple[Candidate, ...], preferred: str | None, reason: Reason, why: Reason
) -> tuple[str | None, Reason]:
    if preferred is None or any(one.step.tier == preferred for one in left):
        return preferred, reason
    return left[0].step.tier, why


def _param_of(need: str) -> str:
    if need.startswith("json_") or need == "tools_with_format":
        return "response_format"
    return {
        "vision": "messages",
        "vision_url": "messages",
        "audio": "messages",
        "token_prompt": "prompt",
        "prompt_list": "prompt",
    }.get(need, need.split(".")[0])
