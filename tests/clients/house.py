"""One gateway in a process of its own, before fakes that are as faithful as they can be; clients run one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.backends.scripted import Fault, Model, Scripted, serve_in_thread
from tests import needs
from tests.e2e.process import GatewayProcess, gateway

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
KEY = "a-key-of-the-test"
CURE = "make test-clients"
PATIENCE = 120  # seconds for a client: the heavy ones take ten to be imported on a busy machine
FOR_EVER = 1000  # more often than anybody asks
OURS = "openai-python"  # it is in our own environment
NODE = ("openai-node", "ai-sdk")

CONFIG = """
server: {host: 127.0.0.1, port: {port}}
keys: [{name: app, env: APP_KEY}]
backends:
  small: {kind: ollama, zone: local, base_url: "{small}", model: "small:1b", reasoning: off, price: {kind: unpriced}}
  thinker: {kind: ollama, zone: local, base_url: "{thinker}", model: "thinker:1b", reasoning: pass,
            price: {kind: unpriced}}
  cut: {kind: ollama, zone: local, base_url: "{cut}", model: "cut:1b", price: {kind: unpriced}}
  flaky: {kind: ollama, zone: local, base_url: "{flaky}", model: "flaky:1b", price: {kind: unpriced}}
  large: {kind: vllm, zone: remote, base_url: "{large}", model: maker/large, price: {kind: unpriced}}
  reset: {kind: vllm, zone: remote, base_url: "{reset}", model: reset, price: {kind: unpriced}}
  broken: {kind: vllm, zone: remote, base_url: "{broken}", model: broken, price: {kind: unpriced}}
  slow: {kind: vllm, zone: remote, base_url: "{slow}", model: slow, price: {kind: unpriced}}
  busy: {kind: vllm, zone: remote, base_url: "{busy}", model: busy, price: {kind: unpriced}}
  loading: {kind: openai, zone: remote, base_url: "{loading}", model: loading, price: {kind: unpriced}}
  picky: {kind: openai, zone: remote, base_url: "{picky}", model: picky, price: {kind: unpriced}}
tiers:
  - {name: slm, backends: [small, thinker, cut]}
  - {name: flaky, backends: [flaky]}
  - {name: llm, backends: [large, reset, broken, slow, busy, loading, picky]}
routing: {threshold: 0.99, unknown_models: reject}
"""


def fakes() -> dict[str, Scripted]:
    made = {
        "small": Model(imitates="ollama", name="small:1b", thinks=True),
        "thinker": Model(imitates="ollama", name="thinker:1b", thinks=True),
        "cut": Model(imitates="ollama", name="cut:1b"),
        "flaky": Model(imitates="ollama", name="flaky:1b"),
        "large": Model(imitates="vllm", name="maker/large", slots=4),
        "reset": Model(imitates="vllm", name="reset"),
        "broken": Model(imitates="vllm", name="broken"),
        "slow": Model(imitates="vllm", name="slow", first_token=11.0, per_token=0.5),
        "busy": Model(imitates="vllm", name="busy"),
        "loading": Model(imitates="openai", name="loading"),
        "picky": Model(imitates="openai", name="picky"),
    }
    faults = {
        "cut": Fault.CUT_CLEAN,
        "flaky": Fault.ERROR_500,
        "reset": Fault.CUT_RESET,
        "broken": Fault.ERROR_MID,
        "busy": Fault.BUSY_429,
        "loading": Fault.LOADING_503,
        "picky": Fault.REJECT_400,
    }
    servers = {name: Scripted(model, keep_bodies=True) for name, model in made.items()}
    for name, fault in faults.items():
        servers[name].fail(fault, FOR_EVER)
    return servers


@dataclass(frozen=True)
class Visit:
    """What a client told, and the bodies that each fake got meanwhile."""

    told: dict[str, Any]
    bodies: dict[str, list[dict[str, Any]]]


class House:
    """Where the clients come to."""

    def __init__(self, running: GatewayProcess, backends: dict[str, Scripted]) -> None:
        self.url = f"http://127.0.0.1:{running.port}/v1"
        self.port, self.log, self.backends = running.port, running.log, backends
        self._visits: dict[str, Visit] = {}

    def visit(self, client: str) -> Visit:
        """The client's script, run once for all tests."""
        if client not in self._visits:
            before = {name: len(fake.seen.bodies) for name, fake in self.backends.items()}
            told = json.loads(run(client, script(client), self.url, KEY).splitlines()[-1])
            bodies = {name: fake.seen.bodies[before[name] :] for name, fake in self.backends.items()}
            self._visits[client] = Visit(told, bodies)
        return self._visits[client]

    def bugs(self) -> list[str]:
        """Lines of the gateway's log that tell of a bug of ours."""
        lines = self.log.read_text("utf-8").splitlines()
        return [line for line in lines if '"bug"' in line]


@contextmanager
def opened(folder: Path) -> Iterator[House]:
    with ExitStack() as stack:
        backends = fakes()
        config = CONFIG
        for name, fake in backends.items():
            config = config.replace(f'"{{{name}}}"', f'"{stack.enter_context(serve_in_thread(fake))}"')
        yield House(stack.enter_context(gateway(config, folder, APP_KEY=KEY)), backends)


def script(client: str) -> Path:
    return HERE / f"{client.replace('-', '_')}_script.{'mjs' if client in NODE else 'py'}"


def command(client: str, code: Path) -> list[str]:
    """Node takes a module from stdin, for it then finds packages in the working folder."""
    home = ROOT / ".clients" / client
    if client == OURS:
        return [sys.executable, str(code)]
    if client in NODE:
        needs.program(home / "node_modules", f"{CURE}, with Node.js 18 or newer and npm")
        return ["node", "--input-type=module", "-"]
    return [str(needs.program(home / "bin/python", CURE)), str(code)]


def run(client: str, code: Path, *arguments: str) -> str:
    """What the code printed. It gets no more of this process's environment than it needs."""
    home = code.parent if client == OURS else ROOT / ".clients" / client
    done = subprocess.run(
        [*command(client, code), *arguments],
        input=code.read_text("utf-8"),
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **QUIET},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# Clients that would otherwise ask the Internet for prices, models or traces.
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_DISABLE_TELEMETRY": "1", "AI_SDK_LOG_WARNINGS": "false"}
