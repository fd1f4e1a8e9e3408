"""Every command of the documents is run, word for word and in the order of its page, or listed with the reason why not.

A page is typed into one shell, in a folder that looks like a checkout, as a reader would who starts at its top.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import needs
from tests.docs.commands import ROOT, SHELL, Block, Command, blocks, commands, pages
from tests.docs.listed import ELSEWHERE, LISTED, PROSE
from tests.docs.sandbox import Sandbox, put_in_the_large_model, sandbox
from tests.test_docs import PAGES

# Programs whose commands are run: without the Internet, within the folder and in seconds.
PROGRAMS = {"cd", "curl", "export", "for", "make help", "promtool", "smallfirst", "sqlite3", "umask", "."}
DEBIAN = {"curl": "curl", "openssl": "openssl", "promtool": "prometheus", "sqlite3": "sqlite3"}  # and their packages

# What is done before a command, since the text around it says so.
BEFORE: dict[tuple[str, str], Callable[[Sandbox], None]] = {
    ("README.md", "export HF_TOKEN=hf_..."): put_in_the_large_model,
    ("deploy/README.md", ". ./.env"): Sandbox.compose,
}
# What a page begins with: the README gives one the program and a config, others take them for granted.
INSTALLS, WRITES_A_CONFIG = ("README.md",), ("README.md", "deploy/README.md")

ADVICE = """{where}
is neither run nor listed. Say what is to become of it:
- If it runs in seconds, without the Internet and within its folder: add its first word to PROGRAMS in
  tests/docs/test_commands.py. Files that it needs go to `_furnish` in tests/docs/sandbox.py; what the text says to do
  by hand before it goes to BEFORE.
- Else add the command, as it stands, to LISTED in tests/docs/listed.py, with the reason and another check of it."""

MEND = """- If a reader would fail like that: mend the page or the command.
- If the folder lacks what the text takes for granted: add it to `_furnish` in tests/docs/sandbox.py.
- If the text says to do something by hand before: add that to BEFORE in tests/docs/test_commands.py.
- If the command cannot be run here: add it, as it stands, to LISTED in tests/docs/listed.py."""


def every(page: str | None = None) -> list[Command]:
    return [one for name in ([page] if page else pages()) for one in commands(name)]


def is_run(command: Command) -> bool:
    if command.language == "python":
        return (command.page, "python") not in ELSEWHERE
    return command.text not in LISTED and bool(
        command.text.split()[0] in PROGRAMS
        or " ".join(command.text.split()[:2]) in PROGRAMS
        or re.match(r"[A-Z_]+=\S*$", command.text)
    )


@pytest.mark.parametrize("command", [one for one in every() if one.language != "python"], ids=lambda one: one.where)
def test_each_is_run_or_listed(command: Command) -> None:
    """A new one has to be thought about."""
    if not is_run(command) and command.text not in LISTED:
        pytest.fail(ADVICE.format(where=command.where), pytrace=False)


@pytest.mark.parametrize("text", LISTED, ids=lambda text: text.splitlines()[0])
def test_each_that_is_listed(text: str) -> None:
    """It still stands in a document, and what can be checked of it without running it is right."""
    assert text in {one.text for one in every()}, f"No document says this any more: take it out of LISTED.\n{text}"
    assert LISTED[text].why
    LISTED[text].check(text)


def test_no_other_exception_is_left_over() -> None:
    """Each program, each step by hand and each page of the tables above is one of the documents."""
    texts = {(one.page, one.text) for one in every()}
    assert BEFORE.keys() <= texts
    used = {" ".join(text.split()[:count]) for _, text in texts for count in (1, 2)}
    assert used >= PROGRAMS
    assert {*INSTALLS, *WRITES_A_CONFIG} <= set(pages())


@pytest.mark.parametrize(
    "block", [one for page in pages() for one in blocks(page)], ids=lambda one: f"{one.page}:{one.line}"
)
def test_each_block_is_of_a_kind_that_is_checked(block: Block) -> None:
    """Shell and Python are run; tests/test_docs.py loads all YAML; the others have a test that reads them."""
    page, language = block.page, block.language
    if language == "yaml" and ROOT / page in PAGES:
        return
    if language in (*SHELL, "python", "http", PROSE) and (page, language) not in ELSEWHERE:
        return
    assert (page, language) in ELSEWHERE, (
        f"{page}:{block.line}: nothing checks blocks of `{language}` here; write a test of the page, and name it in "
        "ELSEWHERE of tests/docs/listed.py"
    )
    text = (ROOT / ELSEWHERE[page, language]).read_text("utf-8")
    assert "block" in text
    assert Path(page).name in text


def test_no_test_is_named_for_nothing() -> None:
    assert ELSEWHERE.keys() <= {(block.page, block.language) for page in pages() for block in blocks(page)}


@pytest.mark.parametrize("page", [page for page in pages() if any(map(is_run, commands(page)))])
def test_a_page_word_for_word(page: str, tmp_path: Path) -> None:
    """From its top to its end, in one shell; what it shows of an answer is in the answer."""
    for name in {name for name in DEBIAN if any(re.search(rf"\b{name} ", one.text) for one in commands(page))}:
        needs.program(Path(shutil.which(name) or f"/usr/bin/{name}"), f"apt-get install {DEBIAN[name]}")
    with sandbox(tmp_path, installed=page not in INSTALLS, configured=page not in WRITES_A_CONFIG) as made:
        for command in commands(page):
            if (page, command.text) in BEFORE:
                BEFORE[page, command.text](made)
            if is_run(command):
                code, said = made.run(command)
                if code:
                    pytest.fail(f"{command.where}\nended with exit code {code}:\n{said}\n{MEND}", pytrace=False)
                missing = not_in(command.shown, said)
                assert missing == [], f"{command.where}\nthe page shows what its answer does not have; it is:\n{said}"
            elif command.text in LISTED:
                instead = LISTED[command.text].instead
                if instead:
                    instead(tmp_path)


def not_in(shown: str, said: str) -> list[str]:
    """Lines of `shown` that `said` does not have; `...` stands for what is left out."""
    there = {line.strip() for line in said.splitlines()}
    return [line for line in shown.splitlines() if line != "..." and line not in there]
