"""What `check --probe` finds out: the state of every backend, and the slots of every Ollama."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.backends.probe import Asking, probe
from app.cli.ollama import Ollama
from app.cli.slots import Slots, measure
from app.cli.started import asked
from app.core.types import BackendSpec, Facts
from app.main.wire import launch_of
from app.settings import GatewayConfig, HfEndpoint, Scripted, secret

AskFacts = Callable[[str], Awaitable[Facts]]  # by the backend's name
MOST = 16  # requests sent at once, whatever the config says


@dataclass(frozen=True, slots=True)
class Finding:
    backend: str
    facts: Facts
    slots: Slots | None = None
    advice: str | None = None

    @property
    def ok(self) -> bool:
        """Asleep and loading are fine: a request would be answered, later."""
        return self.facts.state != "down"

    def __str__(self) -> str:
        facts = self.facts
        said = [facts.state, f"context {facts.context_window}" if facts.context_window else None, facts.problem]
        lines = [f"{self.backend}: {', '.join(one for one in said if one)}"]
        return "\n".join([*lines, f"  {self.advice}"] if self.advice else lines)

    def as_json(self) -> dict[str, Any]:
        facts = self.facts
        return {
            "state": facts.state,
            "problem": facts.problem,
            "context_window": facts.context_window,
            "models": list(facts.models),
            "slots": asdict(self.slots) if self.slots else None,
            "advice": self.advice,
        }


def asker(config: GatewayConfig, environ: Mapping[str, str]) -> AskFacts:
    """The probes of the serving process, once each; a scripted backend has nothing that could be asked, and one that is
    started is started for the question, unless it runs already."""
    specs = {spec.name: spec for spec in config.backend_specs()}
    secrets = frozenset(variable for _, variable in config.secret_names())

    async def ask(name: str) -> Facts:
        chosen = config.backends[name]
        if isinstance(chosen, Scripted):
            return Facts("ready", models=(chosen.model,))
        key = secret(environ, chosen.api_key_env)
        if chosen.api_key_env and key is None:
            return Facts("down", problem=f"the variable {chosen.api_key_env} is not set")
        management = chosen.management if isinstance(chosen, HfEndpoint) else None
        if isinstance(chosen, HfEndpoint) and management is None:
            return Facts(
                "unknown", problem="not asked, which might wake it; write namespace and endpoint to ask its manager"
            )
        asking = Asking(specs[name], chosen.speaks, key, management)
        launch = launch_of(chosen)
        if launch is None:
            return await probe(asking)
        return await asked(launch, environ, secrets, chosen.timeouts.load, lambda: probe(asking))

    return ask


async def probe_all(specs: Sequence[BackendSpec], ask: AskFacts, say: Callable[[str], None]) -> tuple[Finding, ...]:
    """Backends together, then the slots of each Ollama in turn: they may share a graphics card."""
    facts = await asyncio.gather(*(ask(spec.name) for spec in specs))
    return tuple([await _finding(spec, found, say) for spec, found in zip(specs, facts, strict=True)])


async def _finding(spec: BackendSpec, facts: Facts, say: Callable[[str], None]) -> Finding:
    if spec.kind != "ollama" or facts.state == "down":
        return Finding(spec.name, facts)
    asked = min(MOST, max(4, 2 * spec.capacity.concurrent))
    say(f"{spec.name}: loading {spec.model} and sending it {asked} short requests at once ...")
    async with Ollama(spec.base_url).asking(spec.model, asked) as ask:
        slots = await measure(ask, asked)
    return Finding(spec.name, facts, slots, slots.advice(spec.capacity.concurrent))
