"""Prometheus takes the config and the rules, and each alert fires when it should and not otherwise."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.board import DEPLOY, grouped
from tests.deploy.names import wrong_names
from tests.deploy.prometheus import promtool
from tests.test_metric_names import TABLE

PROMETHEUS = DEPLOY / "prometheus"
FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
NAME = re.compile(r"([a-z_]+):smallfirst_([a-z0-9_]+):([a-z0-9_]+)")


def rules() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text("utf-8")) for path in FILES]
    return [rule for one in documents for group in one["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in rules() if "record" in rule}


def run(*arguments: str | Path) -> None:
    done = subprocess.run([promtool(), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_config(tmp_path: Path) -> None:
    """As it is shipped, but for the place of the key."""
    key = tmp_path / "admin_key"
    key.write_text("secret")
    text = (PROMETHEUS / "prometheus.yml").read_text("utf-8")
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/run/secrets/admin_key", str(key)).replace("rules/*", f"{PROMETHEUS}/rules/*"))
    run("check", "config", config)


def test_the_config_names_all_rules() -> None:
    """No file of rules is left out, and no test is taken for one."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    assert sorted(path for glob in config["rule_files"] for path in PROMETHEUS.glob(glob)) == FILES


def test_check_rules() -> None:
    """With Prometheus' own lint."""
    run("check", "rules", *FILES)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(path: Path) -> None:
    """`promtool test rules`."""
    run("test", "rules", path)


def test_each_alert_is_tested_to_fire_and_not_to() -> None:
    """And each recording rule is asked for its value."""
    fires: Counter[str] = Counter()
    quiet: Counter[str] = Counter()
    asked = ""
    for case in (case for path in TESTS for case in yaml.safe_load(path.read_text("utf-8"))["tests"]):
        for one in case.get("alert_rule_test", []):
            (fires if one["exp_alerts"] else quiet)[one["alertname"]] += 1
        asked += "".join(one["expr"] for one in case.get("promql_expr_test", []) if one["exp_samples"])
    assert set(fires) == set(quiet) == set(ALERTS)
    through_alerts = {"instance_backend:smallfirst_queue_depth_per_limit:ratio"}  # its value is in the alert's words
    assert {name for name in RECORDED if name not in asked} == through_alerts


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule.get("alert") or rule["record"]))
def test_names_exist(rule: dict[str, Any]) -> None:
    """Metrics, labels and values are the gateway's; recorded names are recorded."""
    expression = rule["expr"]
    assert {found[0] for found in NAME.finditer(expression)} <= set(RECORDED)
    alone = NAME.sub("1", expression)
    if alone == expression:
        assert wrong_names(expression) == []
    else:
        labels = {label for _, labels in TABLE.values() for label in labels}
        assert [name for name in wrong_names(alone) if name not in labels] == []
        assert grouped(expression) <= labels | {"job", "instance"}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_names_are_level_metric_operations(name: str) -> None:
    """The level names labels; counters lose their `_total`."""
    found = NAME.fullmatch(name)
    assert found
    labels = {label for _, labels in TABLE.values() for label in labels}
    assert set(found[1].split("_")) - {"instance"} <= labels
    assert "_total" not in name


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_say_what_to_do(name: str) -> None:
    """Severity, summary and description, and names that are told apart from others'."""
    rule = ALERTS[name]
    assert name.startswith("Smallfirst")
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}


def test_the_last_tier_is_named_where_the_file_says() -> None:
    """Whoever calls it otherwise has two places to change."""
    assert [str(rule["expr"]).count('tier="llm"') for rule in rules() if 'tier="llm"' in rule["expr"]] == [1, 1]
    assert 'tier="llm"' in ALERTS["SmallfirstTierUnknown"]["expr"]
