from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.backends.llama import journal
from app.backends.llama.launch import Cannot


def test_it_is_made_for_its_owner_and_goes_on(tmp_path: Path) -> None:
    """Folders too; what an earlier run left stays."""
    path = tmp_path / "deep" / "server.log"
    for word in (b"one\n", b"two\n"):
        descriptor = journal.opened(path)
        os.write(descriptor, word)
        os.close(descriptor)
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The file and the cure are named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Cannot, match=r"server\.log, cannot be written .*: set XDG_STATE_HOME"):
        journal.opened(tmp_path / "file" / "server.log")


def test_it_is_cut_while_it_is_written(tmp_path: Path) -> None:
    """The newest half stays, in whole lines, and the writer goes on behind it."""
    path = tmp_path / "server.log"
    writer = journal.opened(path)
    os.write(writer, b"".join(b"line %04d\n" % number for number in range(1000)))
    journal.cut(path, limit=1000)
    os.write(writer, b"the end\n")
    os.close(writer)
    lines = path.read_bytes().splitlines()
    assert lines[0] == b"line 0951"
    assert lines[-2:] == [b"line 0999", b"the end"]


def test_a_short_one_is_left_alone(tmp_path: Path) -> None:
    """And one that is gone is no error."""
    path = tmp_path / "server.log"
    path.write_bytes(b"0123456789\n")
    journal.cut(path, limit=11)
    assert path.read_bytes() == b"0123456789\n"
    journal.cut(tmp_path / "none.log")
