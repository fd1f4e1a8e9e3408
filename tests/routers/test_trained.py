"""The packaged router: everyday sense, and what happens when its files are not what they should be."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

import router_models
from app.core.chat import ChatRequest
from app.errors import ConfigError
from app.ports import Router
from app.routers import load_router
from app.routers.trained import TrainedRouter
from router_models.data import read_everyday, text_of

ROUTER_MODELS = Path(router_models.__file__).parent
DEFAULT = ROUTER_MODELS / "default"
PAIRS = [json.loads(line) for line in (ROUTER_MODELS / "data" / "everyday_pairs.jsonl").read_text("utf-8").splitlines()]


def ask(text: str) -> ChatRequest:
    return ChatRequest("chat", {"messages": [{"role": "user", "content": text}]})


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A copy of the packaged artifact that a test may break."""
    return copytree(DEFAULT, tmp_path / "router")


def change_card(directory: Path, **fields: Any) -> None:
    card = json.loads((directory / "card.json").read_text("utf-8"))
    (directory / "card.json").write_text(json.dumps(card | fields), "utf-8")


def replace_model(directory: Path, data: bytes) -> None:
    (directory / "model.npz").write_bytes(data)
    change_card(directory, sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["hard"][:24])
def test_everyday_sense(pair: dict[str, str]) -> None:
    """A plainly hard request scores above a plainly easy one, in English and in Chinese."""
    router = load_router("default")
    easy, hard = router.score(ask(pair["easy"])), router.score(ask(pair["hard"]))
    assert easy is not None
    assert hard is not None
    assert hard.value > easy.value


@pytest.mark.parametrize("language", ["en", "zh"])
def test_everyday_sense_is_clear_on_the_whole(language: str) -> None:
    """Over all pairs of a language the hard requests stand far above the easy ones."""
    router = load_router("default")
    some = [pair for pair in PAIRS if pair["lang"] == language]
    gaps = [_value(router, pair["hard"]) - _value(router, pair["easy"]) for pair in some]
    assert sum(gaps) / len(gaps) > 0.3


def _value(router: Router, text: str) -> float:
    score = router.score(ask(text))
    assert score is not None
    return score.value


def test_the_pairs_are_half_chinese_and_never_trained_on() -> None:
    """Ten pairs in each language, none of their texts among the everyday requests that training reads."""
    assert [sum(pair["lang"] == lang for pair in PAIRS) for lang in ("en", "zh")] == [10, 10]
    trained = {text_of(row.body).strip() for row in read_everyday()}
    assert trained.isdisjoint(pair[side].strip() for pair in PAIRS for side in ("easy", "hard"))
    assert ("你好", "证明根号2是无理数") in [(pair["easy"], pair["hard"]) for pair in PAIRS]


def test_a_conversation_scores_by_its_last_message() -> None:
    """Thanks stay easy after a hard question, and a hard question stays hard after small talk."""
    router = load_router("default")
    talk = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi, how can I help?"}]
    proof = [{"role": "user", "content": "Prove that pi is irrational."}, {"role": "assistant", "content": "Take"}]
    thanks = ChatRequest("chat", {"messages": [*proof, {"role": "user", "content": "Thanks a lot!"}]})
    hard = ChatRequest("chat", {"messages": [*talk, *proof[:1]]})
    values = [score.value for score in map(router.score, (thanks, hard)) if score]
    assert values[0] < 0.3 < 0.5 < values[1]


def test_explanation_names_counters_and_no_words() -> None:
    """What goes to logs and headers holds the family sum of words, never a word."""
    names = {name for name, _ in load_router("default").explain(ask("Prove zanzibar"))}
    assert "words" in names
    assert "zanzibar" not in names


