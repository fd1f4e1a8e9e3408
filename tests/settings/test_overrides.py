from __future__ import annotations

import pytest

from app.settings.overrides import override, variable
from tests.settings.configs import OLLAMA, TWO, load, problems


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("SMALLFIRST_SERVER__PORT", "9000", ("server", "port"), 9000),
        ("smallfirst_server__port", "9000", ("server", "port"), 9000),
        ("SMALLFIRST_BACKENDS__MY_OLLAMA__MODEL", "phi4", ("backends", "My-Ollama", "model"), "phi4"),
        ("SMALLFIRST_BACKENDS__MY_OLLAMA__REASONING", "off", ("backends", "My-Ollama", "reasoning"), "off"),
        (
            "SMALLFIRST_BACKENDS__MY_OLLAMA__CAPACITY__MAX_WAIT",
            "1m",
            ("backends", "My-Ollama", "capacity", "max_wait"),
            60,
        ),
        ("SMALLFIRST_ROUTING__LOCAL_ONLY", "true", ("routing", "local_only"), True),
        ("SMALLFIRST_SERVER", "{port: 9000}", ("server", "port"), 9000),
        ("SMALLFIRST_TIERS", '[{"name": "only", "backends": ["My-Ollama"]}]', ("tiers", 0, "name"), "only"),
    ],
)
def test_a_variable_replaces_one_key(name: str, value: str, path: tuple[str | int, ...], expected: object) -> None:
    """Whatever the case of names, and with `_` for signs no variable can have."""
    found: object = load(OLLAMA.replace("ollama:", "My-Ollama:"), {name: value}).config
    for key in path:
        found = found[key] if isinstance(found, dict | tuple) else getattr(found, str(key))  # type: ignore[index]
    assert found == expected


def test_the_rest_of_a_mapping_stays() -> None:
    """Deep merge; a price of another kind replaces the old one whole."""
    document = {"backends": {"a": {"kind": "ollama", "price": {"kind": "tokens", "input": 1, "output": 2}}}}
    merged = override(document, {"SMALLFIRST_BACKENDS__A__PRICE": "{output: 3}"}).values
    assert merged["backends"]["a"]["price"] == {"kind": "tokens", "input": 1, "output": 3}
    replaced = override(document, {"SMALLFIRST_BACKENDS__A__PRICE": "{kind: unpriced}"}).values
    assert replaced["backends"]["a"]["price"] == {"kind": "unpriced"}
    assert document["backends"]["a"]["price"]["output"] == 2


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SMALLFIRST_SERVER_PORT", "SMALLFIRST_SERVER__PORT"),
        ("SMALLFIRST_BACKENDS__SMAL__MODEL", "SMALLFIRST_BACKENDS__SMALL__MODEL"),
        ("SMALLFIRST_PINK_HUE", None),
    ],
)
def test_an_unknown_variable_is_a_warning(name: str, near: str | None) -> None:
    """It is not applied, its value not shown, and the likely name is."""
    warnings = load(TWO, {name: "sk-secret", "OTHER": "1"}).warnings
    assert warnings == (f"{name}: no such setting, ignored" + (f"; did you mean {near}?" if near else ""),)


def test_a_variable_that_the_config_names_is_known() -> None:
    """A secret may be called SMALLFIRST_ADMIN_KEY."""
    text = OLLAMA + "server: {admin_key_env: SMALLFIRST_ADMIN_KEY}"
    assert load(text, {"SMALLFIRST_ADMIN_KEY": "x"}).warnings == ()


def test_a_bad_value_names_its_variable() -> None:
    """Not the file, where nothing is wrong."""
    assert problems(OLLAMA, {"SMALLFIRST_SERVER__PORT": "many"})[0].startswith("server.port: must be a valid integer")


def test_the_name_of_a_variable() -> None:
    """Signs become underscores, levels are two of them."""
    assert variable(("backends", "my-box.1", "model")) == "SMALLFIRST_BACKENDS__MY_BOX_1__MODEL"
