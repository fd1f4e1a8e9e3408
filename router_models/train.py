"""Trains a router and writes it with its card: from rows to a directory that `routing.router` can name.

The same rows, date and versions give the same bytes; the date comes from the caller, not from the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.errors import ConfigError
from router_models import artifact, card
from router_models.data import Row, read_everyday
from router_models.fit import Tell, fit

LEAST = 200  # labelled requests; with fewer, adapt a trained router instead


def train_router(
    rows: Sequence[Row],
    out: Path,
    day: str,
    tell: Tell,
    *,
    everyday: bool = True,
    outside: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Fit on the train part of `rows`, and on our own requests, and write the artifact to `out`; gives its card.

    `outside` are sources that stay out of macro mean and pooled figures. Raises ConfigError on too few labels.
    """
    labelled = sum(row.split == "train" for row in rows)
    if labelled < LEAST:
        raise ConfigError(
            f"{labelled} labelled requests in the train part are too few to train on: {LEAST} at least, "
            "or adapt the shipped router with --base default."
        )
    result = fit([*rows, *(read_everyday() if everyday else [])], tell)
    facts = card.make(result, day, outside)
    artifact.write(out, result.model, facts, card.page(facts))
    return facts
