"""The clock over one request, driven by hand: no time passes here."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest

from app.errors import DeadlineExceeded, UpstreamTimeout
from app.gateway.patience import Patience
from app.gateway.watch import LOOK, Watch


class Handle:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Asking:
    """A task of the fake loop: runs to its next wait when told."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.coroutine = coroutine

    def step(self) -> None:
        with contextlib.suppress(StopIteration):
            self.coroutine.send(None)

    def cancel(self) -> None:
        self.coroutine.close()


class FakeLoop:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.handles: list[Handle] = []
        self.tasks: list[Asking] = []
        self.eager = True  # tasks run to their first wait as soon as they are made

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        handle = Handle(when, callback)
        self.handles.append(handle)
        return handle

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> Asking:
        self.tasks.append(Asking(coroutine))
        if self.eager:
            self.tasks[-1].step()
        return self.tasks[-1]

    def armed(self) -> list[Handle]:
        return [handle for handle in self.handles if not handle.cancelled]

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [handle for handle in self.armed() if handle.when <= end]:
            first = min(due, key=lambda handle: handle.when)
            first.cancelled = True
            self.now = max(self.now, first.when)
            first.callback()
        self.now = end


class FakeTask:
    """Counts cancellations as asyncio.Task does."""

    def __init__(self) -> None:
        self.cancelling = 0

    def cancel(self) -> None:
        self.cancelling += 1

    def uncancel(self) -> int:
        self.cancelling -= 1
        return self.cancelling


class Streamed:
    """As much of a reply as the watch asks about."""

    def __init__(self, loop: FakeLoop) -> None:
        self.pieces = 1
        self.last = loop.now


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def task() -> FakeTask:
    return FakeTask()


@pytest.fixture
def watch(loop: FakeLoop, task: FakeTask) -> Watch:
    patience = Patience(LOOK)
    patience.loop = loop  # type: ignore[assignment]
    return Watch(patience, task)  # type: ignore[arg-type]


def always(seconds: float) -> Callable[[], Awaitable[float]]:
    async def ask() -> float:
        return seconds

    return ask


