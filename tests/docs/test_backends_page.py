"""docs/backends.md and the table of quirks say the same: each kind, each flag, what is asked, the shortest configs."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from typing import Any, get_args

import httpx
import pytest
import yaml

from app.backends import probe
from app.backends.llama import journal, machine, server, servers
from app.backends.llama.launch import Launch
from app.backends.probe import Asking
from app.backends.quirks import BY_KIND, EVERYTHING, Quirks
from app.core.types import Capability
from app.errors import ConfigError
from app.main import background
from tests.docs.pages import blocks, rows, section, text, word, words
from tests.docs.test_config_page import KINDS
from tests.settings.configs import load

PAGE = "backends.md"
FLAGS = {one.name: one.default if one.default is not MISSING else {} for one in fields(Quirks)}
WINDOW = 12_345


def parts() -> list[str]:
    """The headings, in order."""
    return re.findall(r"^## (.+)$", text(PAGE), re.MULTILINE)


def shown(value: Any) -> Any:
    """As the page writes it, so that tables can be compared."""
    if isinstance(value, frozenset):
        return set(value)
    if isinstance(value, tuple):
        return {name for pair in value for name in pair}
    if isinstance(value, str):
        return {value}
    return {json.dumps(value)}


def flags(quirks: Quirks) -> dict[str, Any]:
    """Those that differ from the default; of capabilities what is lacking."""
    found = {name: getattr(quirks, name) for name in FLAGS if getattr(quirks, name) != FLAGS[name]}
    return {name: EVERYTHING - value if name == "has" else value for name, value in found.items()}


def test_kinds() -> None:
    """All kinds of the config have a part, and nothing else has but the two parts about all of them."""
    assert set(parts()) - {"Flags", "Window and capabilities"} == set(KINDS)
    assert len(parts()) == len(set(parts()))


def test_flags() -> None:
    """Each flag of the table of quirks once, with its default."""
    told = {word(row[0]): row[1] for row in rows(PAGE, "Flags")}
    assert told.keys() == FLAGS.keys()
    words_for = {"has": "all", "rename": "none", "ignored": "none", "dropped": "none", "accepted": "any"}
    for name, default in FLAGS.items():
        plain = default if isinstance(default, str) else json.dumps(default) if name not in words_for else ""
        assert told[name] == words_for.get(name, f"`{plain}`"), name
    assert FLAGS["has"] == EVERYTHING
    assert not any((FLAGS["rename"], FLAGS["ignored"], FLAGS["dropped"], FLAGS["accepted"]))


@pytest.mark.parametrize("kind", BY_KIND)
def test_table_of_a_kind(kind: str) -> None:
    """Each flag in which it differs, in the table's order and with its value, and no other."""
    told = {word(row[0]): set(words(row[1])) for row in rows(PAGE, kind)}
    expected = {name: shown(value) for name, value in flags(BY_KIND[kind]).items()}
    assert told == expected
    assert list(told) == list(expected)


def test_kinds_without_a_table() -> None:
    """Those that are one of the others on the wire."""
    assert KINDS.keys() - BY_KIND.keys() == {"hf-endpoint", "scripted"}
    for kind in KINDS.keys() - BY_KIND.keys():
        assert "| flag |" not in section(PAGE, kind)


def test_capabilities() -> None:
    """All of them are explained, and all are what a backend can have."""
    line = section(PAGE, "Flags").partition("The capabilities:")[2]
    assert set(get_args(Capability)) == EVERYTHING
    assert set(words(line)) - {"required"} == EVERYTHING


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_tells_all(kind: str) -> None:
    """What it is and a config, how it is learned, what it is bad at."""
    said = section(PAGE, kind)
    assert said.count("```yaml") == 1
    assert said.index("```yaml") < said.index("**Window and capabilities.**") < said.index("**Badly.**")


@pytest.mark.parametrize("config", blocks(PAGE, "yaml"))
def test_shortest_config(config: str) -> None:
    """It loads, and not without any of its keys."""
    load(config)
    whole = yaml.safe_load(config)
    ((name, backend),) = whole["backends"].items()
    for key in backend:
        less = {"backends": {name: {one: value for one, value in backend.items() if one != key}}}
        with pytest.raises(ConfigError):
            load(yaml.safe_dump(less))


