"""Benchmarks: `python -m tests.bench` measures the gateway, with a NAME something else.

Not tests: they print figures of this machine and judge nothing but wrong answers.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from tests.bench import gateway, results, router

BENCHMARKS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "gateway": gateway.main,
    "router": router.command,
    "results": results.main,
}


def main(arguments: Sequence[str]) -> int:
    """Run the one that is named, the gateway's if none is; list all if there is no such name."""
    name, *rest = ["gateway", *arguments] if not arguments or arguments[0].startswith("-") else arguments
    if name in BENCHMARKS:
        return BENCHMARKS[name](rest)
    print("usage: python -m tests.bench [NAME] [--help], where NAME is one of", file=sys.stderr)
    for one, run in BENCHMARKS.items():
        about = (sys.modules[run.__module__].__doc__ or "").partition("\n")[0]
        print(f"  {one:12} {about}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    # Both end what was started, too; a job in the background would have SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
