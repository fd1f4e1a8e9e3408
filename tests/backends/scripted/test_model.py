"""The words of the fake: faults and where they can strike."""

from __future__ import annotations

from app.backends.scripted.model import SPOILS, STREAM_ONLY, Fault, Model


def test_faults_are_of_one_kind() -> None:
    """No fault is at once one of streams only and one of both forms."""
    assert not SPOILS & STREAM_ONLY
    assert len(Fault) == len({fault.value for fault in Fault})


def test_the_plainest_model_is_quick() -> None:
    """A model that nobody described waits for nothing and has its model loaded."""
    model = Model()
    assert (model.first_token, model.per_token, model.load, model.loaded) == (0, 0, 0, True)
