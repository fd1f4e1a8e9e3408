"""The test tree mirrors the source tree: for app/room/thing.py there is tests/room/test_thing.py.

For router_models/thing.py it is tests/router_models/test_thing.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXCEPTIONS: dict[str, str] = {
    "app/ports.py": "protocols only; what implements them is tested against them, and mypy checks the rest",
    "app/__main__.py": "a process of its own: tests/e2e starts it for every test there",
    "app/main/run.py": "the same process; its draining is in tests/e2e/test_drain.py",
    "app/core/cues.py": "word lists only; tests/core/test_features.py shows what they do",
    "app/core/asked.py": "the features' reading of the body; tested with them in tests/core/test_features.py",
}


def has_code(path: Path) -> bool:
    """More than a docstring, imports, the list of exported names and the version."""
    statements = ast.parse(path.read_text("utf-8")).body
    passive = (ast.Import, ast.ImportFrom, ast.Expr)
    return any(not isinstance(one, passive) and not _exports(one) for one in statements)


def _exports(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) in ("__all__", "__version__")


PACKAGES = (ROOT / "app", ROOT / "router_models")
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py") if has_code(path))


def mirror(source: Path) -> Path:
    """A package's own code is tested under the package's name."""
    inside = source.relative_to(ROOT / "app" if source.is_relative_to(ROOT / "app") else ROOT)
    name = inside.parent.name if inside.name == "__init__.py" else inside.stem
    return ROOT / "tests" / inside.parent / f"test_{name}.py"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_source_has_its_tests(source: Path) -> None:
    """Every file with code has a test file of its own, or a reason to have none."""
    assert mirror(source).exists() or str(source.relative_to(ROOT)) in EXCEPTIONS


def test_exceptions_are_needed() -> None:
    """An exception whose file is gone or has its tests now is taken off the list."""
    assert [name for name in EXCEPTIONS if not (ROOT / name).exists() or mirror(ROOT / name).exists()] == []
