"""Rules of the config: what the operator has decided beforehand, read before anything is scored.

All conditions of a rule must hold. The first rule that holds and names a tier chooses it; every rule that holds
and says local-only keeps the request local, whatever its place. Content is all text that leaves with the request,
not only the last message: system prompt, earlier turns, tools, their arguments and results. Without rules nothing
is read, and the text only when a rule that could still change something asks about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.core.chat import ChatRequest
from app.core.fold import fold
from app.core.types import Caller

_MODEL = 200  # characters of a model's name that are looked at: no real one is longer


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold, and what follows. An empty condition always holds.

    One of `keys`, one of `models`, all of `headers` (names in lower case, and what the whole value must be), and
    one of `patterns` (over folded text) or `regexes` (over the text as it is, and folded).
    """

    name: str
    keys: frozenset[str] = frozenset()
    headers: tuple[tuple[str, re.Pattern[str]], ...] = ()
    models: tuple[re.Pattern[str], ...] = ()
    patterns: tuple[Callable[[str], bool], ...] = ()
    regexes: tuple[re.Pattern[str], ...] = ()
    tier: str | None = None
    local_only: bool = False


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say. `rule` is the one that named the tier, `keeps_local` the first that says local-only."""

    tier: str | None = None
    rule: str | None = None
    keeps_local: str | None = None


NOTHING = Ruling()


def judge(rules: Sequence[Rule], request: ChatRequest, caller: Caller) -> Ruling:
    """What the rules say about one request."""
    if not rules:
        return NOTHING
    ruling, text = NOTHING, _Text(request)
    for rule in rules:
        tier = rule.tier if ruling.tier is None else None
        local = rule.local_only and ruling.keeps_local is None
        if (tier or local) and _holds(rule, request, caller, text):
            ruling = Ruling(
                tier or ruling.tier,
                rule.name if tier else ruling.rule,
                rule.name if local else ruling.keeps_local,
            )
    return ruling


def header_names(rules: Sequence[Rule]) -> frozenset[bytes]:
    """Of the headers that any rule asks about."""
    return frozenset(name.encode() for rule in rules for name, _ in rule.headers)


def heard(names: frozenset[bytes], headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """For `Caller.headers`: those of `names` that were sent. One that comes twice is heard twice."""
    return tuple((name.decode(), value.decode("latin-1")) for name, value in headers if name in names)


def glob(pattern: str) -> re.Pattern[str]:
    """A name in which `*` stands for anything and `?` for one character.

    What stands between two stars is taken where it is first found and never given back (atomic groups): that finds
    all there is to find and cannot try the stars against each other.
    """
    first, *others = ["".join("." if one == "?" else re.escape(one) for one in part) for part in pattern.split("*")]
    between = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(first + between + "".join(f".*{part}" for part in others[-1:]), re.DOTALL)


class _Text:
    """The text of a request, made when it is first asked for."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request

    @cached_property
    def plain(self) -> str:
        return "\n".join(texts(self._request.body))

    @cached_property
    def folded(self) -> str:
        return fold(self.plain)


def _holds(rule: Rule, request: ChatRequest, caller: Caller, text: _Text) -> bool:
    if rule.keys and caller.key not in rule.keys:
        return False
    if rule.models and not any(model.fullmatch(request.model[:_MODEL]) for model in rule.models):
        return False
    if not all(_was_sent(name, wanted, caller) for name, wanted in rule.headers):
        return False
    return not (rule.patterns or rule.regexes) or _speaks_of(rule, text)


def _was_sent(name: str, wanted: re.Pattern[str], caller: Caller) -> bool:
    return any(sent == name and wanted.fullmatch(value) for sent, value in caller.headers)


def _speaks_of(rule: Rule, text: _Text) -> bool:
    if any(has(text.folded) for has in rule.patterns):
        return True
    spellings = dict.fromkeys((text.plain, text.folded)) if rule.regexes else ()
    return any(regex.search(spelling) for regex in rule.regexes for spelling in spellings)


# --- text ---------------------------------------------------------------------------------------------------

_MEDIA = frozenset({"image_url", "input_image", "input_audio", "audio", "file", "video_url"})
# The API's own words, by the field whose objects have them: under such a name elsewhere stands somebody's data.
_LABELS: Mapping[str, frozenset[str]] = {
    "": frozenset({"model", "type"}),
    "messages": frozenset({"role", "type", "id", "tool_call_id"}),
    "content": frozenset({"type"}),
    "tools": frozenset({"type"}),
    "tool_choice": frozenset({"type"}),
    "tool_calls": frozenset({"type", "id"}),
    "response_format": frozenset({"type"}),
}
_NONE: frozenset[str] = frozenset()


def texts(body: Mapping[str, Any]) -> Iterator[str]:
    """Every string of a body that says something, in no promised order; media and labels of the API are none.

    It does not recurse, so deep nesting cannot hurt.
    """
    left: list[tuple[str, Any]] = [("", body)]  # each with the field that it stands in
    while left:
        field, one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            left += [(field, item) for item in one]
        elif isinstance(one, Mapping):
            left += _said(one, _LABELS.get(field, _NONE))


def _said(values: Mapping[str, Any], labels: frozenset[str]) -> Iterator[tuple[str, Any]]:
    kind = values.get("type")
    media = isinstance(kind, str) and kind in _MEDIA
    for key, value in values.items():
        if not (media and key in _MEDIA) and not (key in labels and isinstance(value, str)):
            yield key, value
