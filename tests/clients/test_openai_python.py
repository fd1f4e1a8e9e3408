"""The real openai packages, 2.x and 3.x, each in its own interpreter, against a gateway on a real socket."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.backends.scripted import Fault, Model, Scripted, serve_in_thread
from app.main import application
from app.settings import Source
from tests import needs
from tests.serving import serving

ROOT = Path(__file__).parent.parent.parent
SCRIPT = Path(__file__).with_name("openai_script.py")
KEY = "a-key-of-the-test"
ENVIRON = {"APP_KEY": KEY}
FOR_EVER = 1000  # more often than the script asks

CONFIG = """
server: {{max_body_mb: 0.1}}
keys: [{{name: app, env: APP_KEY}}]
backends:
  small: {{kind: ollama, zone: local, base_url: "{small}", model: "small:1b", reasoning: off, price: {{kind: unpriced}},
          capacity: {{concurrent: 1, queue: 16, max_wait: 10s}}}}
  large: {{kind: vllm, zone: remote, base_url: "{large}", model: maker/large, price: {{kind: unpriced}}}}
  busy: {{kind: vllm, zone: remote, base_url: "{busy}", model: busy, price: {{kind: unpriced}}}}
  loading: {{kind: openai, zone: remote, base_url: "{loading}", model: loading, price: {{kind: unpriced}}}}
  picky: {{kind: openai, zone: remote, base_url: "{picky}", model: picky, price: {{kind: unpriced}}}}
  embedder: {{kind: ollama, zone: local, base_url: "{embedder}", model: embedder, price: {{kind: unpriced}}}}
tiers:
  - {{name: slm, backends: [small]}}
  - {{name: llm, backends: [large, busy, loading, picky]}}
routing: {{llm_share: 0.05, unknown_models: reject}}
embeddings: {{backend: embedder, model: embedder}}
"""


def fakes() -> dict[str, Scripted]:
    made = {
        "small": Scripted(Model(imitates="ollama", name="small:1b", thinks=True)),
        "large": Scripted(Model(imitates="vllm", name="maker/large", slots=4)),
        "busy": Scripted(Model(imitates="vllm", name="busy")),
        "loading": Scripted(Model(imitates="openai", name="loading")),
        "picky": Scripted(Model(imitates="openai", name="picky")),
        "embedder": Scripted(Model(imitates="ollama", name="embedder")),
    }
    made["busy"].fail(Fault.BUSY_429, FOR_EVER)
    made["loading"].fail(Fault.LOADING_503, FOR_EVER)
    made["picky"].fail(Fault.REJECT_400, FOR_EVER)
    return made


@pytest.fixture(scope="module")
def config() -> Iterator[str]:
    """The gateway's config, its backends being served."""
    with ExitStack() as stack:
        urls = {name: stack.enter_context(serve_in_thread(fake)) for name, fake in fakes().items()}
        yield CONFIG.format(**urls)


async def run(interpreter: Path, config: str, log: Path) -> subprocess.CompletedProcess[str]:
    """The script in its own process, the gateway in this one."""
    with log.open("wb") as output:
        async with application(Source(None, ENVIRON, config), log=output) as running, serving(running.app) as port:
            command = [str(interpreter), str(SCRIPT), f"http://127.0.0.1:{port}/v1", KEY]
            return await asyncio.to_thread(wait_for, command)


def wait_for(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("major", ["2", "3"])
async def test_the_unmodified_package_works(major: str, config: str, tmp_path: Path) -> None:
    """Every step of the script passes, and it was the version we meant."""
    environment = {"2": ROOT / ".venv-openai2/bin/python", "3": Path(sys.executable)}
    interpreter = needs.program(environment[major], "make setup")
    finished = await run(interpreter, config, tmp_path / "gateway.log")
    assert finished.returncode == 0, finished.stderr + (tmp_path / "gateway.log").read_text("utf-8")
    told = json.loads(finished.stdout)
    assert told["version"].split(".")[0] == major
    assert "refused" in told["passed"]
