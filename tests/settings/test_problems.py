from __future__ import annotations

import pytest

from app.settings.problems import dotted, suggestion
from tests.settings.configs import OLLAMA, problems

CURE = "a secret never stands in the config; put it into an environment variable and write that variable's name as "


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model:", "modle:", "backends.ollama.modle: unknown key; did you mean 'model'?"),
        ("model:", "modle:", "backends.ollama.model: missing: the model's id as the backend spells it"),
        ("zone: local,", "", "backends.ollama.zone: missing: local if prompts stay on machines you trust"),
        (", price: {kind: unpriced}", "", "backends.ollama.price: missing: {kind: local|compute-hour|tokens, ...}"),
        ("kind: ollama", "kind: olama", "did you mean 'ollama'?"),
        ("kind: ollama,", "", "backends.ollama.kind: missing: which kind of backend it is"),
        ("{kind: unpriced}", "{kind: tokn, input: 1}", "backends.ollama.price.kind: must be one of 'local'"),
        ("{kind: unpriced}", "{input: 1}", "backends.ollama.price.kind: missing: {kind: local|"),
        ("zone: local", "zone: locl", "backends.ollama.zone: must be 'local' or 'remote'; did you mean 'local'?"),
        ("  ollama:", "  my ollama:", "backends.my ollama: a name is made of"),
        ("zone: local", "zone: local, api_key: sk-123", f"backends.ollama.api_key: {CURE}'api_key_env'"),
        ("zone: local", "zone: local, api_key_env: sk-123", "backends.ollama.api_key_env: must be the NAME"),
        ("zone: local", "zone: local, capacity: 3", "backends.ollama.capacity: must be a valid dictionary"),
        ("backends:", "keys: [{name: a, key: sk-123}]\nbackends:", f"keys[0].key: {CURE}'env'"),
        ("backends:", "server: {admin_key: sk-123}\nbackends:", f"server.admin_key: {CURE}'admin_key_env'"),
        ("backends:", "backends: {}\nbackend:", "backends: Dictionary should have at least 1 item"),
        (
            "backends:",
            "tiers: [{name: a, backend: [b]}]\nbackends:",
            "tiers[0].backend: unknown key; did you mean 'backends'?",
        ),
    ],
)
def test_each_problem_names_key_and_cure(old: str, new: str, said: str) -> None:
    """And never the value, which may be a secret."""
    found = problems(OLLAMA.replace(old, new, 1))
    assert [line for line in found if line.startswith(said) or said in line], found
    assert "sk-123" not in "\n".join(found)


def test_wrong_items_are_not_told_twice() -> None:
    """A list whose only item is wrong is not also too short."""
    assert problems(OLLAMA + "tiers: [{nam: a, backends: [ollama]}]") == [
        "tiers[0].name: missing",
        "tiers[0].nam: unknown key; did you mean 'name'?",
    ]


def test_paths_and_suggestions() -> None:
    """As they are written in the file."""
    assert dotted(("tiers", 0, "name")) == "tiers[0].name"
    assert suggestion("modle", ["model", "zone"]) == "; did you mean 'model'?"
    assert suggestion("x", ["model"]) == ""
