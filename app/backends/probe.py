"""What a backend is and how it is, asked without ever loading a model or waking an endpoint.

Each kind has its own cheap questions; none of them reaches a model. An HF endpoint is asked through its
management API, because any call to its own address may wake it, or keep it awake, which costs money: its engine
is asked once it is found running, and having answered not again before it has slept. The context window is the
one in use, never the one a model was trained for: servers choose smaller ones.

The questions are asked in a thread by httpx's plain client: its async one would bring an event loop layer of
its own into the serving process (5 MB), for a call every half a minute. A server that answers a byte now and then
holds one thread, not one more with each probe.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar, cast

import httpx

from app.backends.quirks import EVERYTHING
from app.core.types import BackendSpec, Capability, Facts, State

TIMEOUT = httpx.Timeout(5.0, connect=2.0)
QUICK = httpx.Timeout(2.0)
QUICK_PATIENCE = 4.0
PATIENCE = 15.0  # seconds for all questions of one probe: each read has its own timeout, but there may be many
ASK_ENGINE = 3  # times that an endpoint's engine is asked if it does not answer as it should: just woken, it may not
LOAD = httpx.Timeout(60.0, connect=2.0)  # a model that takes longer goes on loading all the same

_WRONG = (  # all that an answer, an address or the environment's proxy can be
    httpx.HTTPError,
    httpx.InvalidURL,
    ImportError,  # httpx knows SOCKS only with another package
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)

_OLLAMA: Mapping[str, tuple[Capability, ...]] = {
    "vision": ("vision",),
    "tools": ("tools", "tool_choice.none", "tool_choice.named", "tools_with_format"),
}
_OLLAMA_ALWAYS: tuple[Capability, ...] = ("json_object", "json_schema", "logprobs", "tool_choice.none")
_STATES: Mapping[str, State] = {
    "running": "ready",
    "pending": "loading",
    "initializing": "loading",
    "updating": "ready",
    "scaledToZero": "asleep",
    "paused": "down",
    "failed": "down",
    "updateFailed": "down",
}
_BILLED = frozenset({"initializing", "running", "updating"})

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Learned:
    """What an endpoint's engine said since the endpoint last woke, None before it was asked, and how often it was."""

    facts: Facts | None = None
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Asking:
    """How to ask one backend. `kind` is the engine that answers; `management` the URL of an HF endpoint."""

    spec: BackendSpec
    kind: str
    api_key: str | None = None
    management: str | None = None
    keep_alive: float | None = None
    engine: Learned = field(default_factory=Learned, compare=False)
    busy: set[object] = field(default_factory=set, compare=False)

    def client(self, timeout: httpx.Timeout = TIMEOUT) -> httpx.Client:
        """Never through a proxy for zone local; redirects are not followed."""
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        base = self.spec.base_url.rstrip("/").removesuffix("/v1")
        remote = self.spec.zone == "remote"
        secure = f"{base} {self.management}".count("https://") > 0
        return httpx.Client(base_url=base, headers=headers, timeout=timeout, trust_env=remote, verify=_trust(secure))


@cache
def _trust(secure: bool) -> ssl.SSLContext:
    """One context for all; without certificates for plain HTTP, where loading them costs 30 ms and megabytes."""
    return ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


Kind = Callable[[httpx.Client, Asking], Facts]


async def probe(asking: Asking) -> Facts:
    """Never raises: whatever goes wrong is a state and a line about it."""
    facts = await _in_time(_probe, asking, PATIENCE)
    return facts or Facts("down", problem="answers too slowly")


async def warming(asking: Asking) -> bool:
    """Is it loading its model right now? Asked by the first-token clock, so it is quick or it is no."""
    return await _in_time(_warming, asking, QUICK_PATIENCE) or False


async def prewarm(asking: Asking) -> None:
    """Load an Ollama model and set how long it stays. Failing is no harm: the first request loads it."""
    await asyncio.to_thread(_prewarm, asking, LOAD)


async def refresh(asking: Asking) -> None:
    """Keep a loaded model for another `keep_alive`: each call by /v1 has set Ollama's own default again."""
    await asyncio.to_thread(_refresh, asking)


