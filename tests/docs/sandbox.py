"""Where the commands of a page are typed: a folder with what a checkout has, servers at the addresses that they name.

A server of ours has a free port. `Sandbox.here` is the only place where an address of the documents becomes another.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.backends.scripted import Model, Scripted, serve_in_thread
from app.cli.ollama import Model as Found
from app.cli.writing import write
from app.stores.sqlite import Keeping, SqliteRecords
from tests.docs.commands import ROOT, Command
from tests.e2e.process import free_port
from tests.router_models import examples
from tests.telemetry.examples import a_record

COPIED = ("Makefile", "config", "deploy")
SMALL, LARGE = "qwen3:4b", "openai/gpt-oss-120b:groq"
_MARK = "-- end of command, exit code"


@dataclass
class Sandbox:
    """`here` maps an address of the documents to the one that stands for it."""

    folder: Path
    here: dict[str, str]
    port: int
    shell: subprocess.Popen[str]
    serving: list[int] = field(default_factory=list)

    def run(self, command: Command) -> tuple[int, str]:
        """Type it; its exit code and what it printed. `serve` goes to the background, as into another terminal."""
        for path in self.folder.rglob("my.yaml"):  # written by a command before this one
            path.write_text(self.replaced(path.read_text("utf-8")), "utf-8")
        text = self.replaced(command.text)
        if command.language == "python":
            (self.folder / "block.py").write_text(text, "utf-8")
            text = f"{self.folder}/.venv/bin/python {self.folder}/block.py"
        if re.match(r"smallfirst serve\b", text):
            return self._serve(text)
        return self._typed(f"{{\n{text}\n}} </dev/null")

    def replaced(self, text: str) -> str:
        for named, there in self.here.items():
            text = text.replace(named, there)
        return text

    def compose(self) -> None:
        """What `docker compose up` would start: the gateway, on its own config and with the keys of `.env`."""
        self._typed("set -a; . ./.env; set +a")
        code, said = self._serve("smallfirst serve --config gateway.yaml")
        assert code == 0, said

    def _typed(self, text: str) -> tuple[int, str]:
        assert self.shell.stdin
        assert self.shell.stdout
        self.shell.stdin.write(f'{text}\ncode=$?; echo; echo "{_MARK}" $code\n')
        self.shell.stdin.flush()
        said: list[str] = []
        for line in self.shell.stdout:
            if line.startswith(_MARK):
                return int(line.removeprefix(_MARK)), "".join(said)
            said.append(line)
        raise AssertionError(f"the shell is gone after: {text}\n{''.join(said)}")

    def _serve(self, text: str) -> tuple[int, str]:
        """The one before it is stopped first: there is one port."""
        self.stop()
        log = self.folder / "serve.log"
        self._typed(f"{text} >{log} 2>&1 </dev/null &")
        self.serving.append(int(self._typed("echo $!")[1].split()[0]))
        end = time.monotonic() + 60  # on a busy machine Python alone takes twenty seconds to start
        while not _ready(self.port):
            if self._typed(f"kill -0 {self.serving[-1]}")[0] or time.monotonic() > end:
                return 1, log.read_text("utf-8")
            time.sleep(0.05)
        return 0, ""

    def stop(self) -> None:
        """As Ctrl-C does."""
        while self.serving:
            number = self.serving.pop()
            self._typed(f"kill -TERM {number}; wait {number}")


@contextmanager
def sandbox(folder: Path, *, installed: bool, configured: bool) -> Iterator[Sandbox]:
    """`installed`: `smallfirst` is on the path; `configured`: there is a `my.yaml`. The README gives one both."""
    small = Scripted(Model(imitates="ollama", name=SMALL, thinks=True, per_token=0.005))
    large = Scripted(Model(imitates="openai", name=LARGE))
    with serve_in_thread(small) as ollama, serve_in_thread(large) as endpoint:
        port = free_port()
        here = {
            "http://127.0.0.1:11434": ollama,
            "http://ollama:11434": ollama,
            "https://router.huggingface.co": endpoint,
            "127.0.0.1:8080": f"127.0.0.1:{port}",
            "/var/lib/smallfirst": f"{folder}/data",
        }
        environ = {
            "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}" if installed else os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "XDG_CACHE_HOME": str(Path.home() / ".cache"),  # where matplotlib has its list of fonts, slow to make
            "OLLAMA_HOST": ollama,
            "SMALLFIRST_SERVER__HOST": "127.0.0.1",
            "SMALLFIRST_SERVER__PORT": str(port),
            "SMALLFIRST_SERVER__DRAIN_DELAY": "0",
        }
        with _bash(folder, environ) as shell:
            made = Sandbox(folder, here, port, shell)
            _furnish(made, configured)
            try:
                yield made
            finally:
                made.stop()


@contextmanager
def _bash(folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """One shell for a page, so that `cd`, `export` and `umask` hold for what comes after."""
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--norc"],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield shell
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate()


def _furnish(made: Sandbox, configured: bool) -> None:
    """What the pages take for granted: a checkout with its environment, a config, labels, records."""
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, made.folder / name)
    (made.folder / ".venv").symlink_to(sys.prefix)
    for path in [*made.folder.glob("config/**/*.yaml"), *made.folder.glob("deploy/*.yaml")]:
        path.write_text(made.replaced(path.read_text("utf-8")), "utf-8")
    (made.folder / ".curlrc").write_text("silent\nshow-error\n")  # as to a terminal, without a bar of progress
    (made.folder / "data").mkdir()
    (made.folder / "FOLDER").mkdir()
    examples.write(made.folder / "FOLDER")
    (made.folder / "FOLDER/secret.jsonl.gz").unlink()  # made to spoil a test if it is read
    _records(made.folder / "data/records.db")
    _labels(made.folder)
    if configured:
        config = write(made.here["http://127.0.0.1:11434"], Found(SMALL, thinks=True), [])
        (made.folder / "my.yaml").write_text(config, "utf-8")


def _records(path: Path) -> None:
    store = SqliteRecords(Keeping(path), lambda: 0.0, print)
    for number in range(100):
        store.on_settled(a_record(score=number / 100))
    store.close()


def _labels(folder: Path) -> None:
    """Half of them hard; and what another router says of each."""
    rows = [
        {"id": f"r-{number}", "prompt": f"{verb} {thing}", "verdict": label, "split": "dev"}
        for number, (verb, thing, label) in enumerate(examples.texts("en"))
        if number % 5 == 0  # the time of `evaluate` grows with them
    ]
    examples.jsonl(folder / "mine.jsonl", rows)
    scores = [f"{row['id']},{index / len(rows):.4f}\n" for index, row in enumerate(rows)]
    (folder / "scores.csv").write_text("id,score\n" + "".join(scores), "utf-8")


def put_in_the_large_model(made: Sandbox) -> None:
    """What the README says of the comments in the config that `init` wrote."""
    path = made.folder / "my.yaml"
    path.write_text(uncommented(path.read_text("utf-8")), "utf-8")


def uncommented(text: str) -> str:
    """The lines of `large` and of tier `llm` without the `# ` in front."""
    return re.sub(r"^  # (large:|  |- )", r"  \1", text, flags=re.MULTILINE)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):  # not yet, or not ready yet
        return False
