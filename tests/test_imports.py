"""The import table of the rooms, read from the syntax trees: who may know whom, and which library lives where."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EVERYTHING = frozenset(
    {"errors", "core", "ports", "settings", "routers", "backends", "stores", "telemetry", "gateway", "api", "main"}
)


@dataclass(frozen=True)
class Room:
    """`app`: other rooms it may import from. `outside`: libraries that are not Python's own."""

    app: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()


def room(app: str = "", outside: str = "") -> Room:
    return Room(frozenset(app.split()), frozenset(outside.split()))


TABLE = {
    "errors": room(),
    "core": room("errors", "numpy"),
    "ports": room("core errors"),
    "settings": room("core errors", "pydantic pydantic_core pydantic_settings yaml"),
    "routers": room("ports core errors", "numpy"),
    # uvicorn serves the shipped fake
    "backends": room("ports core errors", "aiohappyeyeballs httptools httpx orjson uvicorn"),
    "telemetry": room("ports core errors", "prometheus_client orjson"),
    "stores": room("ports core errors"),
    "gateway": room("ports core errors"),
    "api": room("gateway core errors", "fastapi starlette orjson"),
    "main": Room(EVERYTHING, frozenset({"uvicorn", "httptools", "uvloop"})),
    "__main__": Room(EVERYTHING),  # the serving process: starts `main` and nothing else
    "cli": Room(
        EVERYTHING | {"cli", "router_models"}, frozenset({"typer", "rich", "uvicorn", "orjson", "httpx", "yaml"})
    ),
    "router_models": room("routers core errors", "numpy sklearn scipy matplotlib datasketch threadpoolctl yaml"),
}
ONE_FILE_A_ROOM = frozenset({"sqlite3", "aiohappyeyeballs", "httptools", "httpx"})
ONE_FILE_A_ROOM |= {"prometheus_client", "yaml", "uvicorn"}
# Libraries of a program of its own, which the serving process runs and never imports.
ONLY_IN = {"huggingface_hub": "app/backends/llama/fetch.py"}
# The files of core that compute with numpy.
SCORING = frozenset({"app/core/features.py", "app/core/blend.py", "app/core/forest.py"})
CORE_STDLIB = frozenset(
    {"__future__", "array", "bisect", "collections", "dataclasses", "enum", "functools", "itertools", "math"}
)
CORE_STDLIB |= {"hashlib", "operator", "re", "types", "typing", "zlib"}
IMPURE = frozenset({"open", "print", "input", "exec", "eval", "__import__"})


@dataclass(frozen=True)
class File:
    path: str
    tree: ast.Module

    @property
    def room(self) -> str:
        parts = self.path.removesuffix(".py").split("/")
        return parts[1] if parts[0] == "app" else parts[0]

    def imports(self) -> Iterator[str]:
        """Dotted names, as far down as the statement says: `from app.core import sse` is app.core.sse."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def files() -> list[File]:
    paths = [path for package in ("app", "router_models") for path in sorted((ROOT / package).rglob("*.py"))]
    parsed = [File(str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))) for path in paths]
    return [file for file in parsed if file.tree.body and file.path != "app/__init__.py"]


def broken_rules(file: File) -> list[str]:
    """One sentence for each import that the table does not allow."""
    allowed, found = TABLE[file.room], []
    for name in file.imports():
        head, _, rest = name.partition(".")
        target = rest.partition(".")[0] if head == "app" else head
        if name.startswith("."):
            found.append(f"{file.path}: relative import {name}")
        elif head in ("app", "router_models"):
            if target not in (file.room, "__version__") and target not in allowed.app:
                found.append(f"{file.path}: {name} is not for the room {file.room}")
        elif head in ONLY_IN:
            if file.path != ONLY_IN[head]:
                found.append(f"{file.path}: {name} is for {ONLY_IN[head]} alone")
        elif head not in sys.stdlib_module_names and head not in allowed.outside:
            found.append(f"{file.path}: {name} is not for the room {file.room}")
    return found


def impurities(file: File) -> list[str]:
    """What a file of the core must not have: suspension, effects, and modules that bring them."""
    found = [f"{file.path}: {name}" for name in file.imports() if not _is_pure(name, file.path)]
    for node in ast.walk(file.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            found.append(f"{file.path}:{node.lineno} suspends")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE:
            found.append(f"{file.path}:{node.lineno} {node.func.id}()")
    return found


def _is_pure(name: str, path: str) -> bool:
    head = name.partition(".")[0]
    return head == "app" or head in CORE_STDLIB or (head == "numpy" and path in SCORING)


@pytest.mark.parametrize("file", files(), ids=lambda file: file.path)
def test_the_table(file: File) -> None:
    """Each file imports only what its room may import."""
    assert broken_rules(file) == []


@pytest.mark.parametrize("file", [file for file in files() if file.room == "core"], ids=lambda file: file.path)
def test_the_core_is_pure(file: File) -> None:
    """No await, clock, randomness, environment, network, files or logging; numpy for scoring only."""
    assert impurities(file) == []


def test_heavy_libraries_have_one_file_a_room() -> None:
    """Changing such a library means changing one file."""
    users = defaultdict(set)
    for file in files():
        if file.room == "cli":  # each command is a program of its own: one file a command
            continue
        for head in {name.partition(".")[0] for name in file.imports()} & ONE_FILE_A_ROOM:
            users[file.room, head].add(file.path)
    assert {key: paths for key, paths in users.items() if len(paths) > 1} == {}


def test_programs_of_their_own_are_imported_by_nobody() -> None:
    """What they need would be in the serving process otherwise."""
    programs = {path.removesuffix(".py").replace("/", ".") for path in ONLY_IN.values()}
    assert [file.path for file in files() for name in file.imports() if name in programs] == []


BAD = [
    ("app/backends/llama/machine.py", "import huggingface_hub"),
    ("app/core/x.py", "import httpx"),
    ("app/core/x.py", "from app.backends import http_client"),
    ("app/core/x.py", "def f():\n    from app import ports"),
    ("app/gateway/x.py", "from app.telemetry.metrics import Metrics"),
    ("app/gateway/x.py", "import numpy as np"),
    ("app/api/x.py", "from app.backends.http_client import HttpClient"),
    ("app/main/x.py", "import router_models.train"),
    ("app/routers/x.py", "from sklearn.linear_model import LogisticRegression"),
    ("app/settings/x.py", "from . import shape"),
    ("router_models/x.py", "from app.settings import Source"),
]


@pytest.mark.parametrize(("path", "source"), BAD)
def test_the_test_of_the_table_sees(path: str, source: str) -> None:
    """Imports that break the table are found, wherever in the file they stand."""
    assert broken_rules(File(path, ast.parse(source)))


IMPURITIES = [
    "import time",
    "from datetime import datetime",
    "import random",
    "import os",
    "from os import environ",
    "import socket",
    "import logging",
    "import asyncio",
    "import numpy",
    "async def f(): ...",
    "open('x')",
]


@pytest.mark.parametrize("source", IMPURITIES)
def test_the_test_of_purity_sees(source: str) -> None:
    """Each way out of the pure core is found."""
    assert impurities(File("app/core/x.py", ast.parse(source)))
