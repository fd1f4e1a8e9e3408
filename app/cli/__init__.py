"""The command line: one file a command, each imported light, so that `--help` is there at once.

Exit codes: 0 ok, 1 failed, 2 bad usage or config. Results go to stdout (with `--json` nothing else does),
everything about them to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from app.cli.calibrate import calibrate
from app.cli.check import check
from app.cli.demo import demo
from app.cli.evaluate import evaluate
from app.cli.init import init
from app.cli.route import route
from app.cli.serve import serve
from app.cli.train import train
from app.errors import ConfigError

COMMANDS = (serve, demo, init, check, route, train, evaluate, calibrate)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit. `arguments` as in sys.argv[1:]."""
    try:
        _program()(args=arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _program() -> typer.Typer:
    program = typer.Typer(
        name="smallfirst",
        help="Answer with the small model first, escalate only what needs the large one. Start with: smallfirst init",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for command in COMMANDS:
        program.command()(command)
    return program
