"""The wheel: what is in it, and that it runs where nothing of this checkout is."""

from __future__ import annotations

import email
import json
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.process import free_port
from tests.packaging import clean

ROOT = clean.ROOT
EXAMPLES = [ROOT / "config/gateway.yaml", *sorted((ROOT / "config/examples").glob("*.yaml"))]
ENVIRON = {"PATH": "/usr/bin:/bin"}  # no HOME
pytestmark = pytest.mark.timeout(300)  # an environment is made, and the demo takes one minute of real time


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by way of the source distribution, as for a release."""
    out = tmp_path_factory.mktemp("dist")
    clean.run([clean.uv(), "build", "--offline", "--quiet", "--out-dir", out], ROOT)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def inside(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def test_it_holds_every_source(inside: dict[str, bytes]) -> None:
    """All of both packages, byte for byte, and nothing beside them: no tests, no caches, nothing left over."""
    sources = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for top in ("app", "router_models")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name: text for name, text in inside.items() if ".dist-info/" not in name} == sources


def test_it_holds_the_trained_router(inside: dict[str, bytes]) -> None:
    """The default artifact, its card, and the requests of ours that `train` adds."""
    assert {"router_models/default/model.npz", "router_models/default/card.json"} <= inside.keys()
    assert {"router_models/data/everyday.jsonl", "router_models/data/RUBRIC.md"} <= inside.keys()


def test_it_holds_every_example(inside: dict[str, bytes]) -> None:
    """As files, though in the checkout they are links to those in `config`; with their prices."""
    shipped = {name.rpartition("/")[2]: text for name, text in inside.items() if name.startswith("app/cli/examples/")}
    assert shipped == {path.name: path.read_bytes() for path in EXAMPLES}


def test_its_metadata(inside: dict[str, bytes]) -> None:
    """The licence is in it, the command is declared, the Python that it wants is stated."""
    (name,) = [name for name in inside if name.endswith(".dist-info/METADATA")]
    told = email.message_from_bytes(inside[name])
    assert (told["Name"], told["License-Expression"], told["Requires-Python"]) == ("smallfirst", "Apache-2.0", ">=3.11")
    assert inside[name.replace("METADATA", "licenses/LICENSE")] == (ROOT / "LICENSE").read_bytes()
    assert b"smallfirst = app.cli:main" in inside[name.replace("METADATA", "entry_points.txt")]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The command in a new environment, beside exactly the versions of the lock file; then nothing there can be written
    to. What was run once has its bytecode, as for anybody who installs it."""
    top = tmp_path_factory.mktemp("clean")
    export = [clean.uv(), "export", "--locked", "--no-dev", "--no-emit-project", "--quiet"]
    (top / "pylock.toml").write_text(clean.run([*export, "--format", "pylock.toml"], ROOT))
    clean.run([clean.uv(), "venv", "--quiet", "--no-project", "--python", clean.BASE, "env"], top)
    install = [clean.uv(), "pip", "install", "--quiet", "--python", "env"]
    clean.run([*install, "-r", "pylock.toml"], top)
    clean.run([*install, "--offline", "--no-deps", wheel], top)
    clean.run([clean.uv(), "pip", "check", "--quiet", "--python", "env"], top)
    clean.run(["env/bin/smallfirst", "route", "hi"], top, ENVIRON)
    clean.protect(top)
    yield top / "env/bin/smallfirst"
    clean.release(top)


@pytest.fixture
def shut(tmp_path: Path) -> Path:
    """A folder that nothing can be written to."""
    path = tmp_path / "shut"
    path.mkdir(mode=0o500)
    return path


@pytest.mark.slow
def test_every_command_runs(installed: Path, tmp_path: Path, shut: Path) -> None:
    """Without HOME, where nothing can be written; only `init` is asked to write."""

    def smallfirst(*words: str | Path, cwd: Path = shut) -> str:
        return clean.run([*clean.powerless(), installed, *words], cwd, ENVIRON)

    for command in ("serve", "demo", "init", "check", "route", "train"):
        assert command in smallfirst("--help")
    assert 0 <= json.loads(smallfirst("route", "--json", "你好"))["score"] <= 1
    assert len(smallfirst("init", "--example", "list").splitlines()) == len(EXAMPLES)
    for path in EXAMPLES:
        smallfirst("init", "--example", path.stem, "--output", f"{path.stem}.yaml", cwd=tmp_path)
        assert json.loads(smallfirst("check", "--json", tmp_path / f"{path.stem}.yaml"))["ok"]


@pytest.mark.slow
def test_the_demo_runs(installed: Path, shut: Path) -> None:
    """A whole day of it, where nothing can be written."""
    told = clean.run([*clean.powerless(), installed, "demo", "--once", "--json"], shut, ENVIRON)
    assert json.loads(told)


@pytest.mark.slow
def test_it_serves(installed: Path, tmp_path: Path, shut: Path) -> None:
    """Read-only, without HOME, until it is told to stop."""
    config = tmp_path / "gateway.yaml"
    config.write_bytes((ROOT / "config/examples/scripted.yaml").read_bytes())
    port = free_port()
    environ = ENVIRON | {"SMALLFIRST_SERVER__PORT": str(port), "SMALLFIRST_SERVER__DRAIN_DELAY": "0"}
    command = [*clean.powerless(), installed, "serve", "--config", config]
    process = subprocess.Popen(command, cwd=shut, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert wait(f"http://127.0.0.1:{port}/ready", process) == 200
        process.terminate()
        log = process.communicate(timeout=30)[0].decode()
    finally:
        process.kill()
    assert process.returncode == 0, log


def wait(url: str, process: subprocess.Popen[bytes]) -> int:
    for _ in range(300):
        assert process.poll() is None, process.stdout and process.stdout.read().decode()
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.URLError:  # not yet, or not ready yet
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer")
