from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Result

Run = Callable[..., Result]


def test_it_decides_on_a_fresh_machine(smallfirst: Run) -> None:
    """Without any config a greeting goes to the small tier, and the numbers say why."""
    result = smallfirst("route", "--json", "你好")
    decision = json.loads(result.out)
    assert result.code == 0
    assert decision["tier"] == "slm"
    assert decision["backend"] == "small"
    assert decision["model"] == "qwen3:4b"
    assert decision["reason"] == "score"
    assert decision["score"] < decision["threshold"]
    assert decision["contributions"]


def test_a_harder_question_scores_higher(smallfirst: Run) -> None:
    """A proof needs the large model more than a greeting does."""
    proof, greeting = (json.loads(smallfirst("route", "--json", text).out) for text in ("证明根号2是无理数", "你好"))
    assert proof["score"] > greeting["score"]


def test_a_request_file_is_taken_whole(smallfirst: Run) -> None:
    """Model, tools and messages of the file decide: a tier's name as model is an explicit tier."""
    Path("r.json").write_text(json.dumps({"model": "llm", "messages": [{"role": "user", "content": "hi"}]}))
    result = smallfirst("route", "--request", "r.json")
    assert result.code == 0
    assert result.out.startswith("llm: large on large (reason: explicit-tier)")


def test_what_a_backend_lacks_decides(smallfirst: Run) -> None:
    """Ollama gives one choice whatever `n` says, so the request moves to a backend that gives two."""
    Path("r.json").write_text(json.dumps({"n": 2, "messages": [{"role": "user", "content": "hi"}]}))
    decision = json.loads(smallfirst("route", "--request", "r.json", "--json").out)
    assert (decision["tier"], decision["reason"], decision["fallbacks"]) == ("llm", "capability", [])


RULES = """
backends:
  small: {kind: ollama, zone: local, base_url: "http://127.0.0.1:11434", model: "qwen3:4b", price: unpriced}
  large: {kind: openai, zone: remote, base_url: "http://127.0.0.1:8000", model: large, price: unpriced}
tiers: [{name: slm, backends: [small]}, {name: llm, backends: [large]}]
routing:
  rules:
    - {name: ids, when: {content: [id-card]}, then: {local_only: true}}
    - {name: proofs, when: {content: [{regex: 证明}]}, then: {tier: llm}}
"""


def test_rules_are_named(smallfirst: Run) -> None:
    """Which one chose the tier, or keeps the request local; and what else the decision saw."""
    Path("g.yaml").write_text(RULES, encoding="utf-8")
    kept = json.loads(smallfirst("route", "--config", "g.yaml", "--json", "证明：11010519491231002X").out)
    assert (kept["backend"], kept["reason"], kept["rule"], kept["fallbacks"]) == ("small", "local-only", "ids", [])
    assert kept["estimate"] > 10
    assert kept["needs"] == []
    told = smallfirst("route", "--config", "g.yaml", "证明根号2是无理数").out
    assert told.startswith("llm: large on large (reason: rule, rule: proofs)\nabout ")
    free = json.loads(smallfirst("route", "--config", "g.yaml", "--json", "hi").out)
    assert (free["reason"], free["rule"]) == ("score", None)


def test_a_conflict_names_the_rule(smallfirst: Run) -> None:
    """Asking for the remote tier with an ID card in the text is refused, and the cure is told."""
    Path("g.yaml").write_text(RULES, encoding="utf-8")
    body = {"model": "llm", "messages": [{"role": "user", "content": "11010519491231002X"}]}
    Path("r.json").write_text(json.dumps(body))
    result = smallfirst("route", "--config", "g.yaml", "--request", "r.json", "--json")
    error = json.loads(result.out)["error"]
    assert (result.code, error["status"], error["code"]) == (1, 400, "local_only_conflict")
    assert "by the rule 'ids'" in error["message"]
    assert "or 'auto'" in error["message"]


def test_a_refusal_is_told_as_the_api_tells_it(smallfirst: Run) -> None:
    """A body the gateway would answer with a 400 exits 1 with that message."""
    Path("r.json").write_text('{"messages": []}')
    result = smallfirst("route", "--request", "r.json", "--json")
    assert result.code == 1
    assert json.loads(result.out)["error"]["status"] == 400


def test_bad_usage_exits_2(smallfirst: Run) -> None:
    """Neither text nor request, both, a file that is no JSON."""
    Path("r.json").write_text("{")
    for arguments in ([], ["hi", "--request", "r.json"], ["--request", "r.json"], ["--request", "none.json"]):
        assert smallfirst("route", *arguments).code == 2
