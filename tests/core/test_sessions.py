"""Once local, always local: as long as the session is remembered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.sessions import LocalSessions


def test_a_marked_session_stays_local() -> None:
    """However often it is marked or asked about."""
    sessions = LocalSessions()
    assert not sessions.is_local("app", "s1")
    sessions.mark("app", "s1")
    sessions.mark("app", "s1")
    assert [sessions.is_local("app", "s1") for _ in range(3)] == [True] * 3
    assert not sessions.is_local("app", "s2")
    assert len(sessions) == 1


def test_each_client_has_its_own() -> None:
    """The same name of another client, or of none, is another session."""
    sessions = LocalSessions()
    sessions.mark("app", "s1")
    sessions.mark(None, "s2")
    assert not sessions.is_local("other", "s1")
    assert not sessions.is_local(None, "s1")
    assert sessions.is_local(None, "s2")


def test_without_a_session_nothing_sticks() -> None:
    """A local-only request that belongs to no session marks nothing."""
    sessions = LocalSessions()
    sessions.mark("app", None)
    assert not sessions.is_local("app", None)
    assert len(sessions) == 0


def test_the_longest_unused_is_forgotten() -> None:
    """Being asked about counts as use."""
    sessions = LocalSessions(limit=2)
    sessions.mark(None, "a")
    sessions.mark(None, "b")
    assert sessions.is_local(None, "a")
    sessions.mark(None, "c")
    assert [sessions.is_local(None, name) for name in "abc"] == [True, False, True]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9))), st.integers(1, 5))
def test_it_remembers_the_last_used(steps: list[tuple[bool, int]], limit: int) -> None:
    """As a plain list in the order of use would; never more than the limit."""
    sessions, used = LocalSessions(limit), list[str]()
    for marks, number in steps:
        name = str(number)
        if marks:
            sessions.mark(None, name)
        else:
            assert sessions.is_local(None, name) == (name in used)
        if marks or name in used:
            used = [*(one for one in used if one != name), name][-limit:]
        assert len(sessions) == len(used)
