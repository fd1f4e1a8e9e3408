"""The Dockerfile: what it says, and its steps replayed where there is no Docker: an empty folder stands for the image.

What this cannot show is said in deploy/README.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.process import free_port
from tests.packaging import clean
from tests.packaging.dockerfile import Step, context, only, stages

ROOT = clean.ROOT
ABOVE, UV, BUILD, IMAGE = stages(ROOT / "Dockerfile")
CONFIG = """
server: {host: 0.0.0.0, port: 8080, drain_delay: 0s}
keys: [{name: app, env: APP_KEY}]
backends:
  small: {kind: scripted, zone: local, model: small, price: {kind: unpriced}}
records: {}
"""
pytestmark = pytest.mark.timeout(300)  # an environment is made, and the demo takes one minute of real time


def test_it_is_not_root() -> None:
    """By number, so that a cluster can tell without looking into the image."""
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", only(IMAGE, "USER").rest)


def test_signals_reach_the_gateway() -> None:
    """No shell between: the first process is the gateway itself."""
    assert only(IMAGE, "CMD").exec_form == ["smallfirst", "serve", "--config", "/etc/smallfirst/gateway.yaml"]
    assert all(step.word != "ENTRYPOINT" for step in IMAGE)


def test_what_it_writes_is_a_volume() -> None:
    """A relative path of `records` is below it, and it belongs to the user."""
    volume = only(IMAGE, "VOLUME").rest
    user, group = only(IMAGE, "USER").rest.split(":")
    assert only(IMAGE, "WORKDIR").rest == volume
    assert only(IMAGE, "RUN").rest == f"install -d -o {user} -g {group} -m 0700 {volume}"


def test_uv_is_that_of_the_makefile() -> None:
    """And it stays behind."""
    version = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert version
    assert UV[0].rest == f"ghcr.io/astral-sh/uv:{version[1]} AS uv"
    assert [step.rest for step in IMAGE if step.word == "COPY"] == ["--from=build /app/.venv /app/.venv"]


def test_both_stages_have_one_python() -> None:
    """An environment finds its interpreter by path; the one that CI has."""
    assert {BUILD[0].rest.removesuffix(" AS build"), IMAGE[0].rest} == {"python:${PYTHON}"}
    assert only(ABOVE, "ARG").settings["PYTHON"].startswith("3.11-")


def test_no_secret_comes_in() -> None:
    """Only what is named comes in: no environment, no tests, no records, no .env."""
    inside = {path.relative_to(ROOT) for path in context(ROOT)}
    assert {path.parts[0] for path in inside} == {
        "app",
        "config",
        "router_models",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "uv.lock",
    }
    assert {path.suffix for path in inside} <= {".py", ".yaml", ".json", ".jsonl", ".npz", ".md", ".toml", ".lock", ""}


@dataclass(frozen=True)
class Image:
    """`root` stands for `/`. What is in it is write-protected, but for the volume."""

    root: Path
    environ: dict[str, str]

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def words(self, step: Step) -> list[str]:
        """Its absolute paths, and its program, are those below `root`."""
        program, *rest = step.exec_form
        return [str(self.at("/app/.venv/bin") / program)] + [
            str(self.at(word)) if word.startswith("/") else word for word in rest
        ]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The build stage's steps one by one, in an empty folder, with what .dockerignore lets through."""
    root = tmp_path_factory.mktemp("image")
    copy_of_context(root / "context")
    app = root / only(BUILD, "WORKDIR").rest.lstrip("/")
    app.mkdir()
    environ = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "UV_PYTHON")}
    environ["PATH"] = f"{clean.uv().parent}:{environ['PATH']}"
    for step in BUILD:
        if step.word in ("ENV", "ARG"):
            environ |= step.settings
            environ["UV_PYTHON"] = str(clean.BASE)
        elif step.word == "COPY" and "--from" not in step.rest:
            copied(step, root / "context", app)
        elif step.word == "RUN":
            replayed(step, root / "context", app, environ)
    shutil.rmtree(root / "context")
    for name in os.listdir(app):
        if name != ".venv":  # the only thing that the last stage takes
            shutil.rmtree(app / name) if (app / name).is_dir() else (app / name).unlink()
    volume = root / only(IMAGE, "VOLUME").rest.lstrip("/")
    volume.mkdir(parents=True)
    (root / "etc/smallfirst").mkdir(parents=True)
    (root / "etc/smallfirst/gateway.yaml").write_text(CONFIG)
    clean.protect(root)
    volume.chmod(0o700)
    yield Image(root, {"PATH": f"{app}/.venv/bin:/usr/bin:/bin", "APP_KEY": "a-key"})
    clean.release(root)


