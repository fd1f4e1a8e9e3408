"""One model per family of backend kinds: what they share, and the few keys that only one kind understands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from app.core import types
from app.settings.fields import BaseUrl, Duration, EnvName, Gguf, KeepAlive, Model, ModelId, Name, Positive
from app.settings.prices import Price

HF_MANAGEMENT = "https://api.endpoints.huggingface.cloud/v2"
STARTED_AT = "http://127.0.0.1:8081"  # where a server that we start listens, if nothing else is written

Engine = Literal["openai", "vllm", "llama-cpp", "tgi", "transformers"]


class Capacity(Model):
    """`concurrent` is what the backend really runs at once: `check --probe` measures it for Ollama."""

    concurrent: Annotated[int, Field(gt=0)] = 1
    queue: Annotated[int, Field(ge=0)] = 16
    max_wait: Duration = 20.0


class Timeouts(Model):
    """`load` is granted on top of `first_token` while a model loads or an endpoint wakes."""

    connect: Positive = 2.0
    first_token: Positive = 60.0
    inter_token: Positive = 30.0
    total: Positive = 600.0
    load: Duration = 300.0


# Servers that batch; the others run one request at a time unless they are told otherwise.
_BATCHING = Capacity(concurrent=32, queue=64)


class _Backend(Model):
    kind: str
    zone: types.Zone = Field(description="local if prompts stay on machines you trust with private data, else remote")
    model: ModelId = Field(description="the model's id as the backend spells it")
    price: Price = Field(description="{kind: local|compute-hour|tokens, ...}, or {kind: unpriced} if you do not know")
    reasoning: Literal["off", "low", "pass"] = "pass"
    capacity: Capacity = Capacity()
    timeouts: Timeouts = Timeouts()
    host: Name | None = None
    context_window: Annotated[int, Field(gt=0)] | None = None

    def address(self, name: str) -> str:
        raise NotImplementedError

    @property
    def speaks(self) -> str:
        """The kind of server whose ways this backend has: behind a proxy, what stands behind it."""
        return self.kind

    @property
    def embeds(self) -> bool:
        """Does that kind of server have an embeddings API at all?"""
        return self.speaks not in ("tgi", "transformers")

    def spec(self, name: str) -> types.BackendSpec:
        return types.BackendSpec(
            name=name,
            kind=self.kind,
            zone=self.zone,
            base_url=self.address(name),
            model=self.model,
            capacity=types.Capacity(**self.capacity.model_dump()),
            timeouts=types.Timeouts(**self.timeouts.model_dump()),
            reasoning=self.reasoning,
            host=self.host,
            context_window=self.context_window,
        )


class _Served(_Backend):
    base_url: BaseUrl = Field(description="where the server listens, like http://127.0.0.1:11434")
    api_key_env: EnvName | None = None

    def address(self, name: str) -> str:
        return self.base_url


class Ollama(_Served):
    """`keep_alive` in seconds, -1 for ever; `prewarm` loads the model when the gateway starts."""

    kind: Literal["ollama"]
    keep_alive: KeepAlive | None = None
    prewarm: bool = False


class HfEndpoint(_Served):
    """`engine` is the server behind the endpoint's proxy; `namespace` and `endpoint` open the management API."""

    kind: Literal["hf-endpoint"]
    engine: Engine = "openai"
    namespace: Name | None = None
    endpoint: Name | None = None
    management_url: BaseUrl = HF_MANAGEMENT
    scale_up_timeout: Positive | None = None
    capacity: Capacity = _BATCHING

    @property
    def speaks(self) -> str:
        return self.engine

    @property
    def management(self) -> str | None:
        """Where the management API tells the state of this endpoint, None if it is not named."""
        return f"{self.management_url}/endpoint/{self.namespace}/{self.endpoint}" if self.endpoint else None

    @model_validator(mode="after")
    def _both_or_neither(self) -> HfEndpoint:
        if (self.namespace is None) != (self.endpoint is None):
            raise ValueError("write namespace and endpoint together: they name it in the management API")
        return self


class LlamaServer(Model):
    """llama.cpp's server on a GGUF file. `context` is for one request; the server is given `slots` times as much."""

    model: Gguf = Field(description="the GGUF file to start it with, or hf://owner/repo/file.gguf")
    slots: Annotated[int, Field(gt=0)] = 1
    context: Annotated[int, Field(ge=256)] = 8192


class Start(Model):
    llama_server: LlamaServer = Field(description="the server to start, like {model: file.gguf}")


class Startable(_Served):
    """With `start` the gateway runs the server itself: then it knows what else would have to be written."""

    start: Start | None = None

    @model_validator(mode="before")
    @classmethod
    def _known_by_starting_it(cls, data: Any) -> Any:
        start = data.get("start") if isinstance(data, dict) else None
        if not isinstance(start, dict):
            return data
        server, capacity = start.get("llama_server"), data.get("capacity", {})
        server = server if isinstance(server, dict) else {}
        slots, context = (_count(server, key) for key in ("slots", "context"))
        known = {"base_url": STARTED_AT, **data}
        if context:
            known.setdefault("context_window", context)
        if slots and isinstance(capacity, dict):
            known["capacity"] = {"concurrent": slots, **capacity}
        return known

    @property
    def speaks(self) -> str:
        return "llama-cpp" if self.start else self.kind


def _count(written: dict[str, Any], key: str) -> int | None:
    """What is written under `key` of a `llama_server`, or its default; None if it is no count, which is told anyway."""
    try:
        value = int(written.get(key, LlamaServer.model_fields[key].default))
    except (TypeError, ValueError):
        return None
    return value if value > 0 else None


class OpenAI(Startable):
    kind: Literal["openai"]
    capacity: Capacity = _BATCHING


class LlamaCpp(Startable):
    kind: Literal["llama-cpp"]


class Batching(_Served):
    kind: Literal["vllm", "tgi"]
    capacity: Capacity = _BATCHING


class OneByOne(_Served):
    kind: Literal["transformers"]


class Scripted(_Backend):
    """The shipped fake: no network, canned answers on the wire of the kind it `imitates`."""

    kind: Literal["scripted"]
    imitates: Literal["ollama", "hf-endpoint", "openai", "vllm", "llama-cpp", "tgi", "transformers"] = "openai"

    def address(self, name: str) -> str:
        return f"scripted://{name}"

    @property
    def speaks(self) -> str:
        return "openai" if self.imitates == "hf-endpoint" else self.imitates


Backend = Annotated[
    Ollama | HfEndpoint | OpenAI | LlamaCpp | Batching | OneByOne | Scripted, Field(discriminator="kind")
]
