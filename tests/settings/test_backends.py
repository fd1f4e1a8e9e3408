from __future__ import annotations

import pytest

from app.core.types import BackendSpec, Capacity, Timeouts
from app.settings import HfEndpoint
from tests.settings.configs import OLLAMA, load, problems


def backend(fields: str) -> str:
    return f"backends:\n  b: {{zone: remote, model: m, price: unpriced, {fields}}}"


def test_a_backend_becomes_a_spec() -> None:
    """Values of the file and defaults of its kind, in seconds."""
    text = OLLAMA.replace("model:", "timeouts: {first_token: 2m}, capacity: {concurrent: 2}, host: box, model:")
    assert load(text).config.backend_specs() == (
        BackendSpec(
            name="ollama",
            kind="ollama",
            zone="local",
            base_url="http://127.0.0.1:11434",
            model="qwen3:4b",
            capacity=Capacity(concurrent=2, queue=16, max_wait=20.0),
            timeouts=Timeouts(first_token=120.0),
            reasoning="pass",
            host="box",
        ),
    )


@pytest.mark.parametrize(
    ("kind", "concurrent"),
    [
        ("ollama", 1),
        ("llama-cpp", 1),
        ("transformers", 1),
        ("openai", 32),
        ("vllm", 32),
        ("tgi", 32),
        ("hf-endpoint", 32),
    ],
)
def test_slots_follow_the_kind(kind: str, concurrent: int) -> None:
    """Servers that batch get many, those that answer one by one get one."""
    spec = load(backend(f"kind: {kind}, base_url: 'http://h:1'")).config.backend_specs()[0]
    assert spec.capacity.concurrent == concurrent


def test_a_scripted_backend_has_no_address() -> None:
    """Each one is a thing of its own, and an address is an unknown key."""
    spec = load(backend("kind: scripted, imitates: ollama")).config.backend_specs()[0]
    assert spec.base_url == "scripted://b"
    assert problems(backend("kind: scripted, base_url: 'http://h'")) == ["backends.b.base_url: unknown key"]


@pytest.mark.parametrize("key", ["keep_alive: 5m", "engine: vllm", "namespace: n", "imitates: ollama"])
def test_keys_of_one_kind_are_unknown_to_others(key: str) -> None:
    """Nothing is accepted that would have no effect."""
    name = key.partition(":")[0]
    found = problems(backend(f"kind: openai, base_url: 'http://h', {key}"))
    assert found[0].startswith(f"backends.b.{name}: unknown key")


def test_the_management_address() -> None:
    """Only an endpoint that is named has one."""
    named, unnamed = (
        load(backend(f"kind: hf-endpoint, base_url: 'https://h'{more}")).config.backends["b"]
        for more in (", namespace: me, endpoint: big", "")
    )
    assert isinstance(named, HfEndpoint)
    assert isinstance(unnamed, HfEndpoint)
    assert named.management == "https://api.endpoints.huggingface.cloud/v2/endpoint/me/big"
    assert unnamed.management is None


def test_an_endpoint_is_named_in_full_or_not_at_all() -> None:
    """Half of a name opens no management API."""
    found = problems(backend("kind: hf-endpoint, base_url: 'https://h', namespace: n"))
    assert found == ["backends.b: write namespace and endpoint together: they name it in the management API"]


@pytest.mark.parametrize("reasoning", ["off", "low", "pass"])
def test_off_is_a_word(reasoning: str) -> None:
    """YAML 1.1 would read it as false."""
    text = backend(f"kind: openai, base_url: 'http://h', reasoning: {reasoning}")
    assert load(text).config.backend_specs()[0].reasoning == reasoning


@pytest.mark.parametrize(
    ("fields", "speaks"),
    [
        ("kind: vllm, base_url: 'http://h'", "vllm"),
        ("kind: hf-endpoint, base_url: 'https://h'", "openai"),
        ("kind: hf-endpoint, engine: tgi, base_url: 'https://h'", "tgi"),
        ("kind: scripted, imitates: ollama", "ollama"),
        ("kind: scripted, imitates: hf-endpoint", "openai"),
    ],
)
def test_a_backend_speaks_like_the_server_behind_it(fields: str, speaks: str) -> None:
    """A proxy or a fake has the ways of what it stands for."""
    assert load(backend(fields)).config.backends["b"].speaks == speaks


STARTED = "zone: local, start: {llama_server: {model: m.gguf, slots: 3, context: 4096}}"


@pytest.mark.parametrize("kind", ["openai", "llama-cpp"])
def test_a_started_server_is_known(kind: str) -> None:
    """Where it listens, how much it runs at once and how much it reads: nobody has to write that twice."""
    chosen = load(f"backends: {{b: {{kind: {kind}, model: m, price: unpriced, {STARTED}}}}}").config.backends["b"]
    assert chosen.spec("b").base_url == "http://127.0.0.1:8081"
    assert (chosen.capacity.concurrent, chosen.context_window) == (3, 4096)
    assert chosen.speaks == "llama-cpp"


def test_what_is_written_counts_also_with_start() -> None:
    """An address of one's own, fewer at once, a smaller window; the queue alone leaves the slots."""
    more = 'base_url: "http://localhost:9000", context_window: 1000, capacity: {concurrent: 2}'
    chosen = load(f"backends: {{b: {{kind: openai, model: m, price: unpriced, {STARTED}, {more}}}}}").config.backends[
        "b"
    ]
    assert chosen.spec("b").base_url == "http://localhost:9000"
    assert (chosen.capacity.concurrent, chosen.context_window) == (2, 1000)
    chosen = load(
        f"backends: {{b: {{kind: openai, model: m, price: unpriced, {STARTED}, capacity: {{queue: 1}}}}}}",
        {"SMALLFIRST_BACKENDS__B__START__LLAMA_SERVER__SLOTS": "5"},
    ).config.backends["b"]
    assert (chosen.capacity.concurrent, chosen.capacity.queue) == (5, 1)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{}", ["backends.b.start.llama_server: missing: the server to start, like {model: file.gguf}"]),
        (
            "{llama_server: {}}",
            [
                "backends.b.start.llama_server.model: "
                "missing: the GGUF file to start it with, or hf://owner/repo/file.gguf"
            ],
        ),
        (
            "{llama_server: {model: hf://owner/file.gguf}}",
            ["backends.b.start.llama_server.model: must be the path of a file.gguf, or hf://owner/repo/file.gguf"],
        ),
        (
            "{llama_server: {model: m.gguf, slots: many, context: 0}}",
            [
                "backends.b.start.llama_server.slots: must be a valid integer, unable to parse string as an integer",
                "backends.b.start.llama_server.context: must be greater than or equal to 256",
            ],
        ),
        (
            "{llama_server: {model: m.gguf, slot: 2}}",
            ["backends.b.start.llama_server.slot: unknown key; did you mean 'slots'?"],
        ),
    ],
)
def test_what_is_wrong_with_a_start(written: str, said: list[str]) -> None:
    """The key and the cure, each told once."""
    text = f"backends: {{b: {{kind: openai, model: m, zone: local, price: unpriced, start: {written}}}}}"
    assert problems(text) == said


@pytest.mark.parametrize("kind", ["ollama", "vllm", "tgi", "transformers", "hf-endpoint"])
def test_others_are_not_started(kind: str) -> None:
    """Only what llama-server can stand for."""
    found = problems(backend(f"kind: {kind}, base_url: 'http://h', start: {{llama_server: {{model: m.gguf}}}}"))
    assert found == ["backends.b.start: unknown key"]
