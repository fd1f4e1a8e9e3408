"""The serving process: `python -m app FILE`, or `--text YAML` for a config that is in no file.

`smallfirst serve` becomes this process, so that the libraries of the command line do not lie in its memory all
day: they would be a tenth of it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # httpx's own command line: rich, pygments, 4 MB
    from app.errors import ConfigError
    from app.main import serve
    from app.settings import Source

    builtin = arguments[0] == "--text"
    source = Source(None if builtin else Path(arguments[0]), os.environ, arguments[1] if builtin else "")
    try:
        serve(source)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2)


main(sys.argv[1:])
