"""Trains the router artifact: `python -m router_models.train --data DIR --out DIR --date YYYY-MM-DD`.

DIR holds pairs.json and one `<source>.jsonl.gz` per source that it marks `ships`. The same data, date and versions
give the same bytes; the date comes from the caller, not from the clock.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from router_models import artifact, card
from router_models.data import SEED_FILE, read_routing, read_seed
from router_models.fit import Fit, fit


def train(data: Path, out: Path, day: str, tell: Callable[[str], None], seed: Path = SEED_FILE) -> Fit:
    """Fit on the routing data in `data` and the everyday `seed`, and write the artifact to `out`."""
    result = fit([*read_routing(data), *read_seed(seed)], tell)
    facts = card.make(result, day)
    artifact.write(out, result.model, facts, card.page(facts))
    tell(f"written to {out}")
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m router_models.train", description="Train the router artifact.")
    parser.add_argument("--data", type=Path, required=True, help="directory with pairs.json and the source files")
    parser.add_argument("--out", type=Path, required=True, help="directory to write the artifact to")
    parser.add_argument("--date", type=date.fromisoformat, required=True, help="date the card states")
    chosen = parser.parse_args(arguments)
    train(chosen.data, chosen.out, chosen.date.isoformat(), lambda line: print(line, file=sys.stderr, flush=True))


if __name__ == "__main__":
    main()
