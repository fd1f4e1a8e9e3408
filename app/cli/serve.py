"""`smallfirst serve`: finds the config and hands it to the composition root."""

from __future__ import annotations

import errno
import os
import socket
import sys
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
    server = source.load().config.server  # what is wrong is told before this process becomes the gateway
    if _taken(server.host, server.port):
        print(
            f"{server.host}:{server.port} is in use, perhaps by another gateway: end that, or choose another "
            "server.port (SMALLFIRST_SERVER__PORT).",
            file=sys.stderr,
        )
        raise typer.Exit(3)  # as the gateway itself, should it be taken later
    if sys.stderr.isatty():  # for somebody who looks on; a log collector gets nothing but JSON lines
        print(
            f"Base URL http://{server.host}:{server.port}/v1 (Ctrl-C ends it); a line for each request:",
            file=sys.stderr,
        )
    what = [str(source.path)] if source.path else ["--text", source.text]
    # The same process goes on as the gateway, without the libraries of the command line. -P: a folder `app`
    # where the user stands must not be taken for ours.
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "app", *what])


def _taken(host: str, port: int) -> bool:
    """Whether somebody listens there; whatever else is wrong with an address, the gateway tells."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