async def _in_time(question: Callable[[Asking], Answer], asking: Asking, patience: float) -> Answer | None:
    """Its answer; None if it takes longer than `patience`, or if the thread that asked before is not back yet."""
    if question in asking.busy:
        return None
    asking.busy.add(question)
    try:
        async with asyncio.timeout(patience):
            return await asyncio.to_thread(_freeing, question, asking)
    except TimeoutError:
        return None


def _freeing(question: Callable[[Asking], Answer], asking: Asking) -> Answer:
    try:
        return question(asking)
    finally:
        asking.busy.discard(question)


def _probe(asking: Asking) -> Facts:
    try:
        with asking.client() as client:
            return _named(_endpoint if asking.spec.kind == "hf-endpoint" else _of(asking), client, asking)
    except (httpx.InvalidURL, ImportError, ValueError):
        return Facts("down", problem="has an address or a proxy that cannot be used")


def _of(asking: Asking) -> Kind:
    return _BY_KIND.get(asking.kind, _openai)


def _named(ask: Kind, client: httpx.Client, asking: Asking) -> Facts:
    """What it says, or what went wrong in asking."""
    try:
        return ask(client, asking)
    except httpx.HTTPStatusError as error:
        return Facts("down", problem=f"answers {error.response.status_code} to {error.request.url.path}")
    except httpx.HTTPError as error:
        cure = "; `ollama serve` starts it" if asking.kind == "ollama" else ""
        return Facts("down", problem=f"cannot be reached ({type(error).__name__}){cure}")
    except _WRONG:
        return Facts("down", problem=f"does not answer like a {asking.kind}")


def _warming(asking: Asking) -> bool:
    try:
        with asking.client(QUICK) as client:
            if asking.spec.kind == "hf-endpoint":
                return asking.management is not None and _managed(client, asking.management)[0] in ("loading", "asleep")
            if asking.kind == "ollama":
                return _loaded(client, asking.spec.model) is None
            if asking.kind == "llama-cpp":
                return (client.get("/health")).status_code == 503
            return False
    except _WRONG:
        return False


def _prewarm(asking: Asking, timeout: httpx.Timeout) -> None:
    """A chat without messages, by the native API, which alone knows `keep_alive`."""
    body: dict[str, Any] = {"model": asking.spec.model, "messages": [], "stream": False}
    if asking.keep_alive is not None:
        body["keep_alive"] = -1 if asking.keep_alive < 0 else f"{asking.keep_alive:g}s"
    try:
        with asking.client(timeout) as client:
            client.post("/api/chat", json=body)
    except _WRONG:
        return


def _refresh(asking: Asking) -> None:
    try:
        with asking.client(QUICK) as client:
            loaded = _loaded(client, asking.spec.model)
    except _WRONG:
        return
    if loaded is not None:
        _prewarm(asking, TIMEOUT)


def _ollama(client: httpx.Client, asking: Asking) -> Facts:
    spec = asking.spec
    (client.get("/api/version")).raise_for_status()
    shown = client.post("/api/show", json={"model": spec.model})
    if shown.status_code == 404:
        return Facts("down", problem=f"has no model '{spec.model}': ollama pull {spec.model}")
    about = shown.raise_for_status().json()
    if spec.zone == "local" and (about.get("remote_host") or about.get("remote_model")):
        return Facts("down", problem="is served from its maker's cloud, which is refused in zone local")
    loaded = _loaded(client, spec.model)
    said = about.get("capabilities")
    return Facts(
        state="ready",
        context_window=_number((loaded or {}).get("context_length")) or _num_ctx(about.get("parameters")),
        capabilities=_ollama_capabilities(said) if isinstance(said, list) else None,
        thinks="thinking" in said if isinstance(said, list) else None,
        models=(spec.model,),
    )


def _loaded(client: httpx.Client, model: str) -> dict[str, Any] | None:
    running = (client.get("/api/ps")).raise_for_status().json().get("models") or []
    wanted = {model, f"{model}:latest"}
    return next((one for one in running if {one.get("name"), one.get("model")} & wanted), None)


def _num_ctx(parameters: object) -> int | None:
    """From the text of a Modelfile's parameters, one a line: `num_ctx 8192`."""
    for line in str(parameters or "").splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "num_ctx" and words[1].isdigit():
            return int(words[1])
    return None


def _ollama_capabilities(said: list[Any]) -> frozenset[Capability]:
    return frozenset(_OLLAMA_ALWAYS).union(*(_OLLAMA[one] for one in said if one in _OLLAMA))


