from __future__ import annotations

import pytest

from tests.settings.configs import OLLAMA, TWO, load, problems

OPEN = "server: {host: 0.0.0.0}\n"


def test_open_to_others_needs_keys_or_a_word() -> None:
    """Without keys only this machine may ask, unless that is said."""
    assert "auth: none" in problems(OLLAMA + OPEN)[0]
    assert load(OLLAMA + OPEN + "auth: none").config.auth == "none"
    assert load(OLLAMA + OPEN + "keys: [{name: app, env: APP_KEY}]").config.keys[0].may_force_tier
    assert "contradicts" in problems(OLLAMA + "auth: none\nkeys: [{name: app, env: APP_KEY}]")[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[small]", "[smal]", "tiers[0].backends: there is no backend 'smal'; did you mean 'small'?"),
        ("[small]", "[small, large]", "tiers: the backend 'large' stands in the tiers twice; it can be in one, once"),
        ("name: llm", "name: slm", "tiers: two tiers are named 'slm'"),
        ("name: llm", "name: auto", "tiers[1].name: 'auto' asks for routing; take another name"),
        ("name: llm", "name: router-x-0.5", "tiers[1].name: 'router-x-0.5' asks for routing; take another name"),
        ("name: llm", "name: big", "tiers[1].name: 'big' is also a model's id; take another name"),
        (
            "tiers:",
            "routing: {default_tier: slmm}\ntiers:",
            "routing.default_tier: there is no tier 'slmm'; did you mean 'slm'?",
        ),
        (
            "tiers:",
            "embeddings: {backend: smal, model: e}\ntiers:",
            "embeddings.backend: there is no backend 'smal'; did you mean 'small'?",
        ),
    ],
)
def test_names_exist_and_differ(old: str, new: str, said: str) -> None:
    """Each message names the key and, where there is one, the likely spelling."""
    assert said in problems(TWO.replace(old, new))


def test_a_shared_host_agrees() -> None:
    """Slots belong to the host, so zone and capacity must be the same."""
    text = TWO.replace("model:", "host: box, model:")
    found = problems(text)
    assert "backends.large.capacity: must be the same as of 'small', which runs on the same host" in found
    assert "backends.large.zone: must be the same as of 'small', which runs on the same host" in found


def test_the_time_of_a_shared_host_has_one_price() -> None:
    """It is paid once; who has no price for it does not contradict."""
    hourly = "price: {kind: compute-hour, usd_per_hour: 5}"
    shared = TWO.replace("model:", "host: box, capacity: {concurrent: 1}, model:").replace(
        "zone: remote", "zone: local"
    )
    assert load(shared.replace("price: unpriced", hourly)).config.backends["large"].host == "box"
    assert load(shared.replace("price: unpriced", hourly, 1)).config
    found = problems(shared.replace("price: unpriced", hourly, 1).replace("price: unpriced", hourly.replace("5", "6")))
    assert found == ["backends.large.price: must be the same as of 'small', which runs on the same host"]


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "glm-4.6:cloud"])
def test_a_cloud_model_is_never_local(model: str) -> None:
    """Ollama would send the prompt to the model's maker."""
    assert "zone is remote" in problems(OLLAMA.replace("qwen3:4b", model))[0]
    load(OLLAMA.replace("qwen3:4b", model).replace("local", "remote"))
    found = problems(OLLAMA + f"embeddings: {{backend: ollama, model: '{model}'}}")
    assert found[0].startswith("embeddings.model:")


@pytest.mark.parametrize(
    ("kind", "capable"),
    [
        ("openai", True),
        ("tgi", False),
        ("transformers", False),
        ("llama-cpp", True),
        ("hf-endpoint", True),
        ("hf-endpoint, engine: tgi", False),
    ],
)
def test_embeddings_need_a_server_that_has_them(kind: str, capable: bool) -> None:
    """Some servers have no such API."""
    text = TWO.replace("kind: openai", f"kind: {kind}") + "embeddings: {backend: large, model: e}"
    if capable:
        load(text)
    else:
        assert "has no embeddings API" in problems(text)[0]


def test_keys_are_told_apart() -> None:
    """By name and by variable, the admin's included."""
    found = problems(OLLAMA + "server: {admin_key_env: A}\nkeys: [{name: x, env: A}, {name: x, env: B}]")
    assert found == ["keys: two keys are named 'x'", "keys: the variable A is used for two keys; give each its own"]


STARTED = (
    "{kind: openai, zone: local, model: m, price: unpriced, start: {llama_server: {model: m.gguf, context: 1000}}}"
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("zone: local", "zone: remote", "zone: must be local: what `start` starts runs on this machine"),
        (
            "model: m,",
            'model: m, base_url: "http://10.0.0.1:8081",',
            "base_url: must be a loopback address with a port",
        ),
        ("model: m,", 'model: m, base_url: "http://127.0.0.1",', "base_url: must be a loopback address with a port"),
        ("model: m,", 'model: m, base_url: "https://127.0.0.1:1",', "base_url: must be a loopback address with a port"),
        (
            "model: m,",
            'model: m, base_url: "http://127.0.0.1:1/a",',
            "base_url: must be a loopback address with a port",
        ),
        (
            "model: m,",
            'model: m, base_url: "http://127.0.0.1:8080",',
            "base_url: the gateway listens at this port already",
        ),
        ("model: m,", "model: m, context_window: 1001,", "context_window: is more than start.llama_server.context"),
    ],
)
def test_where_a_server_can_be_started(old: str, new: str, said: str) -> None:
    """On this machine, at a port of its own, and it reads what it is started for."""
    (found,) = problems(f"backends: {{b: {STARTED.replace(old, new)}}}")
    assert found.startswith(f"backends.b.{said}")


def test_two_cannot_be_started_at_one_address() -> None:
    """The second is told who is first."""
    text = f"backends:\n  a: {STARTED}\n  b: {STARTED}\ntiers: [{{name: slm, backends: [a, b]}}]"
    assert problems(text) == ["backends.b.base_url: 'a' is started at this port already; write another port"]
    other = STARTED.replace("model: m,", 'model: m, base_url: "http://[::1]:8082",')
    assert load(text.replace(f"b: {STARTED}", f"b: {other}")).warnings == ()


def test_a_started_server_is_for_chat() -> None:
    """Embeddings want one of their own."""
    text = f"backends: {{a: {STARTED}}}\nembeddings: {{backend: a, model: e}}"
    assert problems(text) == ["embeddings.backend: 'a' is started for chat; add a backend for embeddings"]