def test_first_token_in_time(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """A backend that answers within the limit is never cancelled."""
    watch.begin("a first token", 10, 600, deadline=False)
    loop.advance(9.9)
    watch.follow("the next token", 30, Streamed(loop))
    loop.advance(1000)
    assert task.cancelling == 0
    assert watch.verdict() is None


def test_first_token_too_late(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """At the limit the task is cancelled once, and the verdict says what did not come."""
    watch.begin("a first token", 10, 600, deadline=False)
    loop.advance(10)
    assert task.cancelling == 1
    error = watch.verdict()
    assert isinstance(error, UpstreamTimeout)
    assert "a first token" in error.message
    assert task.cancelling == 0
    assert watch.verdict() is None


def test_silence_between_tokens(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """Each wait of a stream has the whole limit for itself."""
    watch.begin("a first token", 10, 600, deadline=False)
    watch.follow("the next token", 5, Streamed(loop))
    for _ in range(10):
        watch.again()
        loop.advance(4.9)
        watch.rest()
    assert task.cancelling == 0
    watch.again()
    loop.advance(6)
    assert isinstance(watch.verdict(), UpstreamTimeout)


def test_total(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """A stream that never pauses still ends at the total limit."""
    watch.begin("a first token", 10, 60, deadline=False)
    watch.follow("the next token", 30, Streamed(loop))
    for _ in range(59):
        watch.again()
        loop.advance(1)
    assert task.cancelling == 0
    watch.again()
    loop.advance(1)
    assert isinstance(watch.verdict(), UpstreamTimeout)


def test_deadline_within_a_stream(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """The client's deadline holds to the moment, although the silence limit is much longer."""
    watch.begin("a first token", 60, 5, deadline=True)
    watch.follow("the next token", 30, Streamed(loop))
    watch.again()
    loop.advance(5)
    assert task.cancelling == 1
    assert isinstance(watch.verdict(), DeadlineExceeded)


def test_deadline_before_the_first_token(watch: Watch, loop: FakeLoop) -> None:
    """A deadline that is shorter than the first-token limit is the client's fault, not the backend's."""
    watch.begin("a first token", 60, 5, deadline=True)
    loop.advance(5)
    assert isinstance(watch.verdict(), DeadlineExceeded)


def test_backend_slower_than_allowed_within_a_deadline(watch: Watch, loop: FakeLoop) -> None:
    """With a deadline further away, the backend's own limit speaks first."""
    watch.begin("a first token", 5, 50, deadline=True)
    loop.advance(5)
    assert isinstance(watch.verdict(), UpstreamTimeout)


def test_slow_client_is_not_a_slow_backend(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """While the client takes its time no limit runs; the backend's next wait starts afresh."""
    watch.begin("a first token", 10, 600, deadline=False)
    watch.follow("the next token", 5, Streamed(loop))
    watch.rest()
    loop.advance(300)
    watch.again()
    loop.advance(4)
    assert task.cancelling == 0


def test_foreign_cancel(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """A cancellation by someone else is not ours, even if the limit passed at the same moment."""
    task.cancel()
    assert watch.verdict() is None
    assert task.cancelling == 1
    watch.begin("a first token", 1, 60, deadline=False)
    loop.advance(1)
    assert task.cancelling == 2
    assert watch.verdict() is None
    assert task.cancelling == 1


def test_loading_grants_more_once(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """A model that loads gets the load allowance once, and then the limit holds."""
    watch.begin("a first token", 10, 600, deadline=False, ask=always(100))
    loop.advance(109)
    assert task.cancelling == 0
    loop.advance(2)
    assert isinstance(watch.verdict(), UpstreamTimeout)
    assert len(loop.tasks) == 1


def test_not_loading(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """A backend that does not load gets no more time."""
    watch.begin("a first token", 10, 600, deadline=False, ask=always(0))
    loop.advance(10)
    assert isinstance(watch.verdict(), UpstreamTimeout)


def test_allowance_ends_at_the_deadline(watch: Watch, loop: FakeLoop) -> None:
    """Loading does not extend what the client gave."""
    watch.begin("a first token", 10, 50, deadline=True, ask=always(1000))
    loop.advance(50)
    assert isinstance(watch.verdict(), DeadlineExceeded)


class Pause:
    """Gives control back once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Doubt:
    """An ask that waits until it is told."""

    def __init__(self) -> None:
        self.answer: float | None = None

    async def __call__(self) -> float:
        while self.answer is None:
            await Pause()
        return self.answer


def test_answer_that_never_comes(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """If nobody can say whether the model loads, the end of the request still holds, and cancels once."""
    doubt = Doubt()
    watch.begin("a first token", 10, 50, deadline=False, ask=doubt)
    loop.advance(49)
    assert task.cancelling == 0
    loop.advance(1)
    assert task.cancelling == 1
    doubt.answer = 0.0
    loop.tasks[0].step()
    assert task.cancelling == 1


def test_token_while_asking(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """A token that came while we asked makes the answer moot."""
    doubt = Doubt()
    watch.begin("a first token", 10, 600, deadline=False, ask=doubt)
    loop.advance(10)
    watch.follow("the next token", 30, Streamed(loop))
    doubt.answer = 0.0
    loop.tasks[0].step()
    assert task.cancelling == 0


def test_failure_while_about_to_ask(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """A backend that fails in the moment of its limit leaves nothing that could hit what comes next."""
    loop.eager = False
    watch.begin("a first token", 10, 600, deadline=False, ask=always(0))
    loop.advance(10)
    watch.rest()  # it failed; the request waits in the queue of another backend
    loop.tasks[0].step()
    assert task.cancelling == 0


def test_stop(watch: Watch, loop: FakeLoop, task: FakeTask) -> None:
    """After the end nothing is armed, once the next look has passed, and nothing asks."""
    watch.begin("a first token", 10, 600, deadline=False, ask=Doubt())
    loop.advance(10)
    watch.stop()
    loop.advance(LOOK)
    assert not loop.armed()
    loop.advance(1000)
    assert task.cancelling == 0


def test_timer_is_lazy(watch: Watch, loop: FakeLoop) -> None:
    """Thousands of quick tokens do not touch the timer: it is for a look now and then."""
    watch.begin("a first token", 10, 600, deadline=False)
    watch.follow("the next token", 30, Streamed(loop))
    before = len(loop.handles)
    for _ in range(1000):
        watch.again()
        loop.advance(0.001)
        watch.rest()
    assert len(loop.handles) <= before + 1 / LOOK
