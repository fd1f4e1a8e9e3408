"""A backend as the policy sees it."""

from __future__ import annotations

from dataclasses import replace

from app.core.types import Facts, Step
from tests.fakes import FakeBackend, two_tiers


def test_candidate() -> None:
    """A candidate shows zone, model, abilities, state and the window that probing learned."""
    backend = FakeBackend("small", has=["tools"])
    post = two_tiers(backend).gateway.posts["small"]
    backend.facts = Facts("loading", context_window=4096)
    candidate = post.candidate()
    assert candidate.step == Step("small", "slm")
    assert (candidate.zone, candidate.model, candidate.state) == ("local", "small-model", "loading")
    assert (candidate.has, candidate.context_window) == (frozenset({"tools"}), 4096)


def test_configured_window_wins() -> None:
    """What the operator wrote counts more than what was learned."""
    backend = FakeBackend("small")
    backend.spec = replace(backend.spec, context_window=2048)
    backend.facts = Facts("ready", context_window=4096)
    assert two_tiers(backend).gateway.posts["small"].candidate().context_window == 2048
