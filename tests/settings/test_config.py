from __future__ import annotations

import pytest

from tests.settings.configs import OLLAMA, TWO, load, problems


def test_defaults() -> None:
    """One backend is enough: loopback, one tier, five percent."""
    config = load(OLLAMA).config
    assert (config.server.host, config.server.port, config.server.max_body_mb) == ("127.0.0.1", 8080, 50)
    assert [(tier.name, tier.backends) for tier in config.tiers] == [("slm", ("ollama",))]
    assert (config.routing.router, config.routing.llm_share, config.routing.threshold) == ("default", 0.05, None)
    assert (config.default_tier, config.state.kind, config.embeddings) == ("slm", "memory", None)


def test_a_threshold_replaces_the_share() -> None:
    """Exactly one of the two holds."""
    routing = load(OLLAMA + "routing: {threshold: 0.73}").config.routing
    assert (routing.threshold, routing.llm_share) == (0.73, None)
    assert "not both" in problems(OLLAMA + "routing: {threshold: 0.73, llm_share: 0.1}")[0]


@pytest.mark.parametrize("routing", ["threshold: 1.1", "llm_share: -0.1", "llm_share: .nan", "unknown_models: maybe"])
def test_routing_bounds(routing: str) -> None:
    """Shares and thresholds lie between 0 and 1."""
    assert problems(OLLAMA + f"routing: {{{routing}}}")[0].startswith(f"routing.{routing.partition(':')[0]}: must be")


def test_two_backends_need_tiers() -> None:
    """Which one is cheaper is not guessed."""
    assert problems(TWO[: TWO.index("tiers:")])[0].startswith("tiers: missing: the tiers, cheapest first")


def test_mistyped_and_later_sections() -> None:
    """A suggestion where one is near; redis comes later."""
    assert problems(OLLAMA + "recods: {kind: sqlite}") == ["recods: unknown key; did you mean 'records'?"]
    assert "state.kind: must be 'memory'" in problems(OLLAMA + "state: {kind: redis}")[0]


@pytest.mark.parametrize("what", ["text", "features"])
def test_what_is_local_needs_a_second_yes_not_the_only_one(what: str) -> None:
    """To keep what is private and not the rest is a mistake."""
    assert load(OLLAMA + f"records: {{store_{what}: true, store_local_{what}: true}}").config.records is not None
    found = problems(OLLAMA + f"records: {{store_local_{what}: true}}")
    assert found == [f"records: store_local_{what} needs store_{what}: true"]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Who can reach it decides whether keys are needed."""
    assert load(OLLAMA + f"server: {{host: '{host}'}}\nauth: none").config.server.loopback is loopback


def test_tier_of_goes_from_cheap_to_dear() -> None:
    """In the order of the tiers."""
    assert list(load(TWO).config.tier_of().items()) == [("small", "slm"), ("large", "llm")]
