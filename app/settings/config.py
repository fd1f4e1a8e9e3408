"""The whole config as one frozen value, and what the other rooms read from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from app.core import prices, rules, types
from app.core.baseline import Baseline as CoreBaseline
from app.settings.backends import Backend, LlamaServer, Startable
from app.settings.baseline import Baseline
from app.settings.fields import Duration, EnvName, Model, ModelId, Name, is_loopback
from app.settings.rules import Rule

DEFAULT_SHARE = 0.05
ONLY_TIER = "slm"  # a config with one backend and no tiers: small first, so that is what it is


class Server(Model):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    admin_key_env: EnvName | None = None
    max_body_mb: Annotated[float, Field(gt=0, le=1024)] = 50
    drain_delay: Duration = 5.0
    drain_timeout: Duration = 30.0

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


class ClientKey(Model):
    """One client, by the name of the variable that holds its key, and what it may do."""

    name: Name
    env: EnvName = Field(description="the name of the environment variable that holds the key")
    local_only: bool = False
    may_force_tier: bool = True
    weight: Annotated[float, Field(gt=0)] = 1


class Tier(Model):
    name: Name
    backends: Annotated[tuple[str, ...], Field(min_length=1)]


class Routing(Model):
    """Exactly one of `llm_share` and `threshold` (0..1 each)."""

    router: Annotated[str, Field(min_length=1)] = "default"
    llm_share: Annotated[float, Field(ge=0, le=1)] | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    unknown_models: Literal["route", "reject"] = "route"
    default_tier: str | None = None
    local_only: bool = False
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _share_by_default(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("threshold") is None and data.get("llm_share") is None:
            return {**data, "llm_share": DEFAULT_SHARE}
        return data

    @model_validator(mode="after")
    def _one_of_them(self) -> Routing:
        if self.llm_share is not None and self.threshold is not None:
            raise ValueError("write llm_share or threshold, not both: a fixed threshold cannot also keep a share")
        return self


class Embeddings(Model):
    backend: str
    model: ModelId


class State(Model):
    kind: Literal["memory"] = "memory"


class Records(Model):
    """What is kept of each request, and for how long. Text and feature vectors only if they are asked for; those of
    local-only requests only with a yes of their own."""

    kind: Literal["sqlite"] = "sqlite"
    path: Annotated[str, Field(min_length=1)] = "data/records.db"
    store_text: bool = False
    store_local_text: bool = False
    store_features: bool = False
    store_local_features: bool = False
    keep_days: Annotated[float, Field(gt=0)] = 30
    max_mb: Annotated[float, Field(gt=0)] = 500

    @model_validator(mode="after")
    def _the_second_yes_needs_the_first(self) -> Records:
        if self.store_local_text and not self.store_text:
            raise ValueError("store_local_text needs store_text: true")
        if self.store_local_features and not self.store_features:
            raise ValueError("store_local_features needs store_features: true")
        return self


class GatewayConfig(Model):
    """One config, checked field by field; what spans fields is in `app.settings.checks`."""

    server: Server = Server()
    auth: Literal["keys", "none"] = "keys"
    keys: tuple[ClientKey, ...] = ()
    backends: Annotated[dict[Name, Backend], Field(min_length=1)]
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1)] = Field(
        description="the tiers, cheapest first, like [{name: slm, backends: [ollama]}]"
    )
    routing: Routing = Routing()
    embeddings: Embeddings | None = None
    baseline: Baseline = Baseline()
    state: State = State()
    records: Records | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_backend_is_a_tier(cls, data: Any) -> Any:
        backends = data.get("backends") if isinstance(data, dict) else None
        if isinstance(backends, dict) and len(backends) == 1 and data.get("tiers") is None:
            return {**data, "tiers": [{"name": ONLY_TIER, "backends": list(backends)}]}
        return data

    @property
    def default_tier(self) -> str:
        """The tier that serves when scoring fails."""
        return self.routing.default_tier or self.tiers[0].name

    def rules(self) -> tuple[rules.Rule, ...]:
        """In their order, compiled."""
        return tuple(rule.to_core() for rule in self.routing.rules)

    def backend_specs(self) -> tuple[types.BackendSpec, ...]:
        return tuple(backend.spec(name) for name, backend in self.backends.items())

    def started(self) -> Iterator[tuple[str, Startable, LlamaServer]]:
        """Name, backend and server of those that the gateway starts itself."""
        for name, backend in self.backends.items():
            if isinstance(backend, Startable) and backend.start:
                yield name, backend, backend.start.llama_server

    def tier_of(self) -> Mapping[str, str]:
        """Backend name -> tier name, cheapest tier first."""
        return {name: tier.name for tier in self.tiers for name in tier.backends}

    def prices(self) -> Mapping[str, prices.Price]:
        return {name: backend.price.to_core() for name, backend in self.backends.items()}

    def baseline_to_core(self) -> CoreBaseline | None:
        """What the bill is compared with; None with a single tier, or without a price to compare with."""
        tier = next((tier for tier in self.tiers if tier.name == self.baseline.tier), self.tiers[-1])
        if len(self.tiers) == 1:
            return None
        return self.baseline.to_core(tier.name, self.backends[tier.backends[0]])

    def secret_names(self) -> Iterator[tuple[str, str]]:
        """(where in the config, name of the variable) of every secret."""
        if self.server.admin_key_env:
            yield "server.admin_key_env", self.server.admin_key_env
        for index, key in enumerate(self.keys):
            yield f"keys[{index}].env", key.env
        for name, backend in self.backends.items():
            api_key_env = getattr(backend, "api_key_env", None)
            if api_key_env:
                yield f"backends.{name}.api_key_env", api_key_env