def test_thresholds_fall_with_the_share() -> None:
    """More share means a lower threshold, from taking nothing to taking everything."""
    thresholds = [load_router("default").threshold(share) for share in (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert (thresholds[0], thresholds[-1]) == (1.0, 0.0)


def test_the_artifact_is_small_and_versioned() -> None:
    """At most 2 MB in all; the version names its date and hash."""
    assert sum(path.stat().st_size for path in DEFAULT.iterdir()) <= 2_000_000
    card = json.loads((DEFAULT / "card.json").read_text("utf-8"))
    assert load_router("default").version == f"{card['date']}-{card['sha256'][:8]}"


def test_serving_does_not_import_the_training_libraries() -> None:
    """Loading, scoring and explaining need numpy alone."""
    code = """
import sys
from app.core.chat import ChatRequest
from app.routers import load_router
router = load_router("default")
request = ChatRequest("chat", {"messages": [{"role": "user", "content": "Why? 为什么"}]})
router.score(request), router.explain(request), router.threshold(0.05)
print([name for name in ("sklearn", "scipy", "matplotlib", "datasketch") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("name", ["card.json", "model.npz"])
def test_a_missing_file_is_named(artifact: Path, name: str) -> None:
    """The error says which file of which directory cannot be read."""
    (artifact / name).unlink()
    with pytest.raises(ConfigError, match=rf"{name} of the router in .*router"):
        TrainedRouter.load(artifact)


def test_a_changed_model_is_refused(artifact: Path) -> None:
    """One flipped byte is found by the sha256."""
    data = bytearray((artifact / "model.npz").read_bytes())
    data[1000] ^= 1
    (artifact / "model.npz").write_bytes(data)
    with pytest.raises(ConfigError, match="sha256"):
        TrainedRouter.load(artifact)


@pytest.mark.parametrize("key", ["format_version", "feature_version"])
def test_another_version_is_refused(artifact: Path, key: str) -> None:
    """An artifact for other features or of another format is never used; the error says what to do."""
    change_card(artifact, **{key: 99})
    with pytest.raises(ConfigError, match=rf"{key} 99.*train it again"):
        TrainedRouter.load(artifact)


@pytest.mark.parametrize("text", ["", "[1]", "{", '"x"'])
def test_a_card_that_is_no_object_is_refused(artifact: Path, text: str) -> None:
    """Broken JSON is a config error, not a traceback."""
    (artifact / "card.json").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="not"):
        TrainedRouter.load(artifact)


@pytest.mark.parametrize(
    "fields",
    [{"heads": None}, {"heads": ["gain"]}, {"heads": 3}, {"tasks": []}, {"tasks": ["one"]}, {"tasks": None}],
    ids=str,
)
def test_a_card_of_another_model_is_refused(artifact: Path, fields: dict[str, Any]) -> None:
    """The names of heads and tasks must be as many as the arrays have columns for."""
    change_card(artifact, **fields)
    with pytest.raises(ConfigError, match="not a trained router"):
        TrainedRouter.load(artifact)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def arrays_with(**changes: Any) -> bytes:
    """The packaged arrays, some of them changed; None takes one away."""
    with np.load(DEFAULT / "model.npz", allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files} | changes
    return npz(**{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"PK\x03\x04",
        (DEFAULT / "model.npz").read_bytes()[:-500],
        npz(bias=np.zeros(2)),
        arrays_with(bias=np.array([{}], dtype=object)),
        arrays_with(bias=np.zeros(2)),
        arrays_with(bias=np.array("text")),
        arrays_with(quantiles=None),
        arrays_with(forest_leaves=None),
        arrays_with(forest_starts=np.zeros(0, np.int64)),
        arrays_with(forest_counters=np.array(1)),
        arrays_with(surprise=np.zeros(2)),
        arrays_with(forest_surprise=np.zeros(2)),
    ],
    ids=[
        "empty",
        "no zip",
        "half a zip",
        "cut off",
        "one array",
        "pickled objects",
        "wrong shape",
        "text",
        "array missing",
        "trees without leaves",
        "no sets of trees",
        "no trees",
        "more arrays",
        "more of the trees",
    ],
)
def test_a_file_that_is_no_model_is_refused(artifact: Path, data: bytes) -> None:
    """Even with the right sha256, only the expected arrays of numbers are accepted."""
    replace_model(artifact, data)
    with pytest.raises(ConfigError, match="not a trained router"):
        TrainedRouter.load(artifact)


class Marked:
    """Leaves a trace if a pickle of it is ever loaded."""

    loaded = False

    def __reduce__(self) -> Any:
        return _mark, ()


def _mark() -> int:
    Marked.loaded = True
    return 1


def test_nothing_in_a_file_is_ever_run(artifact: Path) -> None:
    """An array of pickled objects is refused without being unpacked."""
    data = arrays_with(bias=np.array([Marked()], dtype=object))
    with np.load(io.BytesIO(data), allow_pickle=True) as arrays:
        assert arrays["bias"][0] == 1
    assert Marked.loaded
    Marked.loaded = False
    replace_model(artifact, data)
    with pytest.raises(ConfigError, match="not a trained router"):
        TrainedRouter.load(artifact)
    assert not Marked.loaded
