"""What to start and with which words. Two launches that are equal want the same process: it survives a reload."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HUB = "hf://"
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf\Z", re.IGNORECASE)


class Cannot(Exception):
    """A thing that cannot be had: one sentence, with the cure."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One server. `model` is a path or hf://owner/repo/file.gguf, `alias` the name it answers to, `context` the tokens
    that one request may use."""

    model: str
    alias: str
    host: str
    port: int
    slots: int = 1
    context: int = 8192

    @property
    def at(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def on_hub(self) -> tuple[str, str] | None:
        """Repository and file there; None for a file of this machine."""
        if not self.model.startswith(HUB):
            return None
        owner, repo, file = self.model.removeprefix(HUB).split("/", 2)
        return f"{owner}/{repo}", file

    @property
    def file(self) -> Path:
        """Of this machine."""
        return Path(self.model).expanduser()

    def options(self, file: Path) -> list[str]:
        """The server's. It shares its context out among the slots that it is told of: one request gets `context`."""
        said = {"--model": file, "--alias": self.alias, "--host": self.host, "--port": self.port}
        said |= {"--parallel": self.slots, "--ctx-size": self.slots * self.context}
        return [*(str(word) for pair in said.items() for word in pair), "--metrics", "--jinja"]

    def journal(self, environ: Mapping[str, str]) -> Path:
        """Where what it prints is kept: by the port, which it has alone."""
        state = environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
        return Path(state) / "smallfirst" / f"llama-server-{self.port}.log"


def parts(file: str) -> list[str]:
    """Large models are split; the server is given the first part and looks for the others beside it."""
    found = _PART.search(file)
    if found is None:
        return [file]
    stem, count = file[: found.start()], found[2]
    return [f"{stem}-{number:05d}-of-{count}.gguf" for number in range(1, int(count) + 1)]
