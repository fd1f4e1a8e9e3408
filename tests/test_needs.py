"""Missing things are told, and never overlooked in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import needs


def test_what_is_there_is_given(tmp_path: Path) -> None:
    """Nothing is asked of those who have it."""
    assert needs.program(tmp_path, "make it", {"CI": "true"}) == tmp_path


def test_a_laptop_skips_and_names_the_cure(tmp_path: Path) -> None:
    """The reason tells what to type."""
    with pytest.raises(pytest.skip.Exception, match="to run this: make it") as skipped:
        needs.program(tmp_path / "absent", "make it", {})
    assert needs.cures([str(skipped.value), str(skipped.value), "another reason"]) == ["make it"]


def test_ci_fails(tmp_path: Path) -> None:
    """A test that silently stops running is worse than a red one."""
    with pytest.raises(pytest.fail.Exception, match="to run this: make it"):
        needs.program(tmp_path / "absent", "make it", {"CI": "true"})
