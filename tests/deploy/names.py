"""Is what an expression asks for a metric of ours, with labels and values that it has?"""

from __future__ import annotations

from tests.deploy.board import grouped, selectors
from tests.docs.test_metrics_page import SETS
from tests.test_metric_names import TABLE

PROMETHEUS = {"job", "instance"}  # labels that a scrape adds


def metric(name: str) -> str:
    """The family of a histogram's series."""
    for suffix in ("_bucket", "_sum", "_count"):
        family = name.removesuffix(suffix)
        if family != name and TABLE.get(family, ("", set()))[0] == "histogram":
            return family
    return name


def wrong_names(expression: str) -> list[str]:
    """What does not exist; a histogram is asked by its series."""
    wrong: list[str] = []
    known = {"le", *PROMETHEUS}
    for name, asked in selectors(expression):
        family = metric(name)
        if family not in TABLE or (TABLE[family][0] == "histogram") != (family != name):
            wrong.append(name)
            continue
        known |= TABLE[family][1]
        wrong += [f"{name}: {label}={value}" for label, value in asked if not _has(family, label, value)]
    return wrong + sorted(grouped(expression) - known)


def _has(family: str, label: str, value: str) -> bool:
    if label in PROMETHEUS:
        return True
    return label in TABLE[family][1] and ((family, label) not in SETS or value in SETS[family, label])