def _vllm(client: httpx.Client, asking: Asking) -> Facts:
    if (client.get("/health")).status_code != 200:
        return Facts("down", problem="its engine is not healthy")
    return _listed(client, asking)


def _llama_cpp(client: httpx.Client, asking: Asking) -> Facts:
    if (client.get("/health")).status_code == 503:
        return Facts("loading", problem="loads its model")
    props = (client.get("/props")).raise_for_status().json()
    settings = props.get("default_generation_settings") or {}
    window = _number(settings.get("n_ctx")) or _number(props.get("n_ctx"))
    return Facts("ready", context_window=window, capabilities=_modalities(props.get("modalities")))


def _modalities(said: object) -> frozenset[Capability] | None:
    """A model without a projector sees nothing; older servers do not say."""
    if not isinstance(said, dict) or said.get("vision"):
        return None
    return EVERYTHING - {"vision", "vision_url"}


def _tgi(client: httpx.Client, asking: Asking) -> Facts:
    if (client.get("/health")).status_code != 200:
        return Facts("down", problem="is not healthy")
    info = (client.get("/info")).raise_for_status().json()
    window = _number(info.get("max_total_tokens")) or _number(info.get("max_input_tokens"))
    return Facts("ready", context_window=window, models=tuple(filter(None, [info.get("model_id")])))


def _transformers(client: httpx.Client, asking: Asking) -> Facts:
    if (client.get("/health")).status_code != 200:
        return Facts("down", problem="its worker died")
    return Facts("ready")


def _openai(client: httpx.Client, asking: Asking) -> Facts:
    return _listed(client, asking)


def _listed(client: httpx.Client, asking: Asking) -> Facts:
    """By /v1/models; a server without that list, or whose key may not read it, is taken as ready."""
    answer = client.get("/v1/models")
    if answer.status_code in (403, 404, 405):
        return Facts("ready")
    if answer.status_code == 401:
        return Facts("down", problem="does not accept the gateway's key")
    cards = answer.raise_for_status().json().get("data") or []
    models, wanted = tuple(str(card.get("id")) for card in cards), asking.spec.model
    own: dict[str, Any] = next((card for card in cards if card.get("id") == wanted), {})
    window = _number(own.get("max_model_len")) or _number(own.get("context_length"))
    # Ready all the same: some servers answer to any name.
    unlisted = f"does not list '{wanted}', but {_some(models)}" if models and wanted not in models else None
    return Facts("ready", context_window=window, models=models, problem=unlisted)


def _some(models: tuple[str, ...], most: int = 3) -> str:
    rest = len(models) - most
    return ", ".join(model[:64] for model in models[:most]) + (f" and {rest} more" if rest > 0 else "")


def _endpoint(client: httpx.Client, asking: Asking) -> Facts:
    """The state by the management API; the engine is asked while it runs anyway, until it answers or seems not to."""
    engine = asking.engine
    if asking.management is None:
        return Facts("unknown")
    state, said, replicas = _managed(client, asking.management)
    if state != "ready":
        engine.facts, engine.asked = None, 0
        return Facts(state, problem=f"the endpoint is {said}", replicas=replicas)
    if engine.facts is None or (engine.facts.problem and engine.asked < ASK_ENGINE):
        found = _named(_of(asking), client, asking)
        if found.state == "loading":
            return replace(found, replicas=replicas)
        engine.asked += 1
        engine.facts = found if found.state == "ready" else Facts("ready", problem=found.problem)
    return replace(engine.facts, replicas=replicas)


def _managed(client: httpx.Client, management: str) -> tuple[State, str, int]:
    """Its state in our word and in theirs, and how many replicas are billed."""
    status = client.get(management).raise_for_status().json()["status"]
    said = str(status["state"])
    counted = [status.get(name) for name in ("readyReplica", "targetReplica")]
    replicas = max([1, *(one for one in counted if isinstance(one, int))]) if said in _BILLED else 0
    return _STATES.get(said, "unknown"), said, replicas


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


_BY_KIND = cast(
    Mapping[str, Kind],
    {
        "ollama": _ollama,
        "vllm": _vllm,
        "llama-cpp": _llama_cpp,
        "tgi": _tgi,
        "transformers": _transformers,
        "openai": _openai,
    },
)
