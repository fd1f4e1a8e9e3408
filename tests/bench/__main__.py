"""Benchmarks by name: `python -m tests.bench NAME`. Not tests: they print figures of this machine and judge nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from tests.bench import router

BENCHMARKS: Mapping[str, Callable[[], None]] = {
    "router": router.main,
}


def main(arguments: Sequence[str]) -> int:
    """Run the one that is named; list all if none is."""
    if len(arguments) == 1 and arguments[0] in BENCHMARKS:
        BENCHMARKS[arguments[0]]()
        return 0
    print("usage: python -m tests.bench NAME, where NAME is one of", file=sys.stderr)
    for name, run in BENCHMARKS.items():
        about = (sys.modules[run.__module__].__doc__ or "").partition("\n")[0]
        print(f"  {name:12} {about}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
