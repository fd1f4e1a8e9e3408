"""The packaged card: it belongs to the packaged model and hides nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import router_models
from app.routers import load_router
from router_models.card import page, read_pairs

DEFAULT = Path(router_models.__file__).parent / "default"
CARD = json.loads((DEFAULT / "card.json").read_text("utf-8"))


def test_card_and_page_belong_to_the_model() -> None:
    """The hash is the model's, the page is what the card renders to, the thresholds are the model's."""
    assert CARD["sha256"] == hashlib.sha256((DEFAULT / "model.npz").read_bytes()).hexdigest()
    assert page(CARD) == (DEFAULT / "README.md").read_text("utf-8")
    thresholds = {share: round(load_router("default").threshold(float(share)), 4) for share in CARD["thresholds"]}
    assert thresholds == CARD["thresholds"]


def test_every_source_has_its_figures() -> None:
    """The five sources that may ship and both seeds, with n and interval, and all pairs."""
    assert set(CARD["dev"]) == {"bfcl", "lawbench", "llmrouter", "mmlu_pro", "routellm_mmlu"}
    assert set(CARD["sources"]) == {*CARD["dev"], "seed-en", "seed-zh"}
    assert all(
        m["n"] > 100 and m["apgr"]["low"] <= m["apgr"]["value"] <= m["apgr"]["high"] for m in CARD["dev"].values()
    )
    assert [(pair["easy"], pair["hard"]) for pair in CARD["pairs"]] == [(p["easy"], p["hard"]) for p in read_pairs()]
