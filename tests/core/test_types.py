"""The values: frozen, and what little they derive."""

from __future__ import annotations

import dataclasses
import inspect
from typing import get_args

import pytest

from app.core import types
from app.core.types import STATES, BackendSpec, State

VALUES = [value for _, value in inspect.getmembers(types, dataclasses.is_dataclass)]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_values_are_frozen_and_slotted(value: type) -> None:
    """Nothing that travels between rooms can be changed on the way or be given stray attributes; what is made once
    per request at its end is not frozen, since that would cost a call per field."""
    assert value.__dataclass_params__.frozen or value in (types.Receipt, types.Record)  # type: ignore[attr-defined]
    assert "__slots__" in vars(value)


def test_states_are_all_listed() -> None:
    """The tuple of states and the type agree."""
    assert get_args(State) == STATES


def test_identity_is_the_host_or_the_served_model() -> None:
    """Backends of one host share slots; others are told apart by address and model, not by their name."""
    one = BackendSpec("a", "ollama", "local", "http://localhost:11434", "qwen3:4b")
    renamed = dataclasses.replace(one, name="b")
    other = dataclasses.replace(one, model="qwen3:8b")
    assert one.identity == renamed.identity != other.identity
    shared = [dataclasses.replace(spec, host="box").identity for spec in (one, other)]
    assert shared == ["box", "box"]
