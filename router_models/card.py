"""The card of a fitted router: every figure as data (card.json) and as a page for people (README.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.features import FEATURE_VERSION
from app.core.linear import FORMAT_VERSION, LinearModel
from router_models import metrics
from router_models.data import NEEDED, seed_body
from router_models.fit import EASY_SHARE, SEED_WEIGHT, Fit

PAIRS_FILE = Path(__file__).parent / "data" / "everyday_pairs.jsonl"
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
LICENCES = {
    "bfcl": "BFCL results (no licence file of their own; the gorilla project they belong to is Apache-2.0)",
    "lawbench": "LawBench predictions (Apache-2.0)",
    "llmrouter": "LLMRouter data (MIT)",
    "mmlu_pro": "MMLU-Pro evaluation results (Apache-2.0)",
    "routellm_mmlu": "RouteLLM's MMLU columns (Apache-2.0)",
}


def make(fit: Fit, date: str) -> dict[str, Any]:
    """All that card.json states, apart from the sha256. Deterministic."""
    data = fit.data
    dev = ~data.fitted & ~data.everyday
    names = np.unique(data.sources[dev])
    return {
        "format_version": FORMAT_VERSION,
        "feature_version": FEATURE_VERSION,
        "date": date,
        "kind": "linear",
        "sources": {
            str(name): {
                "rows": int((data.sources == name).sum()),
                "licence": LICENCES.get(str(name), "own, Apache-2.0"),
            }
            for name in np.unique(data.sources)
        },
        "dev": {str(name): _measure(fit, dev & (data.sources == name)) for name in names},
        "dev_pooled": _measure(fit, dev),
        "dev_macro_apgr": _rounded(np.mean([_apgr(fit, dev & (data.sources == name)) for name in names])),
        "everyday": {name: _everyday(fit, name) for name in ("seed-en", "seed-zh")},
        "reference_ece": _rounded(_reference_ece(fit)),
        "pairs": [_pair(fit.model, pair) for pair in read_pairs()],
        "thresholds": {str(share): _rounded(fit.model.threshold(share)) for share in SHARES},
        "share_at_5_percent_threshold": _shares(fit, fit.model.threshold(0.05)),
    }


def read_pairs(path: Path = PAIRS_FILE) -> list[dict[str, str]]:
    """Pairs of an easy and a hard everyday request: `lang`, `easy`, `hard`. Never trained on."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _measure(fit: Fit, rows: NDArray[np.bool_]) -> dict[str, Any]:
    scores, gains, needed = fit.scores[rows], fit.data.gains[rows], fit.data.needed[rows]
    return {
        "n": int(rows.sum()),
        "auroc": _with_interval(metrics.auroc, scores, needed),
        "apgr": _with_interval(metrics.apgr, scores, gains),
        "length_apgr": _rounded(metrics.apgr(fit.data.lengths[rows], gains)),
        "pgr5": _rounded(metrics.pgr(scores, gains, 0.05)),
        "pgr5_oracle": _rounded(metrics.pgr(gains, gains, 0.05)),
        "ece": _rounded(metrics.ece(scores, needed)),
    }


def _with_interval(metric: Any, *arrays: NDArray[np.float64]) -> dict[str, float]:
    low, high = metrics.interval(metric, *arrays)
    return {"value": _rounded(metric(*arrays)), "low": _rounded(low), "high": _rounded(high)}


def _apgr(fit: Fit, rows: NDArray[np.bool_]) -> float:
    return metrics.apgr(fit.scores[rows], fit.data.gains[rows])


def _everyday(fit: Fit, source: str) -> dict[str, Any]:
    rows = fit.data.sources == source
    return {"n": int(rows.sum()), "auroc": _with_interval(metrics.auroc, fit.scores[rows], fit.data.needed[rows])}


def _reference_ece(fit: Fit) -> float:
    """Calibration error on the reference traffic, each row by its weight."""
    used = fit.reference > 0
    scores, weights = fit.scores[used], fit.reference[used]
    which = np.minimum((scores * 10).astype(int), 9)
    return float(np.abs(np.bincount(which, weights * (scores - fit.data.needed[used]), 10)).sum())


def _shares(fit: Fit, threshold: float) -> dict[str, float]:
    """What part of each source a fixed threshold would send to the large model."""
    held = fit.reference > 0
    names = np.unique(fit.data.sources[held])
    return {str(name): _rounded(np.mean(fit.scores[held & (fit.data.sources == name)] >= threshold)) for name in names}


