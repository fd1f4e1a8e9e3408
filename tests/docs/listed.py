"""Commands of the documents that are not run here: the only table of them, each with its reason and another check."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer

from app.cli import COMMANDS
from tests.bench.__main__ import BENCHMARKS
from tests.docs.commands import ROOT

Check = Callable[[str], None]


@dataclass(frozen=True)
class Listed:
    """`instead` is done in the sandbox's folder, so that what comes after finds what it needs."""

    why: str
    check: Check
    instead: Callable[[Path], None] | None = None


def make(command: str) -> None:
    """It is a target, and all that it needs are targets or files."""
    done = subprocess.run(
        ["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def options(command: str) -> None:
    """The program takes every word of it; what they name need not be there."""
    _, name, *rest = shlex.split(command)
    program = typer.Typer(add_completion=False)
    program.command()(next(one for one in COMMANDS if one.__name__ == name))
    typer.main.get_command(program).make_context(name, rest)


def script(command: str) -> None:
    """It is there and executable, and bash reads it."""
    path = ROOT / command
    assert path.stat().st_mode & 0o100
    assert subprocess.run(["bash", "-n", path], capture_output=True, check=False).returncode == 0


def model_of_the_config(command: str) -> None:
    """What is pulled is what the shipped config serves."""
    model = shlex.split(command)[2]
    assert f"model: {model} " in (ROOT / "config/gateway.yaml").read_text("utf-8")


def tested(*paths: str) -> Check:
    """By these tests, which name what they are about: the first word of the command, or its second."""

    def check(command: str) -> None:
        words = [word.split("/")[-1] for word in shlex.split(command)[:2]]
        for path in paths:
            text = (ROOT / path).read_text("utf-8").lower()
            assert "def test_" in text
            assert any(re.search(rf"\b{re.escape(word)}\b", text) for word in words), f"{path} is not about {command}"

    return check


def benchmark(command: str) -> None:
    """There is one of that name, and its help has the options."""
    words = shlex.split(command.partition("tests.bench")[2].partition(" > ")[0])
    name = words[0] if words and not words[0].startswith("-") else "gateway"
    assert name in BENCHMARKS
    shown = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z]+", shown))


def peers(command: str) -> None:
    """What is put somewhere is there where the benchmark is told to look for it; JSON is JSON."""
    asked = " ".join(text for text, one in LISTED.items() if one.check is benchmark)
    assert all(folder in asked for folder in re.findall(r"/tmp/peers/[\w-]+", command))
    assert all(json.loads(text) for text in re.findall(r"'(\{.*\})'", command))


def both(*checks: Check) -> Check:
    def check(command: str) -> None:
        for one in checks:
            one(command)

    return check


def as_if_trained(folder: Path) -> None:
    """The packaged router in the place of one that would have been trained."""
    for name in ("mine", "all"):
        shutil.copytree(ROOT / "router_models/default", folder / "build" / name, dirs_exist_ok=True)


TRAINS = Listed("takes half a minute and more; tests/cli/test_train.py trains on little data", options, as_if_trained)
DOCKER = "needs a Docker engine"
MEASURES = Listed("measures for minutes, and wants the machine for itself; tests/bench has its tests", benchmark)
FETCHES = Listed("fetches packages of other makers, by the hundred", peers)
ENVIRONMENT = "would change the environment in which the tests run"

LISTED: dict[str, Listed] = {
    "make demo": Listed("takes a minute, then stays up", both(make, tested("tests/cli/demo/test_command.py"))),
    "make test": Listed("these tests are part of it", make),
    "make check": Listed("these tests are part of it", make),
    "make setup": Listed(ENVIRONMENT, make),
    "make fmt": Listed(ENVIRONMENT, make),
    ".ci/run": Listed("these tests are part of it", script),
    "ollama pull qwen3:4b": Listed("fetches 2.5 GB", model_of_the_config),
    "smallfirst train --base default --data mine.jsonl --out build/mine": TRAINS,
    "smallfirst train --data mine.jsonl --slm small --llm large --everyday --out build/mine": TRAINS,
    "smallfirst train --data FOLDER --ships --everyday --out router_models/default --date 2026-11-25": TRAINS,
    "smallfirst train --data FOLDER --everyday --out build/all": TRAINS,
    "docker compose up": Listed(DOCKER, tested("tests/packaging/test_compose.py")),
    "docker build --tag smallfirst .": Listed(DOCKER, tested("tests/packaging/test_image.py")),
    "docker run --rm --read-only --cap-drop ALL --publish 127.0.0.1:8080:8080 --env-file deploy/.env \\\n"
    '  --volume "$PWD/my.yaml:/etc/smallfirst/gateway.yaml:ro" --volume records:/var/lib/smallfirst smallfirst': Listed(
        DOCKER, tested("tests/packaging/test_image.py")
    ),
    "docker run --rm smallfirst smallfirst demo --once": Listed(DOCKER, tested("tests/packaging/test_image.py")),
    "uv build": Listed("needs the whole checkout", tested("tests/packaging/test_wheel.py")),
    "uv tool install dist/smallfirst-*.whl": Listed(
        "fetches packages, and puts a command into the home", tested("tests/packaging/test_wheel.py")
    ),
    ".venv/bin/python -m tests.bench": MEASURES,
    ".venv/bin/python -m tests.bench --quick": MEASURES,
    ".venv/bin/python -m tests.bench router": MEASURES,
    ".venv/bin/python -m tests.bench --litellm /tmp/peers/litellm/bin/litellm --portkey /tmp/peers/portkey": MEASURES,
    "ROUTING_DATA=FOLDER .venv/bin/python -m tests.bench results --litellm /tmp/peers/litellm/bin/litellm \\\n"
    "    --portkey /tmp/peers/portkey > tests/bench/RESULTS.md": MEASURES,
    "python3 -m venv /tmp/peers/litellm && /tmp/peers/litellm/bin/pip install 'litellm[proxy]' httptools": FETCHES,
    "mkdir -p /tmp/peers/portkey": FETCHES,
    'echo \'{"private": true, "overrides": {"hono": "4.9.7", "@hono/node-server": "1.13.8"}}\''
    " > /tmp/peers/portkey/package.json": FETCHES,
    "npm --prefix /tmp/peers/portkey install @portkey-ai/gateway@1.15.2": FETCHES,
}

# Blocks in other languages, and Python that needs the environment of its own client: the test that reads them.
ELSEWHERE = {
    ("docs/clients.md", "python"): "tests/clients/test_page.py",
    ("docs/clients.md", "js"): "tests/clients/test_page.py",
    ("docs/metrics.md", "promql"): "tests/docs/test_metrics_page.py",
    ("docs/operations.md", "promql"): "tests/docs/test_operations_page.py",
    ("docs/router.md", "json"): "tests/docs/test_router_page.py",
    ("docs/router.md", "csv"): "tests/docs/test_router_page.py",
}
PROSE = "text"  # formulas and the like: nothing to type
