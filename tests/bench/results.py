"""Everything that RESULTS.md holds: each command, run here, with what it printed. Nothing is typed in by hand.

    ROUTING_DATA=FOLDER python -m tests.bench results --litellm PROGRAM --portkey FOLDER > tests/bench/RESULTS.md

Takes what `python -m tests.bench` takes.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ABOUT = """# Results

Written by `python -m tests.bench results`, which ran the commands below one after the other and put here what they
printed. How it is measured, and how to do it yourself: [README](README.md)."""

ABOUT_ROUTER = """What one score costs and how large the router is. Scaled: as on a core on which the fixed loop takes
20 ms."""
ROUTER = "python -m tests.bench router"

ABOUT_MODEL = """How good the router is on the dev part of public data, whose folder `ROUTING_DATA` names. What the
columns mean and where the data is had stands in [docs/router.md](../../docs/router.md#evaluate), more figures in its
[card](../../router_models/default/README.md)."""
MODEL = 'smallfirst evaluate --data "$ROUTING_DATA" --ships --split dev'


def printed(command: str) -> str:
    """By a shell that finds this environment's programs first. Raises if the command fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environ = {**os.environ, "PATH": path}
    done = subprocess.run(["sh", "-c", command], env=environ, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip("\n")


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ, run: Callable[[str], str] = printed) -> int:
    if "ROUTING_DATA" not in environ:
        print("set ROUTING_DATA to the folder of the public data: docs/router.md says where it is had", file=sys.stderr)
        return 2
    gateway = shlex.join(["python", "-m", "tests.bench", *arguments])
    try:
        parts = [ABOUT, "## Gateway", run(gateway)]
        parts += ["## Router", ABOUT_ROUTER, block(ROUTER, run), "## Model", ABOUT_MODEL, block(MODEL, run)]
    except subprocess.CalledProcessError as error:
        print(f"{error}\n{error.stdout}", file=sys.stderr)
        return 1
    print("\n\n".join(parts))
    return 0


def block(command: str, run: Callable[[str], str]) -> str:
    return f"    {command}\n\n```\n{run(command)}\n```"
