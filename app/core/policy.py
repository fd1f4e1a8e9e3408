"""The policy: from a request, its caller and a score to a plan, with the reason in one word.

What is said outright wins over what is guessed: an explicit model or tier first, then local-only, then the rules
of the config, then what a backend must be able to do, then the context window; only what is left open is decided by
the score. Zone is a filter on every step of the plan, so no fallback can leave it. Nothing here performs anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from app.core.chat import ChatRequest
from app.core.rules import NOTHING, Ruling, judge
from app.core.types import Caller, Candidate, Plan, Reason, Score, View
from app.errors import ContextTooLong, Forbidden, InvalidRequest, NoBackendAvailable, UnknownModel

AUTO = "auto"
# RouteLLM's spelling: router-<name>-<threshold>, for instance router-mf-0.116. Its clients name a router of theirs
# (mf, bert, sw_ranking, ...); whichever they name, the one that is loaded here scores.
ROUTELLM = re.compile(r"router-[\w.][\w.-]*-(\d(?:\.\d+)?)\Z")


@dataclass(frozen=True, slots=True)
class Intent:
    """What the client asked for outright, and what the rules say to it. All empty: the score decides, at `threshold`.

    `local_only` whoever says it: header, key, session, config or a rule.
    """

    threshold: float
    tier: str | None = None
    model: str | None = None
    local_only: bool = False
    ruling: Ruling = NOTHING

    @property
    def free(self) -> bool:
        """Did the client leave the choice to us?"""
        return self.tier is None and self.model is None

    @property
    def open(self) -> bool:
        """Is it for the score to decide?"""
        return self.free and self.ruling.tier is None


def intent(request: ChatRequest, caller: Caller, view: View) -> Intent:
    """Read the wish from header and model name, and the rules. Raises Forbidden, UnknownModel, InvalidRequest."""
    wish = _wish(request, caller, view)
    ruling = judge(view.rules, request, caller)
    if ruling is NOTHING and not caller.local_only:
        return wish
    local_only = caller.local_only or ruling.keeps_local is not None
    return replace(wish, local_only=local_only, ruling=ruling)


def _wish(request: ChatRequest, caller: Caller, view: View) -> Intent:
    model = request.model
    spelled = ROUTELLM.match(model)
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
    rule = wish.ruling.rule if reason == "rule" else wish.ruling.keeps_local
    return Plan(
        steps=tuple(one.step for one in ordered),
        reason=reason,
        score=value,
        threshold=wish.threshold if wish.open else None,
        rule=rule,
        local_only=caller.local_only or wish.local_only,
    )


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
    if wish.ruling.tier:
        return wish.ruling.tier, "rule"
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
    if not (caller.local_only or wish.local_only):
        return left, preferred, reason
    local = tuple(one for one in left if one.zone == "local")
    tiers = {one.step.tier for one in local}
    if not local or (wish.tier and wish.tier not in tiers):
        asked = wish.model or wish.tier
        what = f"'{asked}' is remote" if asked else "no local backend is configured"
        by = f" by the rule '{wish.ruling.keeps_local}'" if wish.ruling.keeps_local else ""
        raise InvalidRequest(
            f"This request is local-only{by}, but {what}. Ask for a local tier or model, or 'auto'.",
            param="model",
            code="local_only_conflict",
        )
    if wish.free and (len(tiers) == 1 < len(view.tiers) or preferred not in tiers):
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
    fitting = tuple(one for one in left if _fits(request, one))
    if not fitting:
        largest = max(left, key=lambda one: (one.context_window or 0) / one.token_rate)
        raise ContextTooLong(
            f"This model's maximum context length is {largest.context_window} tokens. Your prompt is estimated at "
            f"{_tokens(request, largest)} tokens. Shorten the messages.",
            param="messages" if request.api == "chat" else "prompt",
        )
    return fitting, *_moved(fitting, preferred, reason, "context-window")


def _fits(request: ChatRequest, one: Candidate) -> bool:
    """Small bodies fit without counting: a token is at least one byte of the body."""
    window = one.context_window
    return window is None or request.size + request.max_output < window or _tokens(request, one) < window


def _tokens(request: ChatRequest, one: Candidate) -> int:
    return round(request.estimated_tokens() * one.token_rate)


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
