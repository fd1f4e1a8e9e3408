"""`smallfirst evaluate`: how good is a router on labelled requests, beside length, chance and the best possible?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app.errors import ConfigError


def evaluate(
    data: Annotated[list[Path], typer.Option("--data", "-d", help="JSONL files, or folders of them. Repeat it.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A router's folder, or default, length, random, constant.")
    ] = "default",
    split: Annotated[str | None, typer.Option("--split", help="Only rows of this split: train or dev.")] = None,
    slm: Annotated[str | None, typer.Option("--slm", help="The small model's name in `scores`, or a pattern.")] = None,
    llm: Annotated[str | None, typer.Option("--llm", help="The large model's name in `scores`, or a pattern.")] = None,
    ships: Annotated[bool, typer.Option("--ships", help="Only sources that pairs.json marks `ships`.")] = False,
    outside: Annotated[
        list[str] | None, typer.Option("--outside", help="A source that stays out of macro and pooled. Repeat it.")
    ] = None,
    other: Annotated[
        list[str] | None,
        typer.Option("--other", help="Measure this beside it: NAME=scores.csv (columns id, score), or a router."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=20, help="Bootstrap rounds.")] = 200,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report there; - for stdout.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write the cost-quality curve there, as PNG.")] = None,
) -> None:
    """Measure a router on labelled requests."""
    from app.cli.progress import progress
    from router_models import evaluate as measuring
    from router_models.data import Choice, outside_macro, read

    rows = measuring.measurable(read(data, Choice(slm, llm, ships, split)), outside_macro(data) | set(outside or ()))
    routers = {model: _scores(model, rows), **{_name(one): _scores(one, rows) for one in other or ()}}
    with progress("evaluate") as tell:
        report = measuring.evaluate(routers, rows, rounds, lambda done, total: tell("routers measured", done, total))
    if plot is not None:
        from router_models.plot import draw

        draw(plot, model, routers, rows)
    text = json.dumps(measuring.finite(report), ensure_ascii=False, indent=1, allow_nan=False)
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(text + "\n", encoding="utf-8")
    print(text if str(json_file) == "-" else _told(report), file=sys.stdout)


def _name(other: str) -> str:
    return other.partition("=")[0]


def _scores(router: str, rows: Any) -> Any:
    """Of a CSV (NAME=FILE), or of a router of ours."""
    from app.core.chat import ChatRequest
    from app.routers import load_router
    from router_models.evaluate import from_csv, scored

    _, named, file = router.partition("=")
    if named:
        return from_csv(Path(file), rows.rows)
    loaded = load_router(router)

    def score(body: Any) -> float:
        found = loaded.score(ChatRequest("chat", body))
        if found is None:
            raise ConfigError(f"the router {router} has no opinion on a request of this data.")
        return found.value

    return scored(score, rows.rows)


def _told(report: dict[str, Any]) -> str:
    names = ("apgr", "cpt50", "cpt80", "pgr5", "pgr10", "pgr5_of_oracle", "auroc", "ece")
    lines = [f"{'':20} {'n':>6} {'APGR [95 %]':>22} " + " ".join(f"{name:>8}" for name in names[1:])]
    for name, figures in [*report["sources"].items(), ("macro", report["macro"]), ("pooled", report["pooled"])]:
        lines.append(_line(name, figures, names))
    for name, theirs in report["baselines"].items():
        lines.append(_line(f"{name}, macro", theirs["macro"], names))
        lines.append(_line(f"{name}, pooled", theirs["pooled"], names))
    return "\n".join(lines)


def _line(name: str, figures: dict[str, Any], names: tuple[str, ...]) -> str:
    first = figures[names[0]]
    rest = " ".join(f"{figures[one]['value']:8.3f}" for one in names[1:])
    return f"{name:20} {figures.get('n', ''):>6} {first['value']:6.3f} [{first['low']:.3f}, {first['high']:.3f}] {rest}"
