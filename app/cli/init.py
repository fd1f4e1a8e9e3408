"""`smallfirst init`: from a machine with Ollama to a config that works."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from app.cli.ollama import Model, Ollama


def init(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("config/gateway.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="The model to serve, if not the first found.")] = None,
    context: Annotated[
        int | None,
        typer.Option("--context", min=512, help="Context window in tokens: makes a derived model that has it."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Find Ollama and its models and write a commented config. Next: smallfirst serve"""
    from app.cli.ollama import Ollama, address
    from app.cli.writing import write

    if output.exists() and not force:
        _stop(f"{output} exists; choose another with --output, or replace it with --force.")
    ollama = Ollama(address(os.environ))
    models = asyncio.run(ollama.models())
    if models is None:
        _stop(
            f"No Ollama answers at {ollama.url}: install it from https://ollama.com, run `ollama pull qwen3:4b`, "
            "then this again (OLLAMA_HOST if it runs elsewhere)."
        )
    chosen = _served(_chosen(models, model), ollama, context, ask=not yes and sys.stdin.isatty())
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(write(ollama.url, chosen, models), encoding="utf-8")
    _report(output, ollama.url, models, chosen)


def _chosen(models: list[Model], wanted: str | None) -> Model:
    chat = [one for one in models if one.chats]
    if wanted is not None:
        chat = [one for one in chat if one.name in (wanted, f"{wanted}:latest")]
    if not chat:
        pull = wanted or "qwen3:4b"
        _stop(f"Ollama is there but has no chat model{f' {wanted}' if wanted else ''}: run `ollama pull {pull}` first.")
    return chat[0]


def _served(model: Model, ollama: Ollama, context: int | None, *, ask: bool) -> Model:
    """The model itself, or one derived from it: the gateway never varies num_ctx per call, that would reload it."""
    if context is None and ask:
        trained = f" (trained for {model.context})" if model.context else ""
        typer.echo(f"Ollama chooses the context window of {model.name} by your memory, often 4096 tokens{trained}.")
        context = typer.prompt("Fix it with a derived model? Tokens, 0 to leave it", default=0, type=int) or None
    if context is None:
        return model
    name = asyncio.run(ollama.derive(model.name, context))
    if name is None:
        _stop("Ollama did not make the derived model; leave --context out, or try again.")
    return replace(model, name=name, context=context)


def _report(output: Path, url: str, models: list[Model], chosen: Model) -> None:
    print(f"Ollama at {url}:")
    for one in models:
        notes = [f"{one.size / 1e9:.1f} GB"] if one.size and not one.remote else []
        notes += [word for word, said in (("embeddings", one.embeds), ("thinks", one.thinks)) if said]
        notes += [word for word, said in (("loaded", one.loaded), ("in a cloud", one.remote)) if said]
        print(f"  {one.name}  ({', '.join(notes)})" if notes else f"  {one.name}")
    print(f"Wrote {output}, serving {chosen.name}.")
    print("Base URL for any OpenAI client: http://127.0.0.1:8080/v1 (any API key, model 'auto')")
    print(f"Next: smallfirst serve --config {output}")


def _stop(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    raise typer.Exit(1)
