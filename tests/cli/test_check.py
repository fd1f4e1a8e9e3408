from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.backends.llama.fake_server import installed, lives, model, starts
from tests.cli.conftest import Result
from tests.e2e.process import free_port

Run = Callable[..., Result]
GOOD = """
backends:
  api: {kind: openai, zone: remote, base_url: "https://api.example.com/v1", model: m, api_key_env: API_KEY,
        price: {kind: unpriced}}
"""


def test_a_good_config_is_printed_in_full(smallfirst: Run) -> None:
    """Defaults are filled in, the secret is masked, the output is a config itself."""
    Path("a.yaml").write_text(GOOD)
    result = smallfirst("check", "a.yaml", API_KEY="sk-very-secret")
    shown = yaml.safe_load(result.out)
    assert result.code == 0
    assert shown["backends"]["api"]["api_key"] == "***set***"
    assert shown["routing"]["llm_share"] == 0.05
    assert "sk-very-secret" not in result.out + result.err


def test_a_missing_secret_is_a_warning(smallfirst: Run) -> None:
    """The config is right; the backend starts down."""
    Path("a.yaml").write_text(GOOD)
    result = smallfirst("check", "a.yaml", "--json")
    told = json.loads(result.out)
    assert (result.code, told["ok"]) == (0, True)
    assert told["config"]["backends"]["api"]["api_key"] == "***missing***"
    assert "API_KEY is not set" in told["warnings"][0]


def test_a_bad_config_exits_2_with_every_problem(smallfirst: Run) -> None:
    """File, line, key and suggestion stand in each line."""
    Path("a.yaml").write_text(GOOD + "servr: {}\nrouting: {threshold: 7}\n")
    result = smallfirst("check", "a.yaml")
    assert result.code == 2
    assert "a.yaml:5: servr: unknown key; did you mean 'server'?" in result.err
    assert "a.yaml:6: routing.threshold:" in result.err
    problems = json.loads(smallfirst("check", "a.yaml", "--json").out)["problems"]
    assert len(problems) == 2


def test_without_a_file_it_names_the_next_step(smallfirst: Run) -> None:
    """Nothing to check is bad usage."""
    result = smallfirst("check")
    assert result.code == 2
    assert "smallfirst init" in result.err


STARTED = """
backends:
  small: {{kind: openai, zone: local, model: tiny, base_url: "http://127.0.0.1:{port}", price: unpriced,
          start: {{llama_server: {{model: "{model}", slots: 2, context: 512}}}}}}
"""


def test_a_server_to_be_started_is_shown(smallfirst: Run, directory: Path) -> None:
    """Which program, where it will listen, where its words are kept; all that is written for it."""
    path = installed(directory / "bin")
    Path("a.yaml").write_text(STARTED.format(port=8099, model=model(directory)))
    result = smallfirst("check", "a.yaml", PATH=path, XDG_STATE_HOME="/state")
    assert result.code == 0
    assert yaml.safe_load(result.out)["backends"]["small"]["start"]["llama_server"]["slots"] == 2
    log = "/state/smallfirst/llama-server-8099.log"
    program = str(directory / "bin" / "llama-server")
    assert f"small: starts {program} at 127.0.0.1:8099, its log is {log}" in result.err
    assert "warning" not in result.err
    told = json.loads(smallfirst("check", "a.yaml", "--json").out)
    assert told["start"] == {"small": {"program": program, "address": "127.0.0.1:8099", "log": log}}


def test_what_it_lacks_is_a_warning(smallfirst: Run, directory: Path) -> None:
    """The program and the file, each with its cure; the config is right all the same."""
    Path("a.yaml").write_text(STARTED.format(port=8099, model="none.gguf"))
    told = json.loads(smallfirst("check", "a.yaml", "--json", PATH=str(directory)).out)
    assert told["ok"]
    assert told["start"]["small"]["program"] is None
    first, second = told["warnings"]
    assert first.startswith("backends.small.start: there is no llama-server on PATH: install llama.cpp")
    assert second.startswith("backends.small.start: there is no file none.gguf")
    assert all(one.endswith("; this backend starts down") for one in (first, second))


def test_probing_starts_it_for_the_question(smallfirst: Run, directory: Path) -> None:
    """It tells its window and is gone again."""
    file = model(directory)
    path = installed(directory / "bin")
    Path("a.yaml").write_text(STARTED.format(port=free_port(), model=file))
    result = smallfirst("check", "a.yaml", "--probe", PATH=path, XDG_STATE_HOME=str(directory))
    assert result.code == 0, result.err
    assert "small: ready, context 512" in result.out
    (start,) = starts(file)
    assert not lives(start.pid)
    file.unlink()
    result = smallfirst("check", "a.yaml", "--probe", PATH=path, XDG_STATE_HOME=str(directory))
    assert result.code == 1
    assert "small: down, there is no file" in result.out
