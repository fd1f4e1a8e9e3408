"""The card of a trained router: every figure as data (card.json) and as a page for people (README.md).

Written from the run that made the model, never by hand. Figures are of rows the model was not fitted on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.blend import Blend
from router_models import everyday
from router_models.augment import cut, padded
from router_models.data import NEEDED, Row
from router_models.evaluate import LEAST, Report, auroc_by, evaluate, finite, measurable
from router_models.fit import EASY_TRAFFIC, EVERYDAY_SHARE, EVERYDAY_TRAFFIC, Fit
from router_models.metrics import Floats, area, auroc, recovered

PAIRS_FILE = Path(__file__).parent / "data" / "everyday_pairs.jsonl"
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
HARD = 0.5  # an everyday request counts as hard from this P(needed) on: a label of about 3.5
ABLATIONS: Mapping[str, tuple[str, ...]] = {
    "all": (),
    "no trees": ("trees",),
    "no gate": ("gate",),
    "no gate, no trees": ("gate", "trees"),
    "no everyday head": ("everyday",),
    "no difficulty head": ("difficulty",),
}
BASELINES = ("random", "length", "oracle")
LOOKS = ("as written", "amid small talk", "easy amid small talk, hard cut")
ORIGINS: Mapping[str, tuple[str, str]] = {
    "alpaca_eval": ("tatsu-lab/alpaca_eval, annotations", "CC-BY-NC-4.0 by the data set's own page"),
    "bfcl": ("HuanzhiMao/BFCL-Result", "no licence file; the gorilla project it belongs to is Apache-2.0"),
    "cmmlu": ("ZHANGJialiHappy/Qwen2.5-7B-CMMLU_benchmark and shuhao02/RouterDC", "questions CC-BY-NC-4.0"),
    "lawbench": ("open-compass/LawBench, predictions", "Apache-2.0"),
    "llmrouter": ("ulab-uiuc/LLMRouter, data", "MIT"),
    "mmlu_pro": ("TIGER-AI-Lab/MMLU-Pro, eval_results", "Apache-2.0"),
    "mot_date": ("MurongYue/LLM_MoT_cascade", "no licence file"),
    "routellm_mmlu": ("lm-sys/RouteLLM, evals/mmlu, its own two columns", "Apache-2.0"),
    "routerbench": ("withmartian/routerbench as carried by shuhao02/RouterDC", "MIT; RouterDC has no licence file"),
    "routerdc": ("shuhao02/RouterDC, datasets", "no licence file"),
    "everyday-": ("router_models/data/everyday.jsonl", "own, Apache-2.0"),
}


def make(fit: Fit, day: str, outside: frozenset[str]) -> dict[str, Any]:
    """All that card.json states, apart from what `artifact.write` adds. Deterministic."""
    rows = fit.table.rows
    dev = np.array([row.split == "dev" and row.gain is not None for row in rows])
    ours = fit.table.ours
    card: dict[str, Any] = {
        "date": day,
        "kind": "trained",
        "sources": _sources(rows),
        "settings": {"everyday_share": EVERYDAY_SHARE, "needed_from_gain": NEEDED},
        "thresholds": {str(share): _rounded(fit.model.threshold(share)) for share in SHARES},
        "share_at_5_percent_threshold": _shares(fit),
        "pairs": [_pair(fit.model, pair) for pair in read_pairs()],
    }
    if max(Counter(fit.table.sources[dev].tolist()).values(), default=0) >= LEAST:
        known = measurable([row for row, here in zip(rows, dev, strict=True) if here], outside)
        card["dev"] = evaluate({"this": fit.scores[dev]}, known)
    if ours.any():
        card["everyday"] = _everyday(fit)
        card["raters"] = raters()
    card["ablation"] = {name: _ablation(fit, without, dev, outside) for name, without in ABLATIONS.items()}
    told: dict[str, Any] = _tidy(finite(card))
    return told


def read_pairs(path: Path = PAIRS_FILE) -> list[dict[str, str]]:
    """Pairs of an easy and a hard everyday request: `lang`, `easy`, `hard`. Never trained on."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def raters(data: Path = everyday.DATA) -> dict[str, Any]:
    """How far the two raters of our own requests agree."""
    first, second, third = (everyday.rated(data / f"everyday_labels_{name}.jsonl") for name in ("a", "b", "third"))
    ids = sorted(first)
    mine, theirs = np.array([first[one] for one in ids]), np.array([second[one] for one in ids])
    return {
        "n": len(ids),
        "kappa": everyday.kappa(mine.tolist(), theirs.tolist()),
        "equal": float((mine == theirs).mean()),
        "contested": sum(map(everyday.contested, mine.tolist(), theirs.tolist())),
        "third_readings": len(third),
        "labels": {str(label): int((mine == label).sum() + (theirs == label).sum()) for label in range(1, 6)},
    }


