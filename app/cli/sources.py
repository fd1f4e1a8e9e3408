"""Which config a command means when none is named: ./config/gateway.yaml, else what an Ollama here offers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from app.errors import ConfigError
from app.settings import Source

DEFAULT_FILE = Path("config/gateway.yaml")


def named_source(file: Path | None, environ: Mapping[str, str]) -> Source | None:
    """The file that was named, or ./config/gateway.yaml if it is there."""
    path = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    return Source(path, environ) if path else None


def default_source(environ: Mapping[str, str]) -> Source:
    """For `serve` without a config. Raises ConfigError when there is no file and no Ollama with a model."""
    source = named_source(None, environ)
    if source:
        return source
    from app.cli.ollama import Ollama, address
    from app.cli.writing import write

    ollama = Ollama(address(environ))
    models = asyncio.run(ollama.models())
    own = [model for model in models or () if model.chats and not model.remote]
    if models is None or not own:
        what = "does not answer" if models is None else "has no chat model of its own (ollama pull qwen3:4b)"
        raise ConfigError(
            f"There is no {DEFAULT_FILE}, and Ollama at {ollama.url} {what}. Name a config with --config FILE."
        )
    print(f"No {DEFAULT_FILE} here: serving {own[0].name} of Ollama at {ollama.url}.", file=sys.stderr)
    return Source(None, environ, write(ollama.url, own[0], models))


def tell(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
