"""`smallfirst evaluate`: how good is a router on labelled requests, beside length, chance and the best possible?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import ConfigError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router_models.data import Choice
    from router_models.evaluate import Rows
    from router_models.metrics import Floats


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
    from router_models.data import Choice, outside_macro

    rows = labelled(data, Choice(slm, llm, ships, split), outside_macro(data) | set(outside or ()))
    routers = {model: scores(model, rows), **{_name(one): scores(one, rows) for one in other or ()}}
    with progress("evaluate") as tell:
        report = measuring.evaluate(routers, rows, rounds, lambda done, total: tell("routers measured", done, total))
    if plot is not None:
        from router_models.plot import draw

        draw(plot, model, routers, rows)
    text = json.dumps(measuring.finite(report), ensure_ascii=False, indent=1, allow_nan=False)
    if json_file is not None and str(json_file) != "-":
        _write(json_file, text + "\n")
    print(text if str(json_file) == "-" else _told(report), file=sys.stdout)


def labelled(data: Sequence[Path], choice: Choice, outside: frozenset[str] = frozenset()) -> Rows:
    """The rows that can be measured. Raises ConfigError if there are none."""
    from router_models.data import read
    from router_models.evaluate import measurable

    rows = read(data, choice)
    if not rows:
        raise ConfigError(f"no labelled request here is of the split {choice.split!r}: take another with --split.")
    return measurable(rows, outside)


def scores(router: str, rows: Rows) -> Floats:
    """Of a CSV (NAME=FILE), or of a router of ours. Raises ConfigError if it cannot score all of them."""
    from app.core.chat import ChatRequest
    from app.routers import load_router
    from router_models.evaluate import from_csv, scored

    _, named, file = router.partition("=")
    if named:
        return from_csv(Path(file), rows.rows)
    loaded = load_router(router)

    def score(body: Mapping[str, Any]) -> float:
        try:
            found = loaded.score(ChatRequest("chat" if "messages" in body else "completion", body))
        except InvalidRequest as error:
            raise ConfigError(f"a request of this data is none that the gateway would take: {error}") from None
        if found is None:
            raise ConfigError(f"the router {router} has no opinion on a request of this data.")
        return found.value

    return scored(score, rows.rows)


def _name(other: str) -> str:
    return other.partition("=")[0]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


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
