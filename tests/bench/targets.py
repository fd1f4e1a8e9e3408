"""What is measured side by side, each as its makers say to run it in production: one worker, its own process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from tests.bench.load import HOST, Load, run
from tests.e2e.process import free_port

START = 120.0  # seconds a target may take to give its first answer
GRACE = 5.0  # and to end when asked to
KEY = "sk-bench"
AUTHORIZATION = {"authorization": f"Bearer {KEY}"}
# A proxy in the environment must not stand between a target and the upstream.
DIRECTLY = {"NO_PROXY": f"{HOST},localhost", "no_proxy": f"{HOST},localhost"}


@dataclass(frozen=True)
class Target:
    name: str
    port: int
    command: Sequence[str]
    about: str  # its version, if that is worth a word
    headers: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    ours: bool = False


@contextlib.contextmanager
def running(target: Target, folder: Path, grace: float = GRACE) -> Iterator[int]:
    """Start it, wait until it answers; its process id. Whatever happens, it and its children end, within `grace`
    seconds or by force."""
    log = folder / f"{target.name}.log"
    with log.open("wb") as output:
        environ = {**os.environ, **DIRECTLY, **target.environ}
        process = subprocess.Popen(
            target.command, stdout=output, stderr=output, env=environ, cwd=folder, start_new_session=True
        )
    try:
        _wait(target, process, log)
        yield process.pid
    finally:
        _end(process, grace)


def _wait(target: Target, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START
    why = ""
    while process.poll() is None and time.monotonic() < end:
        answer = run(target.port, target.headers, Load(connections=1, seconds=START, requests=1))
        if not answer.errors:
            return
        why = answer.why
        time.sleep(0.1)
    raise RuntimeError(f"{target.name} does not answer: {why}\n{log.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """By its id, which is its group's too. First a request, then whatever is still there is killed."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def direct(port: int) -> Target:
    """The upstream itself, from this checkout."""
    return Target("direct", port, [sys.executable, str(Path(__file__).with_name("upstream.py")), str(port)], "")


SMALLFIRST = """
server: {{host: {host}, port: {port}, drain_delay: 0s}}
keys: [{{name: app, env: BENCH_KEY}}]
backends:
  small: {{kind: openai, zone: local, base_url: "http://{host}:{upstream}/v1", model: mock-model,
          capacity: {{concurrent: 512, queue: 512}}, price: {{kind: tokens, input: 0.15, output: 0.60}}}}
  large: {{kind: openai, zone: local, base_url: "http://{host}:{upstream}/v1", model: mock-large,
          capacity: {{concurrent: 512, queue: 512}}, price: {{kind: tokens, input: 1.50, output: 6.00}}}}
tiers: [{{name: slm, backends: [small]}}, {{name: llm, backends: [large]}}]
routing: {{router: default, llm_share: 0.05}}
{records}
"""


def smallfirst(upstream: int, folder: Path, records: bool) -> Target:
    """The whole product: key, trained router, prices, log, metrics; with or without records in a file."""
    port = free_port()
    name, about = ("smallfirst + records", "") if records else ("smallfirst", version("smallfirst"))
    kept = "records: {path: records.db}" if records else ""
    config = folder / f"smallfirst-{port}.yaml"
    config.write_text(SMALLFIRST.format(host=HOST, port=port, upstream=upstream, records=kept))
    command = [sys.executable, "-m", "app.cli", "serve", "--config", str(config)]
    return Target(name, port, command, about, AUTHORIZATION, {"BENCH_KEY": KEY}, ours=True)


NGINX = """
worker_processes 1; daemon off; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_buffer_size 256k; keepalive_requests 1000000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  upstream model {{ server {host}:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
  server {{ listen {host}:{port}; location / {{
    proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }} }}
}}
"""


def nginx(program: str, upstream: int, folder: Path) -> Target:
    """The limit of what a proxy can do: it copies, and knows nothing of models."""
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(NGINX.format(host=HOST, port=port, upstream=upstream))
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    return Target("nginx", port, [program, "-p", str(folder), "-c", str(config)], told.rpartition("/")[2].strip())


LITELLM = """
model_list: [{{model_name: auto, litellm_params:
  {{model: openai/mock-model, api_base: "http://{host}:{upstream}/v1", api_key: none}}}}]
litellm_settings: {{telemetry: false, set_verbose: false, json_logs: true, request_timeout: 600, drop_params: true}}
general_settings: {{master_key: {key}, disable_error_logs: true, disable_spend_logs: true}}
"""


def litellm(program: Path, upstream: int, folder: Path) -> Target:
    port, config = free_port(), folder / "litellm.yaml"
    config.write_text(LITELLM.format(host=HOST, upstream=upstream, key=KEY))
    command = [str(program.absolute()), "--config", str(config), "--host", HOST, "--port", str(port)]
    environ = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command += ["--num_workers", "1", "--telemetry", "False"]
    return Target("litellm", port, command, _litellm_version(program), AUTHORIZATION, environ)


def _litellm_version(program: Path) -> str:
    code = "from importlib.metadata import version; print(version('litellm'))"
    asked = [str(program.absolute().with_name("python")), "-c", code]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def portkey(folder: Path, upstream: int) -> Target:
    """`folder` is where npm installed it."""
    port, package = free_port(), folder.absolute() / "node_modules/@portkey-ai/gateway"
    command = ["node", str(package / "build/start-server.js"), "--headless", f"--port={port}"]
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://{HOST}:{upstream}/v1",
        **AUTHORIZATION,
    }
    about: str = json.loads((package / "package.json").read_text())["version"]
    return Target("portkey", port, command, about, headers, {"NODE_ENV": "production"})


def found(litellm_at: Path | None, portkey_at: Path | None, folder: Path) -> tuple[list[Target], list[str]]:
    """All that can run here, the upstream first; and what is missing, with the way to get it."""
    first = direct(free_port())
    up = first.port
    some, missing = [first], []
    if program := shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        some.append(nginx(program, up, folder))
    else:
        missing.append("without nginx: install it, such as with `apt-get install nginx-light`")
    some += [smallfirst(up, folder, records=False), smallfirst(up, folder, records=True)]
    if at := litellm_at or shutil.which("litellm"):
        some.append(litellm(Path(at), up, folder))
    else:
        missing.append("without LiteLLM: tests/bench/README.md says how to install it, then --litellm PROGRAM")
    if portkey_at:
        some.append(portkey(portkey_at, up))
    else:
        missing.append("without Portkey: tests/bench/README.md says how to install it, then --portkey FOLDER")
    return some, missing
