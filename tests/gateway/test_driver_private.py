"""What is private by a rule is private from the moment the rule was read, whatever becomes of the request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.rules import Rule
from app.core.types import Facts
from app.errors import ContextTooLong, GatewayError, InvalidRequest, UnknownModel
from app.gateway.books import Books
from tests.fakes import FakeBackend, Rig, a_caller, a_request, two_tiers
from tests.gateway.asking import answer, ask

SECRET = "the plan is codename heron"
RULES = (Rule("private", patterns=(lambda text: "heron" in text,), local_only=True),)
KEEPING = Books(keep_text=True, keep_vector=True)


def private(**options: object) -> Rig:
    return two_tiers(rules=RULES, books=KEEPING, **options)


def said(text: str = SECRET, **fields: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], **fields}


async def test_only_what_is_free_is_kept() -> None:
    """Of what was answered, words and features of a request that no rule keeps local."""
    rig = private()
    await answer(rig, **said("hello"))
    await answer(rig, **said())
    free, kept_local = rig.records
    assert "hello" in (free.text or "")
    assert free.vector
    assert (free.local_only, kept_local.local_only) == (False, True)
    assert (kept_local.text, kept_local.vector) == (None, None)


async def test_a_second_yes_keeps_what_is_local() -> None:
    """One for words, one for features."""
    for words, features in ((True, False), (False, True)):
        books = replace(KEEPING, keep_local_text=words, keep_local_vector=features)
        rig = two_tiers(rules=RULES, books=books)
        await answer(rig, **said())
        assert (rig.record.text is not None, rig.record.vector is not None) == (words, features)


REFUSED = [
    ({"model": "large-model"}, InvalidRequest),  # it is remote
    ({"model": "gpt-9"}, UnknownModel),  # refused before any rule is read
    ({}, ContextTooLong),
]


@pytest.mark.parametrize(("fields", "error"), REFUSED)
def test_a_refused_request_leaves_no_words(fields: dict[str, object], error: type[GatewayError]) -> None:
    """Neither those of a private one nor any, as nobody may have read the rules yet."""
    rig = private(unknown_models="reject")
    rig.backends[0].facts = Facts("ready", context_window=5)
    request = a_request(**said(**fields))
    with pytest.raises(error):
        rig.gateway.begin(request, a_caller())
    assert (rig.record.text, rig.record.vector) == (None, None)
    assert rig.record.local_only == (error is not UnknownModel)


def test_refused_embeddings_leave_no_words() -> None:
    """They are ruled as well."""
    rig = private(embeddings=FakeBackend("embedder", zone="remote"))
    with pytest.raises(InvalidRequest):
        rig.gateway.begin(a_request("embedding", input=SECRET), a_caller())
    assert (rig.record.local_only, rig.record.text) == (True, None)


async def test_what_was_refused_was_said_in_its_session() -> None:
    """The next turn has it in its history, even if it shows nothing of it."""
    rig = private()
    with pytest.raises(InvalidRequest):
        await ask(rig, {"session": "s"}, **said(model="large-model"))
    with pytest.raises(InvalidRequest) as told:
        await ask(rig, {"session": "s"}, **said("and now?", model="large-model"))
    assert told.value.code == "local_only_conflict"
    await answer(rig, {"session": "other"}, **said("and now?", model="large-model"))
    assert len(rig.backends[1].sent) == 1


def test_a_question_about_a_decision_is_remembered_by_nobody() -> None:
    """`/v1/route` only asks."""
    rig = private()
    assert rig.gateway.decide(a_request(**said()), a_caller(session="s")).local_only
    assert not rig.gateway.decide(a_request(**said("and now?")), a_caller(session="s")).local_only
