"""Our own everyday requests: that they are what the documents say, and how labels are made of two ratings."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score

from router_models import everyday
from router_models.metrics import auroc
from tests.router_models.examples import jsonl

ITEMS = everyday.read()
RATERS = ("a", "b")
LABELS = {name: everyday.rated(everyday.DATA / f"everyday_labels_{name}.jsonl") for name in (*RATERS, "third")}


def lines(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (everyday.DATA / name).read_text("utf-8").splitlines()]


def test_how_many_and_how_mixed() -> None:
    """3,000 requests of forty kinds and more; English and Chinese alike, in each kind too."""
    assert len({one.id for one in ITEMS}) == len(ITEMS) >= 3_000
    assert len({one.kind for one in ITEMS}) >= 40
    languages = Counter(one.language for one in ITEMS)
    assert set(languages) == {"en", "zh"}
    assert abs(languages["en"] - languages["zh"]) < 0.02 * len(ITEMS)
    of = Counter((one.kind, one.language) for one in ITEMS)
    assert all(abs(of[kind, "en"] - of[kind, "zh"]) <= 3 for kind, _ in of)
    assert min(of.values()) >= 20


def test_chinese_is_chinese() -> None:
    """A request says in which language it is; almost all of the Chinese ones have Chinese in their last turn."""
    seen = Counter(
        (one.language, bool(re.search("[\u4e00-\u9fff]", json.dumps(one.body["messages"], ensure_ascii=False))))
        for one in ITEMS
    )
    assert seen["zh", True] / (seen["zh", True] + seen["zh", False]) > 0.95
    assert seen["en", True] / (seen["en", True] + seen["en", False]) < 0.05


def test_conversations_and_tools() -> None:
    """Not only single prompts: turns, system prompts, tools, formats and lengths, in both languages."""
    for language in ("en", "zh"):
        bodies = [one.body for one in ITEMS if one.language == language]
        assert sum(len(body["messages"]) > 2 for body in bodies) > 200
        assert sum(body["messages"][0]["role"] == "system" for body in bodies) > 100
        assert sum(bool(body.get("tools")) for body in bodies) > 80
        assert all(sum(name in body for body in bodies) > 30 for name in ("response_format", "max_tokens"))


def test_half_stand_in_minimal_pairs() -> None:
    """Of one kind and language, two or more each, and nearly always with different labels."""
    pairs = defaultdict(list)
    for one in ITEMS:
        if one.pair is not None:
            pairs[one.pair].append(one)
    assert sum(map(len, pairs.values())) >= len(ITEMS) / 2
    assert min(map(len, pairs.values())) >= 2
    assert all(len({(one.kind, one.language) for one in members}) == 1 for members in pairs.values())
    differing = sum(len({one.label for one in members}) > 1 for members in pairs.values())
    assert differing / len(pairs) > 0.95


@pytest.mark.parametrize("name", RATERS)
def test_each_request_has_the_label_of_each_rater(name: str) -> None:
    """One line for each request, with the rater, the day and a label from 1 to 5."""
    given = lines(f"everyday_labels_{name}.jsonl")
    assert sorted(str(line["id"]) for line in given) == sorted(one.id for one in ITEMS)
    assert {line["rater"] for line in given} == {f"rater-{name}"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", str(line["date"])) for line in given)
    assert {line["label"] for line in given} == {1, 2, 3, 4, 5}


def test_agreement_beyond_chance() -> None:
    """Our kappa is scikit-learn's, and above .6."""
    ids = sorted(LABELS["a"])
    first, second = ([LABELS[name][one] for one in ids] for name in RATERS)
    kappa = everyday.kappa(first, second)
    assert kappa == pytest.approx(cohen_kappa_score(first, second, weights="quadratic"), abs=1e-12)
    assert kappa > 0.6


def test_kappa_of_chance_and_of_full_agreement() -> None:
    """0 and 1."""
    assert everyday.kappa([1, 5, 3, 2], [1, 5, 3, 2]) == 1.0
    assert everyday.kappa([1, 1, 5, 5], [1, 5, 1, 5]) == pytest.approx(0.0)


def test_contested_labels_were_read_a_third_time() -> None:
    """All of them and no others, by a rater with a name, on a day."""
    contested = {one for one in LABELS["a"] if everyday.contested(LABELS["a"][one], LABELS["b"][one])}
    assert set(LABELS["third"]) == contested
    assert all(line["rater"] and line["date"] for line in lines("everyday_labels_third.jsonl"))


@pytest.mark.parametrize(
    ("first", "second", "contested"), [(1, 2, False), (1, 3, True), (3, 4, True), (4, 5, False), (5, 1, True)]
)
def test_what_is_contested(first: int, second: int, contested: bool) -> None:
    """Two or more apart, or one trusts a small model and the other does not."""
    assert everyday.contested(first, second) == contested == everyday.contested(second, first)


def data(directory: Path, third: dict[str, int]) -> Path:
    given = {"a": {"x": 1, "y": 3, "z": 4}, "b": {"x": 2, "y": 4, "z": 4}, "third": third}
    for name, labels in given.items():
        jsonl(
            directory / f"everyday_labels_{name}.jsonl", [{"id": one, "label": label} for one, label in labels.items()]
        )
    return directory


def test_labels_are_means_or_the_third_reading(tmp_path: Path) -> None:
    """A third reading counts for contested requests only."""
    assert everyday.resolved(data(tmp_path, {})) == {"x": 1.5, "y": 3.5, "z": 4.0}
    assert everyday.resolved(data(tmp_path, {"y": 3, "z": 1})) == {"x": 1.5, "y": 3.0, "z": 4.0}


def test_a_request_without_a_label_is_named(tmp_path: Path) -> None:
    """It would be lost silently otherwise."""
    item = {"id": "new", "kind": "k", "lang": "en", "pair": None, "request": {"messages": []}}
    jsonl(data(tmp_path, {}) / "everyday.jsonl", [item])
    with pytest.raises(ValueError, match=r"no label for .*new"):
        everyday.read(tmp_path)


def test_labels_reach_from_one_to_five() -> None:
    """In both languages, and P(needed) rises with the label from nearly never to nearly always."""
    for language in ("en", "zh"):
        assert {1.0, 2.0, 3.0, 4.0, 5.0} <= {one.label for one in ITEMS if one.language == language}
    told = sorted({(one.label, one.needed) for one in ITEMS})
    assert [needed for _, needed in told] == sorted({needed for _, needed in told})
    assert (told[0][1], told[-1][1]) == (0.02, 0.95)


def test_length_alone_does_not_tell_the_label() -> None:
    """Short hard and long easy requests were written on purpose; a router must beat this."""
    import numpy as np

    lengths = np.array([float(len(str(one.body["messages"][-1]["content"]))) for one in ITEMS])
    hard = np.array([float(one.label >= 3.5) for one in ITEMS])
    assert 0.2 < auroc(lengths, hard) < 0.85
