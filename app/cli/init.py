"""`smallfirst init`: from a machine with Ollama to a config that works; or a copy of a shipped example.

`examples/` holds links to the files of `config/` at the top of the project, so that a wheel has them too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from app.errors import ConfigError

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
    example: Annotated[
        str | None, typer.Option("--example", help="Write this shipped example instead; `list` shows all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Find Ollama and its models and write a commented config. Next: smallfirst serve"""
    from app.cli.ollama import Ollama, address
    from app.cli.writing import write

    if example == "list":
        for name, text in _examples().items():
            first = text.splitlines()[0].removeprefix("# ").partition(". ")[0].removesuffix(".")
            print(f"{name:22} {first}")
        return
    if output.exists() and not force:
        _stop(f"{output} exists; choose another with --output, or replace it with --force.")
    if example is not None:
        _copy(example, output)
        return
    ollama = Ollama(address(os.environ))
    models = asyncio.run(ollama.models())
    if models is None:
        _stop(
            f"No Ollama answers at {ollama.url}: install it from https://ollama.com, run `ollama pull qwen3:4b`, "
            "then this again (OLLAMA_HOST if it runs elsewhere). Without one: smallfirst init --example llama-server."
        )
    chosen = _served(_chosen(models, model), ollama, context, ask=not yes and sys.stdin.isatty())
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(write(ollama.url, chosen, models), encoding="utf-8")
    _report(output, ollama.url, models, chosen)


def _examples() -> dict[str, str]:
    """The text of each by its name."""
    found = sorted((Path(__file__).parent / "examples").glob("*.yaml"))
    return {path.stem: path.read_text("utf-8") for path in found}


def _copy(example: str, output: Path) -> None:
    shipped = _examples()
    if example not in shipped:
        raise ConfigError(f"There is no example {example!r}; there are {', '.join(shipped)}.")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(shipped[example], encoding="utf-8")
    print(f"Wrote {output}, the example {example}. Fill in your own models, then: smallfirst check {output}")


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
