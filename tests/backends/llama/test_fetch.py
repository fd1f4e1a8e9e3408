"""The real huggingface_hub against a hub of our own, in processes of their own as in production."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.backends.llama.fake_hub import FakeHub, fake_hub

CONTENT = bytes(range(256)) * 4000


def fetch(hub: FakeHub, home: Path, file: str = "c.gguf", repo: str = "owner/repo", **environ: str) -> list[Any]:
    """What it says, line by line."""
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environ = {**quiet, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", **environ}
    environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    words = [sys.executable, "-m", "app.backends.llama.fetch", repo, file]
    done = subprocess.run(words, env=environ, capture_output=True, check=False, timeout=100)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == (1 if "cannot" in said[-1] else 0), done.stderr
    assert done.stderr == b""  # progress is for terminals
    return said


def test_it_comes_from_the_mirror_into_the_cache(tmp_path: Path) -> None:
    """Its name and size are said first; the second time nobody is asked, so that it works offline."""
    with fake_hub(c=CONTENT) as hub:
        announced, result = fetch(hub, tmp_path, HF_TOKEN="hf_a")
        assert (announced["name"], announced["bytes"]) == ("c.gguf", len(CONTENT))
        path = Path(result["path"])
        assert path.read_bytes() == CONTENT
        assert path.is_relative_to(tmp_path / "hub" / "models--owner--repo" / "snapshots")
        assert hub.keys == {"Bearer hf_a"}
        asked = len(hub.ranges)
        assert fetch(hub, tmp_path, HF_HUB_OFFLINE="1") == [result]
        assert fetch(hub, tmp_path) == [result]
        assert len(hub.ranges) == asked
        assert not list(tmp_path.rglob("*.smallfirst-part"))


def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    """On stderr, beside the lines that a program reads."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with fake_hub(c=CONTENT) as hub, open(ours, "rb", buffering=0) as terminal:
        environ = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
        words = [sys.executable, "-m", "app.backends.llama.fetch", "owner/repo", "c.gguf"]
        assert subprocess.run(words, env=environ, stdout=subprocess.DEVNULL, stderr=theirs, check=False).returncode == 0
        os.close(theirs)
        seen = terminal.read(65_536)
    assert b"c.gguf" in seen
    assert b"100%" in seen


def test_a_cut_is_mended(tmp_path: Path) -> None:
    """Within one process by the library: from the last piece of 10 MB that came whole."""
    content = CONTENT * 24
    with fake_hub(c=content) as hub:
        hub.cut = 1
        result = fetch(hub, tmp_path)[-1]
        assert Path(result["path"]).read_bytes() == content
        assert hub.ranges == [0, constants.DOWNLOAD_CHUNK_SIZE]
        assert hub.ranges[1] < len(content) // 2


def test_what_an_ended_process_left_is_not_fetched_again(tmp_path: Path) -> None:
    """The next one asks for the rest only."""
    with fake_hub(c=CONTENT) as hub:
        part = Path(fetch(hub, tmp_path)[0]["part"])
        (whole,) = (path for path in part.parent.iterdir() if path.is_file() and path.stat().st_size == len(CONTENT))
        part.write_bytes(whole.read_bytes()[:1000])
        whole.unlink()
        hub.ranges.clear()
        result = fetch(hub, tmp_path)[-1]
        assert hub.ranges == [1000]
        assert Path(result["path"]).read_bytes() == CONTENT


def test_all_parts_of_a_split_model(tmp_path: Path) -> None:
    """The first is what the server is given; the others lie beside it."""
    names = ["c-00001-of-00002", "c-00002-of-00002"]
    with fake_hub(**dict.fromkeys(names, b"part")) as hub:
        hub.files[f"{names[1]}.gguf"] = b"the other"
        result = Path(fetch(hub, tmp_path, f"{names[0]}.gguf")[-1]["path"])
        assert result.name == f"{names[0]}.gguf"
        assert (result.parent / f"{names[1]}.gguf").read_bytes() == b"the other"


def test_what_is_not_what_was_announced_is_thrown_away(tmp_path: Path) -> None:
    """A model that was changed on its way is never started."""
    with fake_hub(c=CONTENT) as hub:
        hub.lie = True
        assert "SHA-256" in fetch(hub, tmp_path)[-1]["cannot"]
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size >= len(CONTENT)]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"file": "d.gguf"}, "there is no such file in owner/repo at {url}"),
        ({"repo": "a/b"}, "there is no repository a/b at {url}, or HF_TOKEN may not read it"),
        ({"HF_HUB_OFFLINE": "1"}, "it is not in the cache, and HF_HUB_OFFLINE forbids to ask for it"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached (ConnectError)"),
    ],
)
def test_each_failure_is_one_sentence(tmp_path: Path, asked: dict[str, str], sentence: str) -> None:
    """With the cure where there is one."""
    with fake_hub(c=CONTENT) as hub:
        [said] = fetch(hub, tmp_path, **asked)
        assert sentence.format(url=hub.url) in said["cannot"]
        assert "\n" not in said["cannot"]


def test_terms_that_have_to_be_accepted(tmp_path: Path) -> None:
    """They are named, and the variable of the token."""
    with fake_hub(c=CONTENT) as hub:
        hub.gated = True
        [said] = fetch(hub, tmp_path)
        assert said["cannot"].endswith(f"owner/repo wants its terms accepted at {hub.url}, and your token in HF_TOKEN")
