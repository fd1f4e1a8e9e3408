"""Just enough of a reader for our own Dockerfile and .dockerignore, so that the tests replay what is written there."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class Step:
    word: str
    rest: str

    @property
    def shell(self) -> str:
        """Of a RUN: the command without its mounts."""
        return re.sub(r"--mount=\S+\s*", "", self.rest)

    @property
    def mounts(self) -> list[dict[str, str]]:
        found = re.findall(r"--mount=(\S+)", self.rest)
        return [dict(part.partition("=")[::2] for part in mount.split(",")) for mount in found]

    @property
    def exec_form(self) -> list[str]:
        """The words of a CMD, or of the CMD in a HEALTHCHECK. Fails if it is in shell form."""
        words = json.loads(self.rest[self.rest.index("[") :])
        assert self.rest.startswith("[") or self.rest.partition("[")[0].split()[-1] == "CMD"
        assert all(isinstance(word, str) for word in words)
        return list(words)

    @property
    def settings(self) -> dict[str, str]:
        """Of ENV, ARG and LABEL."""
        return dict(part.partition("=")[::2] for part in shlex.split(self.rest))


def stages(path: Path) -> list[list[Step]]:
    """Each begins with its FROM; what stands before the first is the first list."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text("utf-8"), flags=re.MULTILINE)
    found: list[list[Step]] = [[]]
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            if word == "FROM":
                found.append([])
            found[-1].append(Step(word, rest.strip()))
    return found


def only(steps: list[Step], word: str) -> Step:
    (step,) = [step for step in steps if step.word == word]
    return step


def context(root: Path) -> list[Path]:
    """The files that a build gets: .dockerignore says with `!` what comes in, and with `**/` what never does."""
    lines = [line for line in (root / ".dockerignore").read_text("utf-8").splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    inside = [line[1:] for line in lines if line[0] == "!"]
    never = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    assert len(lines) == 1 + len(inside) + len(never), "a pattern that this reader does not know"
    tops = [root / name for name in inside]
    every = [path for top in tops for path in ([top] if top.is_file() else sorted(top.rglob("*")))]
    return [
        path
        for path in every
        if path.is_file() and not any(fnmatch(part, one) for part in path.relative_to(root).parts for one in never)
    ]
