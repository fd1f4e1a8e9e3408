"""Our guess of a prompt's tokens against a real vocabulary, that of Qwen2, as the server has it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import app
from app.core.tokens import FAR, text_tokens
from tests.real.llama import Llama

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
REQUESTS = Path(app.__file__).parent.parent / "router_models/data/everyday.jsonl"  # ours, of every kind
SIZE = 10_000  # characters
LOWEST, HIGHEST = 2 / 3, 4 / 3  # of the real number: "an error of a third either way"
HAN = re.compile(r"[\u4e00-\u9fff]")


def requests(language: str) -> str:
    """What everyday people write to an assistant, one after the other."""
    lines = map(json.loads, REQUESTS.read_text("utf-8").splitlines())
    chosen = [line["request"]["messages"] for line in lines if line["lang"] == language]
    texts = [message["content"] for messages in chosen for message in messages]
    return "\n".join(text for text in texts if isinstance(text, str))


def chinese_only(text: str) -> str:
    return "".join(HAN.findall(text))


def python() -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(Path(app.__file__).parent.glob("core/*.py")))


TEXTS = {
    "chinese": requests("zh")[:SIZE],
    "chinese-only": chinese_only(requests("zh"))[:SIZE],
    "english": requests("en")[:SIZE],
    "code": python()[:SIZE],
    "mixed": "\n".join(map("".join, zip(*(requests(one).splitlines() for one in ("zh", "en")), strict=False)))[:SIZE],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_guess_is_within_its_bound(kind: str, llama: Llama) -> None:
    """Within a third of the truth.

    So a prompt that is cut to less than half of it is noticed, and one that is guessed to fit is at most half as long
    again as the window, which the server refuses and the large tier answers.
    """
    text = TEXTS[kind]
    assert len(text) == SIZE
    real, guess = llama.tokens(text), text_tokens(text)
    print(f"{kind}: {real} tokens, guessed {guess:.0f}, ratio {guess / real:.2f}")
    assert LOWEST <= guess / real <= HIGHEST
    assert real * FAR < guess  # a cut to half of it would show


def test_the_texts_differ() -> None:
    """They are what they are called."""
    share = {kind: len(HAN.findall(text)) / SIZE for kind, text in TEXTS.items()}
    assert share["chinese-only"] == 1
    assert 0.4 < share["chinese"] < 0.95
    assert max(share["english"], share["code"]) == 0