def _sources(rows: Sequence[Row]) -> dict[str, Any]:
    names = sorted({row.source for row in rows})
    of = {name: [row for row in rows if row.source == name] for name in names}
    return {
        name: {
            "rows": len(some),
            "train": sum(row.split == "train" for row in some),
            "origin": _origin(name)[0],
            "licence": _origin(name)[1],
        }
        for name, some in of.items()
    }


def _origin(source: str) -> tuple[str, str]:
    return next(
        (told for name, told in ORIGINS.items() if source.startswith(name)), ("the user's own", "the user's own")
    )


def _shares(fit: Fit) -> dict[str, float]:
    """What the threshold for 5 % really sends of each source."""
    threshold = fit.model.threshold(0.05)
    return {
        str(name): float((fit.scores[fit.table.sources == name] >= threshold).mean())
        for name in np.unique(fit.table.sources)
    }


def _pair(model: Blend, pair: Mapping[str, str]) -> dict[str, Any]:
    easy, hard = (model.score({"messages": [{"role": "user", "content": pair[name]}]}) for name in ("easy", "hard"))
    return {**pair, "easy_score": easy, "hard_score": hard}


def _everyday(fit: Fit) -> Report:
    """AUROC, hard against easy, on kinds of work that were never trained on: as written, amid small talk, cut short."""
    tests = [row for row in fit.table.rows if row.ours and row.split == "test"]
    labels = np.array([float((row.everyday or 0.0) >= HARD) for row in tests])
    languages = np.array([row.language for row in tests])
    report: Report = {}
    for name, bodies in _looks(tests).items():
        known = np.array([body is not None for body in bodies])
        scores = np.array([fit.model.score(body) if body else 0.0 for body in bodies])
        parts = {f"{language}, {name}": known & (languages == language) for language in ("en", "zh")}
        report |= auroc_by(scores, labels, {part: here for part, here in parts.items() if here.sum() > 1})
    return report


def _looks(tests: Sequence[Row]) -> dict[str, list[Mapping[str, Any] | None]]:
    """Easy ones amid small talk against hard ones cut short is the hardest look."""
    easy = [(row.everyday or 0.0) < HARD for row in tests]
    talked = [padded(row.body, row.language, "card") for row in tests]
    short = [cut(row.body, row.language) or row.body for row in tests]
    mixed = [one if light else other for light, one, other in zip(easy, talked, short, strict=True)]
    looks: tuple[Sequence[Mapping[str, Any]], ...] = ([row.body for row in tests], talked, mixed)
    return {name: list(bodies) for name, bodies in zip(LOOKS, looks, strict=True)}


