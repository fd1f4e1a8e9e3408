"""The card: written from facts, hides nothing, and the packaged one belongs to the packaged model."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import router_models
from app.core.chat import ChatRequest
from app.routers import load_router
from router_models import card, everyday
from router_models.metrics import METRICS, auroc
from tests.router_models.conftest import DAY, Mixed, Trained

DEFAULT = Path(router_models.__file__).parent / "default"
CARD = json.loads((DEFAULT / "card.json").read_text("utf-8"))
SEED = [json.loads(line) for line in (everyday.DATA / "seed.jsonl").read_text("utf-8").splitlines()]
SHIPS = {"bfcl", "lawbench", "llmrouter", "mmlu_pro", "routellm_mmlu"}


@pytest.fixture(scope="module")
def facts(mixed: Mixed) -> dict[str, Any]:
    return card.make(mixed.fit, DAY, frozenset({"law"}))


# --- the packaged one ------------------------------------------------------------------------------------------


def test_card_and_page_belong_to_the_packaged_model() -> None:
    """The hash is the model's, the page is what the card renders to, the thresholds are the model's."""
    assert CARD["sha256"] == hashlib.sha256((DEFAULT / "model.npz").read_bytes()).hexdigest()
    assert card.page(CARD) == (DEFAULT / "README.md").read_text("utf-8")
    router = load_router("default")
    thresholds = {share: round(router.threshold(float(share)), 4) for share in CARD["thresholds"]}
    assert thresholds == CARD["thresholds"]


def test_the_packaged_pairs_are_scored_by_the_packaged_model() -> None:
    """All of them, wrong ones too."""
    router = load_router("default")
    assert [(pair["easy"], pair["hard"]) for pair in CARD["pairs"]] == [
        (pair["easy"], pair["hard"]) for pair in card.read_pairs()
    ]
    for pair in CARD["pairs"]:
        for name in ("easy", "hard"):
            score = router.score(ChatRequest("chat", {"messages": [{"role": "user", "content": pair[name]}]}))
            assert score is not None
            assert pair[f"{name}_score"] == pytest.approx(score.value, abs=1e-4)


def test_every_packaged_source_has_its_figures() -> None:
    """Only sources that may ship and our own; each with n and interval, nothing left out."""
    assert set(CARD["dev"]["sources"]) == SHIPS
    assert set(CARD["sources"]) == {*SHIPS, "everyday-en", "everyday-zh"}
    for figures in CARD["dev"]["sources"].values():
        assert figures["n"] > 100
        assert set(METRICS) < set(figures)
        assert all(
            figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"] for name in ("apgr", "auroc")
        )


def test_the_packaged_card_tells_how_raters_agree() -> None:
    """As computed from the files that are packaged with it."""
    found = card.raters()
    assert {**found, "kappa": round(found["kappa"], 4), "equal": round(found["equal"], 4)} == CARD["raters"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_packaged_router_on_a_list_of_its_own(language: str) -> None:
    """An older list of everyday requests, written and labelled apart and never trained on: AUROC .85 at least."""
    router = load_router("default")
    items = [item for item in SEED if item["lang"] == language]
    bodies = [{"messages": [{"role": "user", "content": item["prompt"]}]} for item in items]
    scores = [router.score(ChatRequest("chat", body)) for body in bodies]
    assert len(items) >= 250
    assert auroc(np.array([one.value for one in scores if one]), np.array([float(i["label"]) for i in items])) >= 0.85


def test_that_list_is_in_order() -> None:
    """Both labels in both languages, no prompt twice, many kinds, and hardly any text of everyday.jsonl in it."""
    assert len({item["prompt"] for item in SEED}) == len(SEED) >= 500
    assert {(item["lang"], item["label"]) for item in SEED} == {(la, label) for la in ("en", "zh") for label in (0, 1)}
    assert len({item["kind"] for item in SEED}) >= 30
    ours = {_plain(str(one.body["messages"][-1]["content"])) for one in everyday.read()}
    assert sum(_plain(item["prompt"]) in ours for item in SEED) <= 0.02 * len(SEED)


def _plain(text: str) -> str:
    return re.sub(r"\W", "", text.lower())


# --- how one is made -------------------------------------------------------------------------------------------


def test_what_a_card_states(facts: dict[str, Any]) -> None:
    """Date, sources with origin and licence, dev figures with baselines, everyday sense, ablation, thresholds."""
    assert facts["date"] == DAY
    assert facts["sources"]["exam"] == {
        "rows": 260, "train": 220, "origin": "the user's own", "licence": "the user's own",
    }  # fmt: skip
    assert facts["sources"]["everyday-en"]["licence"] == "own, Apache-2.0"
    assert set(facts["dev"]["sources"]) == {"exam", "law"}
    assert set(facts["dev"]["baselines"]) == {"random", "length", "oracle"}
    assert facts["dev"]["macro"]["apgr"]["value"] == facts["dev"]["sources"]["exam"]["apgr"]["value"]
    assert set(facts["ablation"]) == set(card.ABLATIONS)
    assert {"en, as written", "zh, as written"} <= set(facts["everyday"])
    assert facts["thresholds"].keys() == {str(share) for share in card.SHARES}
    assert facts["share_at_5_percent_threshold"].keys() == facts["sources"].keys()


def test_a_card_is_json(facts: dict[str, Any]) -> None:
    """Without nan, four digits, and the same from the same fit."""
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert not re.search(r"\d\.\d{5}", json.dumps(facts))


def test_the_page_is_made_of_the_facts_alone(facts: dict[str, Any]) -> None:
    """Read back from sorted JSON it gives the same page, and a changed figure is a changed page."""
    page = card.page(facts)
    assert card.page(json.loads(json.dumps(facts, sort_keys=True))) == page
    for text in ("0.1234", *card.ABLATIONS, "exam", "everyday-zh", "**macro**", "**pooled**", "length", DAY):
        assert (text in page) == (text != "0.1234")
    facts = json.loads(json.dumps(facts))
    facts["raters"]["kappa"] = 0.1234
    assert "quadratic weighted kappa 0.1234" in card.page(facts)


def test_the_page_shows_every_pair_and_source(facts: dict[str, Any]) -> None:
    """None is hidden, with a yes or a no for each pair."""
    page = card.page(facts)
    for pair in facts["pairs"]:
        answer = "yes" if pair["easy_score"] < pair["hard_score"] else "no"
        row = next(line for line in page.splitlines() if pair["hard"].replace("|", "/") in line)
        assert row.endswith(f"| {answer} |")
    assert all(f"| {name} |" in page for name in facts["sources"])


def test_without_dev_rows_or_own_requests_there_are_no_such_figures(trained: Trained, mixed: Mixed) -> None:
    """The page leaves the section out instead of inventing one."""
    assert "everyday" not in trained.card
    assert "raters" not in trained.card
    assert "Our own everyday requests were" not in card.page(trained.card)
    assert "## Dev part" in card.page(trained.card)
    assert "## Dev part" not in card.page({name: value for name, value in trained.card.items() if name != "dev"})


def test_a_source_of_the_user_is_the_users() -> None:
    """Only names of the public sources are told as theirs."""
    assert card._origin("everyday_support") == ("the user's own", "the user's own")
    assert card._origin("everyday-en")[1] == "own, Apache-2.0"
    assert card._origin("routerdc_math")[0].startswith("shuhao02/RouterDC")


def test_all_ablations_are_told(facts: dict[str, Any]) -> None:
    """What the whole model reaches, and what is left without each part."""
    for figures in facts["ablation"].values():
        assert set(figures) == {"macro_apgr", "pooled_apgr", "everyday_auroc"}
