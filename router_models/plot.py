"""The cost-quality curve as a picture: how much of the gap is recovered with how many calls to the large model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.errors import ConfigError
from router_models.evaluate import Rows, beside_baselines
from router_models.metrics import Floats, at, drawn, recovered

SHARE = 0.05
GRID = np.linspace(0.0, 1.0, 201)
ROUNDS = 100
LOOKS = {"random": ("0.6", ":"), "length": ("tab:orange", "--"), "oracle": ("tab:green", "-.")}


def draw(path: Path, name: str, routers: Mapping[str, Floats], rows: Rows) -> None:
    """Write a PNG: all sources of the macro mean pooled, whole range and the first fifth of it.

    Raises ConfigError if there is no gap to recover, or no such file can be written."""
    mpl.use("Agg")
    pooled = np.flatnonzero(np.isin(rows.sources, rows.macro))
    gain = rows.gain[pooled]
    if gain.sum() <= 0:
        raise ConfigError("no curve to draw: on these requests the large model is no better than the small one.")
    everyone = beside_baselines(routers, rows)
    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, limit in zip(figure.subplots(1, 2), (1.0, 0.2), strict=True):
        for other, scores in everyone.items():
            _line(axes, other, other == name, scores[pooled], gain)
        _point(axes, everyone[name][pooled], gain)
        top = max(at(*recovered(gain, gain), limit) * 1.02, 0.1)
        axes.set(xlim=(0, limit), ylim=(0, top), xlabel="share of requests sent to the large model")
        axes.grid(alpha=0.3)
    left, right = figure.axes
    left.set(
        ylabel="part of the quality gap recovered (PGR)", title=f"{len(pooled):,} requests, {len(rows.macro)} sources"
    )
    right.set(title="the first fifth")
    left.legend(loc="lower right")
    try:
        figure.savefig(path, dpi=120, format="png")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def _line(axes: Axes, name: str, ours: bool, scores: Floats, gain: Floats) -> None:
    colour, style = ("tab:blue", "-") if ours else LOOKS.get(name, (None, "--"))
    drawn_line = axes.plot(*recovered(scores, gain), style, color=colour, label=name, linewidth=2 if ours else 1.3)
    if name in ("random", "oracle"):
        return
    curves = [np.interp(GRID, *recovered(scores[some], gain[some])) for some in drawn(len(gain), ROUNDS)]
    low, high = np.nanquantile(curves, (0.025, 0.975), axis=0)
    axes.fill_between(GRID, low, high, color=drawn_line[0].get_color(), alpha=0.18, linewidth=0)


def _point(axes: Axes, scores: Floats, gain: Floats) -> None:
    """What `llm_share: 0.05` buys."""
    value = at(*recovered(scores, gain), SHARE)
    axes.plot([SHARE], [value], "o", color="tab:blue")
    axes.annotate(f"5 %: PGR {value:.3f}", (SHARE, value), xytext=(8, 14), textcoords="offset points")
