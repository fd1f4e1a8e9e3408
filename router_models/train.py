"""Trains a router and writes it with its card: from rows to a directory that `routing.router` can name.

The same rows, date and versions give the same bytes; the date comes from the caller, not from the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from app.errors import ConfigError
from router_models import artifact, card
from router_models.data import Row, read_everyday
from router_models.fit import FOLDS, Tell, fit

LEAST = 200  # labelled requests; with fewer, adapt a trained router instead


def train_router(
    rows: Sequence[Row],
    out: Path,
    day: str,
    tell: Tell,
    *,
    everyday: bool = False,
    outside: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Fit on the train part of `rows`, and on our own requests, and write the artifact to `out`; gives its card.

    `outside` are sources that stay out of macro mean and pooled figures. Raises ConfigError on too few labels.
    """
    train = [row for row in rows if row.split == "train"]
    if len(train) < LEAST:
        raise ConfigError(
            f"{len(train)} labelled requests in the train part are too few to train on: {LEAST} at least, "
            "or adapt the shipped router with --base default."
        )
    if not everyday and (not {0.0, 1.0} <= {row.needed for row in train} or len({row.group for row in train}) < FOLDS):
        raise ConfigError(
            f"without everyday requests the train part needs both kinds of labels, and {FOLDS} requests at least that "
            "are no near-duplicates of each other."
        )
    with threadpool_limits(1):  # trees this small only wait for each other's threads, for minutes on a busy machine
        result = fit([*rows, *(read_everyday() if everyday else [])], tell)
    facts = card.make(result, day, outside)
    artifact.write(out, result.model, facts, card.page(facts))
    return facts