def _pair(model: LinearModel, pair: Mapping[str, str]) -> dict[str, Any]:
    easy, hard = (_rounded(model.score(seed_body({"prompt": pair[kind]}))) for kind in ("easy", "hard"))
    return {**pair, "easy_score": easy, "hard_score": hard}


def _rounded(value: Any) -> float:
    return round(float(value), 4)


def page(card: Mapping[str, Any]) -> str:
    """README.md of the artifact."""
    return "\n".join(_page(card)) + "\n"


def _page(card: Mapping[str, Any]) -> Iterator[str]:
    yield "# Router artifact `linear`\n"
    yield f"Made {card['date']} by `python -m router_models.train`"
    yield f"(format {card['format_version']}, features {card['feature_version']}).\n"
    yield "Logistic regression on hashed words, CJK characters and bigrams, and named counters. The score is the"
    yield "calibrated probability that the large model is needed: that it would score at least"
    yield f"{NEEDED} higher than the small one on this request.\n"
    yield from _page_data(card)
    yield from _page_dev(card)
    yield from _page_everyday(card)
    yield from _page_thresholds(card)
    yield "## What it is bad at\n"
    yield "The labels come from exams and from models of 2023 and 2024; difficulty within one exam is learned weakly"
    yield "(an interval that holds .5 is no better than chance, and length alone wins on some sources). Chinese is"
    yield "LawBench and the seed only. Tools, effort, output format and images rest on few examples or none. Of a"
    yield "conversation it reads the last user message; what came before enters as counters only."


def _page_data(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Data\n"
    sources = card["sources"].items()
    yield from _table(("source", "rows", "licence"), [(name, s["rows"], s["licence"]) for name, s in sources])
    yield "The everyday seed (`router_models/data/seed.jsonl`) is our own words, easy 0 or hard 1 as one author judged."
    yield f"In each language it weighs {SEED_WEIGHT} times the benchmark rows of that language.\n"


def _page_dev(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Dev part\n"
    yield "Never fitted, but the settings and the calibration were chosen on it, so the figures lean to the good side."
    yield "Intervals: 200 bootstrap rounds. Random has .5.\n"
    named = [*card["dev"].items(), ("pooled", card["dev_pooled"])]
    head = ("source", "n", "AUROC [95 %]", "APGR [95 %]", "length alone APGR", "PGR at 5 % (oracle)", "ECE")
    yield from _table(head, [_dev_cells(name, measured) for name, measured in named])
    yield f"Macro APGR {card['dev_macro_apgr']:.3f}.\n"


def _dev_cells(name: str, m: Mapping[str, Any]) -> list[str]:
    recovered = f"{m['pgr5']:.3f} ({m['pgr5_oracle']:.3f})"
    length = f"{m['length_apgr']:.3f}"
    return [name, str(m["n"]), _span(m["auroc"]), _span(m["apgr"]), length, recovered, f"{m['ece']:.3f}"]


def _page_everyday(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Everyday requests\n"
    yield "The seed, out of fold, whole kinds of work left out:\n"
    seeds = card["everyday"].items()
    yield from _table(("seed", "n", "AUROC [95 %]"), [(name, m["n"], _span(m["auroc"])) for name, m in seeds])
    yield "Pairs that were never trained on:\n"
    yield from _table(("easy", "score", "hard", "score", "right"), [_pair_cells(pair) for pair in card["pairs"]])


def _pair_cells(pair: Mapping[str, Any]) -> list[str]:
    right = "yes" if pair["hard_score"] > pair["easy_score"] else "NO"
    return [pair["easy"], f"{pair['easy_score']:.3f}", pair["hard"], f"{pair['hard_score']:.3f}", right]


def _page_thresholds(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Thresholds\n"
    yield f"Quantiles of a reference traffic: half of it the seed out of fold ({EASY_SHARE:.0%} easy), half the dev"
    yield "parts in equal shares. Neither alone is like real traffic: exams hold hardly anything trivial and crowd"
    yield "the middle of the scale, the seed knows only extremes. Calibration error on this traffic, where the two"
    yield f"calibration parameters were fitted: {card['reference_ece']:.3f}.\n"
    yield from _table(("llm_share", "threshold"), list(card["thresholds"].items()))
    yield "A fixed threshold does not hold a share. Set for 5 %, it sends this part of each source to the LLM:\n"
    yield from _table(("source", "share"), list(card["share_at_5_percent_threshold"].items()))


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield _line(head)
    yield _line(["---"] * len(head))
    yield from (_line(row) for row in rows)
    yield ""


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _span(metric: Mapping[str, float]) -> str:
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