def test_each_config_is_of_its_kind() -> None:
    """In the order of the headings."""
    kinds = [next(iter(yaml.safe_load(one)["backends"].values()))["kind"] for one in blocks(PAGE, "yaml")]
    assert kinds == [part for part in parts() if part in KINDS]


def ask(kind: str, says: dict[str, Any]) -> tuple[list[str], Any]:
    """Probe a server that answers everything with the same; the paths that were asked, and what was learned."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json=says)

    spec = load(_config(kind)).config.backend_specs()[0]
    client = httpx.Client(base_url=spec.base_url, transport=httpx.MockTransport(answer))
    asking = Asking(spec, kind)
    with client:
        return asked, probe._of(asking)(client, asking)


def _config(kind: str) -> str:
    return next(one for one in blocks(PAGE, "yaml") if f"kind: {kind}," in one)


def everything(kind: str, field: str) -> dict[str, Any]:
    """An answer in which `field` stands wherever the kind could look for it."""
    model = next(iter(yaml.safe_load(_config(kind))["backends"].values()))["model"]
    return {
        field: WINDOW,
        "parameters": f"{field} {WINDOW}",
        "data": [{"id": model, field: WINDOW}],
        "models": [{"model": model, field: WINDOW}],
    }


@pytest.mark.parametrize("row", rows(PAGE, "Window and capabilities"), ids=lambda row: word(row[0]))
def test_what_is_asked(row: list[str]) -> None:
    """These paths and no others, and the window is where the page says."""
    kind, told = word(row[0]), words(row[2])
    assert ask(kind, {})[0] == words(row[1])
    names = [name for name in told if name != "context_window"]
    assert [name for name in names if ask(kind, everything(kind, name))[1].context_window == WINDOW] == names
    known = ["max_model_len", "context_length", "num_ctx", "n_ctx", "max_total_tokens", "max_input_tokens"]
    assert {name for name in known if ask(kind, everything(kind, name))[1].context_window == WINDOW} == set(names)


def test_what_is_asked_of_each() -> None:
    """Every kind with a table of its own has a row."""
    assert [word(row[0]) for row in rows(PAGE, "Window and capabilities")] == list(BY_KIND)


def test_what_the_model_tells() -> None:
    """Which kinds say what their model can do."""
    teaching = {
        kind
        for kind in BY_KIND
        if ask(kind, {"capabilities": ["vision"], "modalities": {"vision": False}})[1].capabilities is not None
    }
    assert {word(row[0]) for row in rows(PAGE, "Window and capabilities") if row[3] != "not told"} == teaching


def test_how_often() -> None:
    """As the probes do."""
    said = section(PAGE, "Window and capabilities")
    assert f"every {background.PROBE_READY:g} s, and every {background.PROBE_TROUBLED:g} s" in said


def test_no_embeddings() -> None:
    """Of the kinds of which the page says so, and no others."""
    none = {kind for kind in KINDS if "no embeddings here" in section(PAGE, kind)}
    assert none == {"tgi", "transformers"}  # as docs/config.md has it, which is compared with the code


def test_numbers_of_a_started_server() -> None:
    """Pauses, patience and the size of its log, as they are in the code."""
    said = " ".join(section(PAGE, "llama-cpp").split())
    assert f"after {server.FIRST:g} s and then twice as long each time, at most {server.LONGEST:g} s" in said
    assert server.STABLE == 60
    assert "a minute of being ready makes the next pause 1 s again" in said
    assert server.TRIES == 3
    assert "From the third end in a row the state is `down`" in said
    assert f"for at most {servers.PATIENCE:g} s" in said
    assert f"SIGKILL {machine.GRACE:g} s later" in said
    assert journal.LIMIT == 4 << 20
    assert "cut to its newest half when it has 4 MB" in said
    kept = Launch("m.gguf", "m", "127.0.0.1", 8081).journal({"XDG_STATE_HOME": "/state"})
    assert f"~/.local{kept}".replace("8081", "PORT") in said
