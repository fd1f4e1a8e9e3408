"""`smallfirst check`: is this config right, what does it say in full, and do its backends answer?"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import ConfigError

if TYPE_CHECKING:
    from app.cli.probing import Finding
    from app.cli.started import Plan
    from app.settings import GatewayConfig


def check(
    file: Annotated[Path | None, typer.Argument(help="The config; by default ./config/gateway.yaml.")] = None,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Ask every backend; start what serve would start; measure Ollama's slots, which loads its model.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Validate a config and print it in full, secrets masked. Next: smallfirst serve"""
    from app.cli.sources import named_source, tell
    from app.cli.started import plans
    from app.settings import as_yaml, resolved

    source = named_source(file, os.environ)
    if source is None:
        raise ConfigError("There is no config/gateway.yaml here. Name a file, or write one with: smallfirst init")
    try:
        loaded = source.load()
    except ConfigError as error:
        if as_json:
            print(json.dumps({"ok": False, "file": source.name, "problems": str(error).splitlines()}))
            raise typer.Exit(2) from None
        raise
    shown = resolved(loaded.config, os.environ)
    starting = plans(loaded.config, os.environ)
    warnings = (*loaded.warnings, *(line for plan in starting for line in plan.warnings()))
    if not as_json:
        print(as_yaml(shown), end="")
        for plan in starting:
            print(plan, file=sys.stderr)
        tell(warnings)
    findings = asyncio.run(_probe(loaded.config)) if probe else ()
    if as_json:
        _print_json(source.name, shown, warnings, starting, findings if probe else None)
    else:
        for finding in findings:
            print(finding)
        print(f"{source.name} is right." + ("" if probe else " Ask its backends with --probe."), file=sys.stderr)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _probe(config: GatewayConfig) -> tuple[Finding, ...]:
    from app.cli.probing import asker, probe_all

    ask = asker(config, os.environ)
    return await probe_all(config.backend_specs(), ask, lambda line: print(line, file=sys.stderr))


def _print_json(
    name: str,
    shown: dict[str, Any],
    warnings: tuple[str, ...],
    starting: tuple[Plan, ...],
    findings: tuple[Finding, ...] | None,
) -> None:
    result: dict[str, Any] = {"ok": True, "file": name, "warnings": list(warnings), "config": shown}
    if starting:
        result["start"] = {plan.backend: plan.as_json() for plan in starting}
    if findings is not None:
        result["ok"] = all(finding.ok for finding in findings)
        result["probe"] = {finding.backend: finding.as_json() for finding in findings}
    print(json.dumps(result, ensure_ascii=False))