def copy_of_context(to: Path) -> None:
    for path in context(ROOT):
        target = to / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target, follow_symlinks=False)


def copied(step: Step, source: Path, app: Path) -> None:
    *names, target = step.rest.split()
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, app / target, symlinks=True)
        else:
            shutil.copy(source / name, app / target)


def replayed(step: Step, source: Path, app: Path, environ: dict[str, str]) -> None:
    """Files that are only mounted are there as long as the step runs."""
    bound = [mount for mount in step.mounts if mount["type"] == "bind"]
    for mount in bound:
        shutil.copy(source / mount["source"], app / mount["target"])
    clean.run(["/bin/sh", "-ec", step.shell], app, environ)
    for mount in bound:
        (app / mount["target"]).unlink()


def healthy(image: Image, port: int) -> bool:
    """The HEALTHCHECK, through a proxy that is not there: it must not be asked."""
    environ = image.environ | {"SMALLFIRST_SERVER__PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    words = image.words(only(IMAGE, "HEALTHCHECK"))
    return subprocess.run(words, env=environ, capture_output=True, timeout=30, check=False).returncode == 0


@pytest.mark.slow
def test_the_steps_make_an_image_that_serves(image: Image) -> None:
    """With every file write-protected, no HOME and no /tmp of its own; the records are on the volume, and nothing else
    is written anywhere. It is healthy, and after SIGTERM gone without being killed."""
    volume = image.at(only(IMAGE, "VOLUME").rest)
    before = clean.files(image.root)
    port = free_port()
    environ = image.environ | {"SMALLFIRST_SERVER__PORT": str(port), "TMPDIR": "/nonexistent"}
    settings = {name: value for step in IMAGE if step.word == "ENV" for name, value in step.settings.items()}
    environ |= {name: value for name, value in settings.items() if name != "PATH"}
    command = [*clean.powerless(), *image.words(only(IMAGE, "CMD"))]
    process = subprocess.Popen(command, cwd=volume, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not healthy(image, port):
            assert process.poll() is None, process.stdout and process.stdout.read().decode()
            assert time.monotonic() < deadline
        assert asked(port)["choices"]
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=30)[0].decode()
    finally:
        process.kill()
    assert process.returncode == 0, log
    assert not healthy(image, port)
    written = {name for name, what in clean.files(image.root).items() if before.get(name) != what}
    assert written == {f"{volume.relative_to(image.root)}/data/records.db"}


def asked(port: int) -> dict[str, object]:
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        body,
        {"Authorization": "Bearer a-key", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


@pytest.mark.slow
def test_what_is_left_out_is_not_missed(image: Image, tmp_path: Path) -> None:
    """Only training needs it: everything that a gateway's image is for runs."""
    config = str(image.at("/etc/smallfirst/gateway.yaml"))
    for words in (["--help"], ["route", "--json", "你好"], ["check", config], ["demo", "--once", "--json"]):
        clean.run([*clean.powerless(), image.at("/app/.venv/bin/smallfirst"), *words], tmp_path, image.environ)
    packages = {path.name for path in image.at("/app/.venv").glob("lib/python*/site-packages/*")}
    assert packages.isdisjoint({"sklearn", "scipy", "matplotlib", "pytest", "mypy"})
    assert "numpy" in packages


def test_what_is_left_out_is_all_that_only_training_needs() -> None:
    """The list in the Dockerfile, worked out from the lock file: left out is what nothing else wants."""
    tree = locked()
    training = {"scikit-learn", "scipy", "datasketch", "matplotlib", "threadpoolctl"}
    kept = reachable(tree, [name for name in tree["smallfirst"] if name not in training])
    everything = reachable(tree, tree["smallfirst"])
    without = next(step.settings["WITHOUT"] for step in BUILD if step.word == "ARG")
    assert set(without.split()) == everything - kept


def locked() -> dict[str, list[str]]:
    """What each package needs, without our groups for developers."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    tree: dict[str, set[str]] = {}
    for package in lock["package"]:
        needed = {one["name"] for one in package.get("dependencies", [])}
        for extra in package.get("optional-dependencies", {}).values():
            needed |= {one["name"] for one in extra}
        tree[package["name"]] = tree.get(package["name"], set()) | needed
    return {name: sorted(needed) for name, needed in tree.items()}


def reachable(tree: dict[str, list[str]], names: list[str]) -> set[str]:
    found: set[str] = set()
    ahead = list(names)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += tree[name]
    return found
