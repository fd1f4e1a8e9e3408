"""`smallfirst serve`: finds the config and hands it to the composition root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The config; by default ./config/gateway.yaml, else Ollama.")
    ] = None,
) -> None:
    """Run the gateway. SIGHUP, or a change of the file, reloads its config."""
    from app.cli.sources import default_source, named_source

    source = named_source(config, os.environ) or default_source(os.environ)
    source.load()  # what is wrong with it is told before the whole serving process is imported
    from app import main

    main.serve(source)
