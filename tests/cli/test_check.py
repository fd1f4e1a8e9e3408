from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.cli.conftest import Result

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