def _ablation(fit: Fit, without: tuple[str, ...], dev: NDArray[np.bool_], outside: frozenset[str]) -> dict[str, float]:
    """What is left without a part, blended anew: macro and pooled APGR of the dev part, AUROC of our test kinds."""
    scores = fit.without(*without)
    found: dict[str, float] = {}
    names = [name for name in np.unique(fit.table.sources[dev]) if name not in outside]
    if names:
        found["macro_apgr"] = float(np.mean([_apgr(fit, scores, dev & (fit.table.sources == name)) for name in names]))
        found["pooled_apgr"] = _apgr(fit, scores, dev & np.isin(fit.table.sources, names))
    test = np.array([row.ours and row.split == "test" for row in fit.table.rows])
    if test.any():
        found["everyday_auroc"] = auroc(scores[test], (fit.table.needed[test] >= HARD).astype(float))
    return found


def _apgr(fit: Fit, scores: Floats, rows: NDArray[np.bool_]) -> float:
    return area(*recovered(scores[rows], fit.table.gains[rows]))


def _rounded(value: float) -> float:
    return round(float(value), 4)


def _tidy(value: Any) -> Any:
    """Four digits are all that intervals like these allow."""
    if isinstance(value, dict):
        return {name: _tidy(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_tidy(one) for one in value]
    return _rounded(value) if isinstance(value, float) else value


# --- the page -----------------------------------------------------------------------------------------------


def page(card: Mapping[str, Any]) -> str:
    """README.md of the artifact. By the facts alone, whatever order they stand in: card.json sorts them."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    yield from (
        "# Router",
        "",
        f"Trained {card['date']} by `smallfirst train`. Every figure here was written by that run.",
        "",
    )
    yield "The score is the calibrated probability that the large model is needed, that is, that it would score at"
    yield f"least {NEEDED} higher than the small one. How it is made: docs/router.md."
    yield from ("", "## Data", "")
    yield from _table(
        ("source", "rows", "of them fitted", "from", "licence"),
        [
            (name, one["rows"], one["train"], one["origin"], one["licence"])
            for name, one in sorted(card["sources"].items())
        ],
    )
    yield from _of_raters(card)
    yield from _of_dev(card)
    yield from _of_everyday(card)
    yield from _of_parts(card)
    yield from _of_thresholds(card)
    yield from _limits()


def _of_raters(card: Mapping[str, Any]) -> Iterator[str]:
    if "raters" not in card:
        return
    told = card["raters"]
    yield from (
        "",
        "Our own everyday requests were written for this product and labelled 1 to 5 by `data/RUBRIC.md`, twice: both",
    )
    yield "raters are sessions of a large language model that worked alone, so they agree more than two people would,"
    yield f"and share its blind spots. {told['n']} requests; quadratic weighted kappa {told['kappa']}, equal"
    yield f"{told['equal']:.1%}, {told['contested']} contested, of which {told['third_readings']} had a third reading."
    yield "Rows of `everyday-*` above include variants under the same label: amid small talk, and cut to one clause."


def _of_dev(card: Mapping[str, Any]) -> Iterator[str]:
    if "dev" not in card:
        return
    dev = card["dev"]
    yield from ("", "## Dev part", "")
    yield "Never fitted, but settings were chosen on it, so figures lean to the good side. Intervals: bootstrap, 95 %."
    yield from ("Random has an APGR of .5. `of oracle`: as a share of what the best possible choice would recover.", "")
    rows = [*sorted(dev["sources"].items()), ("**macro**", dev["macro"]), ("**pooled**", dev["pooled"])]
    yield from _table(
        (
            "source",
            "n",
            "APGR [95 %]",
            "CPT(50)",
            "CPT(80)",
            "PGR at 5 % (of oracle)",
            "PGR at 10 % (of oracle)",
            "AUROC",
            "ECE",
        ),
        [
            (
                name,
                one.get("n", ""),
                _interval(one["apgr"]),
                *(_interval(one[metric]) for metric in ("cpt50", "cpt80")),
                *(f"{_interval(one[metric])} ({_value(one[f'{metric}_of_oracle'])})" for metric in ("pgr5", "pgr10")),
                _interval(one["auroc"]),
                _interval(one["ece"]),
            )
            for name, one in rows
        ],
    )
    yield from ("", "Beside it on the same rows:", "")
    yield from _table(
        ("router", "macro APGR", "pooled APGR", "pooled PGR at 5 %", "pooled PGR at 10 %"),
        [
            (
                name,
                _interval(one["macro"]["apgr"]),
                *(_interval(one["pooled"][metric]) for metric in ("apgr", "pgr5", "pgr10")),
            )
            for name, one in ((name, dev["baselines"][name]) for name in BASELINES)
        ],
    )


def _of_everyday(card: Mapping[str, Any]) -> Iterator[str]:
    if "everyday" in card:
        yield from ("", "## Everyday sense", "")
        yield "AUROC of labels from 3.5 up against those below, on the kinds of work that were never trained on: "
        yield f"{', '.join(sorted(everyday.TEST_KINDS))}."
        yield ""
        yield from _table(
            ("language, how", "n", "AUROC [95 %]"),
            [(name, card["everyday"][name]["n"], _interval(card["everyday"][name])) for name in _parts(card)],
        )
    yield from ("", "Pairs that were never trained on:", "")
    yield from _table(
        ("easy", "score", "hard", "score", "right"),
        [
            (
                one["easy"],
                one["easy_score"],
                one["hard"],
                one["hard_score"],
                _yes(one["easy_score"] < one["hard_score"]),
            )
            for one in card["pairs"]
        ],
    )


def _parts(card: Mapping[str, Any]) -> list[str]:
    """Languages and looks that have a figure."""
    names = [f"{language}, {look}" for look in LOOKS for language in ("en", "zh")]
    return [name for name in names if name in card["everyday"]]


def _of_parts(card: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## What each part contributes", "", "The rest blended anew without it.", "")
    measures = ("macro_apgr", "pooled_apgr", "everyday_auroc")
    yield from _table(
        ("", "dev macro APGR", "dev pooled APGR", "everyday test kinds, AUROC"),
        [(name, *(card["ablation"][name].get(measure, "-") for measure in measures)) for name in ABLATIONS],
    )


def _of_thresholds(card: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Thresholds", "")
    yield f"Quantiles of a reference traffic: {EVERYDAY_TRAFFIC:.0%} our own requests ({EASY_TRAFFIC:.0%} of these"
    yield "labelled below 3.5), the rest benchmarks in equal shares, all scored by folds that had not seen them. That"
    yield "mix is an assumption: calibrate on your own traffic (`smallfirst calibrate`), and watch the share."
    yield ""
    yield from _table(("llm_share", "threshold"), sorted(card["thresholds"].items()))
    yield from (
        "",
        "A fixed threshold does not hold a share. Set for 5 %, it sends this part of each source to the LLM:",
        "",
    )
    yield from _table(
        ("source", "share"),
        [(name, f"{share:.1%}") for name, share in sorted(card["share_at_5_percent_threshold"].items())],
    )


def _limits() -> Iterator[str]:
    yield from ("", "## What it is bad at", "")
    yield "- A prompt says little about its difficulty: within one exam it ranks only somewhat better than chance."
    yield "- Benchmark labels come from models of 2023 and 2024 and one greedy answer each; yours differ."
    yield "- Chinese benchmarks are law and exams only. Other languages were never seen; their words say nothing to it."
    yield "- Pictures, audio and files are counted, not read."
    yield from ("", "## Signs of drift", "")
    yield "- `smallfirst_score` piles up where it did not before, or the threshold must move to hold the share."
    yield '- The share of `reason="score"` requests at the large model leaves `llm_share` by more than its interval.'
    yield "- Fallbacks, retries or complaints rise on requests that scored low."
    yield from ("", "Adapt it then: `smallfirst train --base default --data yours.jsonl --out adapted`.")


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |"


def _interval(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _value(figure: Mapping[str, Any]) -> str:
    return "-" if figure["value"] is None else f"{figure['value']:.2f}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
