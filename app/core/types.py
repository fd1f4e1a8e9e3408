"""The values that travel between rooms: frozen, without behaviour beyond what can be derived from them.

One request is a straight line: ChatRequest -> Score -> Decision -> Plan -> (Attempt <-> Outcome)* -> Verdict,
and at the end one frozen Record for observers. Times are seconds, money is integer nano-dollars, tokens are
counted as the backend reports them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from app.core.rules import Rule

Zone = Literal["local", "remote"]
Api = Literal["chat", "completion", "embedding"]
Reason = Literal[
    "score",
    "explicit-model",
    "explicit-tier",
    "rule",
    "local-only",
    "context-window",
    "capability",
    "router-unavailable",
]
State = Literal["unknown", "ready", "loading", "asleep", "down"]
STATES: tuple[State, ...] = ("unknown", "ready", "loading", "asleep", "down")
# Where a nano-dollar goes: exactly one of these.
CostKind = Literal["tokens", "discarded", "compute", "idle", "energy", "capex"]

# What a request can need and a backend can have, itself or by emulation. "tool_choice.named" is a forced
# function; "required" with a single tool counts as named.
Capability = Literal[
    "vision",
    "vision_url",
    "audio",
    "tools",
    "tool_choice.none",
    "tool_choice.required",
    "tool_choice.named",
    "tools_with_format",
    "n",
    "json_object",
    "json_schema",
    "logprobs",
    "token_prompt",
    "prompt_list",
]


@dataclass(frozen=True, slots=True)
class Capacity:
    """Slots of one backend or host: how many at once, how many may wait, and how long (seconds)."""

    concurrent: int = 1
    queue: int = 16
    max_wait: float = 20.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `load` is added to `first_token` while a model loads or an endpoint wakes."""

    connect: float = 2.0
    first_token: float = 60.0
    inter_token: float = 30.0
    total: float = 600.0
    load: float = 300.0


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """One configured model endpoint. Secrets are not here: the adapter gets them beside it."""

    name: str
    kind: str
    zone: Zone
    base_url: str
    model: str
    capacity: Capacity = field(default_factory=Capacity)
    timeouts: Timeouts = field(default_factory=Timeouts)
    reasoning: Literal["off", "low", "pass"] = "pass"
    host: str | None = None
    context_window: int | None = None

    @property
    def identity(self) -> str:
        """The physical thing behind the name: what slots, queue and connections are keyed by across reloads."""
        return self.host or f"{self.base_url}|{self.model}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What probing taught about a backend. `capabilities` None: not learned, the kind's table decides.

    `models` are the ids it serves, empty when unknown. `problem` says in one line what is wrong. `replicas`
    are those that are billed right now (initializing or running), None where nobody can say.
    """

    state: State = "unknown"
    context_window: int | None = None
    capabilities: frozenset[str] | None = None
    thinks: bool | None = None
    models: tuple[str, ...] = ()
    problem: str | None = None
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks and on which terms; from the client's key and headers. `deadline` is on the driver's clock.

    `headers` are those that a rule of the config asks about, names in lower case; never a key.
    """

    request_id: str
    key: str | None = None
    local_only: bool = False
    may_force_tier: bool = True
    tier: str | None = None
    deadline: float | None = None
    session: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


Why = tuple[tuple[str, float], ...]


def unexplained() -> Why:
    return ()


@dataclass(frozen=True, slots=True)
class Score:
    """`value` is P(the large model is needed), 0..1. `why` names what moved it most, without words of the prompt: it is
    asked when the answer is on its way, so that no first token waits for it."""

    value: float
    why: Callable[[], Why] = unexplained


@dataclass(frozen=True, slots=True)
class Step:
    """One backend that may be tried, and the tier it stands for."""

    backend: str
    tier: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided and why; steps in the order they may be tried (never empty).

    `rule` names the rule of the config that chose the tier (reason "rule"), else the one that keeps it local.
    `local_only` whoever said it.
    """

    steps: tuple[Step, ...]
    reason: Reason
    score: float | None = None
    threshold: float | None = None
    rule: str | None = None
    local_only: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    step: Step
    number: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The backend gave a first usable event, or a whole answer."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed before anything was committed. `kind` is an error kind of `app.errors`."""

    kind: str
    final: bool


