"""`smallfirst calibrate`: which threshold sends the share you want, and what would that buy?"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import ConfigError

if TYPE_CHECKING:
    from router_models.calibrate import Calibration


def calibrate(
    data: Annotated[
        list[Path] | None, typer.Option("--data", "-d", help="JSONL files, or folders of them. Repeat it.")
    ] = None,
    records: Annotated[Path | None, typer.Option("--records", help="A gateway's database of records.")] = None,
    llm_share: Annotated[
        float,
        typer.Option("--llm-share", "--strong-model-pct", min=0.0, max=1.0, help="The share for the large model."),
    ] = 0.05,
    model: Annotated[str, typer.Option("--model", "-m", "--routers", help="A router's folder or name.")] = "default",
    slm: Annotated[str | None, typer.Option("--slm", help="The small model's name in `scores`, or a pattern.")] = None,
    llm: Annotated[str | None, typer.Option("--llm", help="The large model's name in `scores`, or a pattern.")] = None,
    split: Annotated[
        str, typer.Option("--split", help="The rows to take: dev, as no router was fitted on it, train or all.")
    ] = "dev",
    write: Annotated[
        Path | None, typer.Option("--write", help="Put the threshold into this config, and show the diff.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Choose the threshold for a share. Scores of records are those their gateway gave at the time."""
    from router_models.calibrate import calibrate as choose
    from router_models.calibrate import recorded

    if (records is None) == (not data):
        raise typer.BadParameter("give --data or --records, one of them")
    if records is not None:
        found = choose(recorded(records), llm_share)
    else:
        from app.cli.evaluate import labelled, scores
        from router_models.data import Choice

        rows = labelled(data or [], Choice(slm, llm, split=None if split == "all" else split))
        found = choose(scores(model, rows), llm_share, rows.gain)
    print(json.dumps(asdict(found)) if as_json else _told(found))
    if write is not None:
        _write(write, found)


def _told(found: Calibration) -> str:
    low, high = found.share_interval
    lines = [
        f"threshold {found.threshold:.4f} for a share of {found.wanted:.1%}",
        f"share on these {found.rows} requests {found.share:.1%}, on others like them [{low:.1%}, {high:.1%}]",
    ]
    if found.pgr is not None and found.pgr_interval is not None:
        lines.append(f"recovers {found.pgr:.3f} [{found.pgr_interval[0]:.3f}, {found.pgr_interval[1]:.3f}] of the gap")
    most = max(found.histogram)
    for number, count in enumerate(found.histogram):
        low = number / len(found.histogram)
        mark = " <- threshold" if low <= found.threshold < low + 1 / len(found.histogram) else ""
        lines.append(f"  {low:.2f} {count:7} {'#' * round(40 * count / most)}{mark}")
    return "\n".join(lines)


def _write(path: Path, found: Calibration) -> None:
    """The file as before but for the threshold; only if what comes out is a config that loads."""
    from app.settings import Source
    from router_models.calibrate import diff, with_threshold

    try:
        before = path.read_bytes().decode()  # line ends as they are
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    after = with_threshold(before, found.threshold)
    environ: dict[str, Any] = dict(os.environ)
    try:
        Source(None, environ, after).load()
        path.write_bytes(after.encode())
    except ConfigError as error:
        raise ConfigError(f"{path} is left as it was, as with the threshold it would not load:\n{error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    print(diff(before, after, path.name), end="", file=sys.stderr)
