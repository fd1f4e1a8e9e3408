"""`smallfirst train`: make a router from labelled requests, or adapt one to your own."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router_models.data import Row


def train(
    data: Annotated[list[Path], typer.Option("--data", "-d", help="JSONL files, or folders of them. Repeat it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write the router to.")],
    base: Annotated[
        Path | None, typer.Option("--base", help="A router to adapt with few labels: a folder, or `default`.")
    ] = None,
    slm: Annotated[str | None, typer.Option("--slm", help="The small model's name in `scores`, or a pattern.")] = None,
    llm: Annotated[str | None, typer.Option("--llm", help="The large model's name in `scores`, or a pattern.")] = None,
    ships: Annotated[bool, typer.Option("--ships", help="Only sources that pairs.json marks `ships`.")] = False,
    everyday: Annotated[
        bool,
        typer.Option("--everyday", help="Learn from our own everyday requests as well, as the shipped router does."),
    ] = False,
    date: Annotated[
        datetime | None, typer.Option("--date", formats=["%Y-%m-%d"], help="What the card states; today by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The card as JSON on stdout.")] = False,
) -> None:
    """Make a router from labelled requests. Next: smallfirst evaluate --model OUT --data ..."""
    from app.cli.progress import progress
    from router_models.data import Choice, outside_macro, read
    from router_models.train import train_router

    rows = read(data, Choice(slm, llm, ships))
    try:
        out.mkdir(parents=True, exist_ok=True)  # before minutes of work, not after
    except OSError as error:
        raise ConfigError(f"{out}: cannot be made: {error.strerror}") from None
    day = (date or datetime.now(UTC)).date().isoformat()
    if base is not None:
        card = _adapted(rows, base, out, day)
    else:
        with progress("train") as tell:
            card = train_router(rows, out, day, tell, everyday=everyday, outside=outside_macro(data))
    print(json.dumps(card, ensure_ascii=False) if as_json else _told(card))
    print(f"written to {out}; use it with routing.router: {out}", file=sys.stderr)


def _adapted(rows: Sequence[Row], base: Path, out: Path, day: str) -> dict[str, Any]:
    from app.routers import load_trained
    from router_models.adapt import adapt_router

    return adapt_router(rows, load_trained(str(base)), out, day)


def _told(card: dict[str, Any]) -> str:
    if "adapted" in card:
        return str(card["adapted"]["told"])
    if "dev" not in card:
        return "trained; no labelled request was left to measure it on"
    lines = [f"{'dev part':16} {'n':>6} {'APGR':>22} {'PGR at 5 %':>11} {'AUROC':>7} {'ECE':>6}"]
    dev = card["dev"]
    named = [*dev["sources"].items(), ("macro", dev["macro"]), ("pooled", dev["pooled"])]
    for name, figures in named:
        apgr = figures["apgr"]
        lines.append(
            f"{name:16} {figures.get('n', ''):>6} {_number(apgr['value']):>6} [{_number(apgr['low'])}, "
            f"{_number(apgr['high'])}] {_number(figures['pgr5']['value']):>11} "
            f"{_number(figures['auroc']['value']):>7} {_number(figures['ece']['value']):>6}"
        )
    for name, figures in card.get("everyday", {}).items():
        lines.append(f"everyday, {name:36} n {figures['n']:4} AUROC {figures['value']:.3f}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