Outcome = Answered | Failed


@dataclass(frozen=True, slots=True)
class Served:
    attempt: Attempt
    trail: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Exhausted:
    trail: tuple[tuple[str, str], ...]


Verdict = Served | Exhausted


@dataclass(frozen=True, slots=True)
class Candidate:
    """One backend as the policy sees it: where it stands, what it has, how it is.

    `token_rate`: how many tokens it counts for each that we guess.
    """

    step: Step
    zone: Zone
    model: str
    has: frozenset[str]
    context_window: int | None
    state: State
    token_rate: float = 1.0


@dataclass(frozen=True, slots=True)
class View:
    """A frozen snapshot for one decision. `tiers` cheapest first; `default_tier` serves if scoring fails."""

    tiers: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    threshold: float
    default_tier: str
    unknown_models: Literal["route", "reject"] = "route"
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. `input` includes `cached`; `estimated` if the backend did not say."""

    input: int
    output: int
    cached: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger: integer nano-dollars of one kind.

    `request_id` and `attempt` name the receipt it belongs to, None for what no request caused (idle minutes, a box
    that stands unused). `minute` is the clock minute (since the epoch) that it pays for, None for tokens.
    """

    tier: str
    backend: str
    kind: CostKind
    nano_usd: int
    price_id: str
    request_id: str | None = None
    attempt: int | None = None
    minute: int | None = None


@dataclass(slots=True)  # not frozen: that would cost a call per field and request; nobody changes it
class Receipt:
    """One attempt as it ended. `outcome` is "ok", "cancelled" or an error kind. Seconds, nano-dollars.

    `nano_usd` is what its tokens cost, all of one `kind`; both None where time is paid for instead of tokens: then
    the ledger's entries of its minutes carry its share. Where tokens are paid and none came of it, it costs 0 of no
    kind, which is known; None would be unknown.
    """

    backend: str
    tier: str
    outcome: str
    queued: float
    first_token: float | None
    seconds: float
    usage: Usage | None
    nano_usd: int | None
    kind: CostKind | None = None
    number: int = 1
    price_id: str = ""


@dataclass(slots=True)  # not frozen: that would cost a call per field and request; nobody changes it
class Record:
    """One settled request: all that observers ever see. No key material, and no words of the prompt unless the
    config asks to keep them (`text`).

    `outcome` is "ok", "client-error", "upstream-error", "internal-error" (a bug of ours), "shed", "cancelled" or
    "aborted" (broke after the first byte). `overhead` is the gateway's own time: total less waiting for slots and for
    backends.
    `at` is when it began, seconds since the epoch. `estimate` are prompt tokens as guessed before the answer;
    `truncated` says that the backend counted far fewer. `baseline_nano` is what the tokens would have cost at the
    baseline's backend, None without a token price there.
    """

    request_id: str
    api: Api
    stream: bool
    key: str | None
    local_only: bool
    tier: str | None
    backend: str | None
    model: str | None
    reason: str | None
    final_reason: str | None
    score: float | None
    threshold: float | None
    outcome: str
    status: int
    error: str | None
    receipts: tuple[Receipt, ...]
    classify: float | None
    first_token: float | None
    seconds: float
    overhead: float
    inter_token: float | None = None  # mean seconds between pieces of a stream
    at: float = 0.0
    session: str | None = None  # as the client sent it: whoever keeps it hashes it
    needs: frozenset[Capability] = frozenset()
    estimate: int | None = None
    truncated: bool = False
    rule: str | None = None  # of the config
    why: tuple[tuple[str, float], ...] = ()
    router: str = ""  # name and version of the artifact that scored
    baseline_nano: int | None = None
    text: str | None = None
    vector: bytes | None = None
