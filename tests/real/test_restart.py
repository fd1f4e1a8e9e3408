"""kill -9 of a real llama-server under traffic: the large tier answers meanwhile, and the small one comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from tests.real.conftest import OPTIONS
from tests.real.house import TO_THE_LIMIT, WINDOW, House, hello, opened, until
from tests.real.llama import running

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
PATIENCE = 60.0  # seconds; the gateway asks a backend in trouble every five


class Traffic:
    """One client that asks again and again, by turns whole and streamed, and notes who answered."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._over = threading.Event()
        self.backends: list[str] = []
        self.broken: list[openai.APIError] = []

    def run(self) -> None:
        while not self._over.is_set():
            stream = len(self.backends) % 2 == 0
            raw = self._house.client.chat.completions.with_raw_response.create(
                model="auto", messages=hello(), max_tokens=16, stream=stream
            )
            self.backends.append(raw.headers["x-smallfirst-backend"])
            try:
                answer = raw.parse()
                if stream:
                    list(answer)
            except openai.APIError as error:  # a stream that broke off said so
                self.broken.append(error)

    def stop(self) -> None:
        self._over.set()

    def until_from(self, backend: str, times: int = 5) -> None:
        """So many answers in a row."""
        until(lambda: self.backends[-times:] == [backend] * times, PATIENCE)


@contextmanager
def traffic(house: House) -> Iterator[Traffic]:
    """An error that is no broken stream ends the thread, which pytest makes a failure."""
    asking = Traffic(house)
    thread = threading.Thread(target=asking.run)
    thread.start()
    try:
        yield asking
    finally:
        asking.stop()
        thread.join(PATIENCE)


def test_killed_and_started_again(model: Path, tmp_path: Path) -> None:
    """Nobody gets an error, but for a stream that had begun, and nobody has to do anything to the gateway."""
    with running(model, tmp_path, *OPTIONS) as llama, opened(tmp_path, llama) as house, traffic(house) as asking:
        asking.until_from("small")
        llama.kill()
        asking.until_from("large")
        assert house.gateway.get("/ready")[0] == 200
        llama.start()
        llama.wait()
        asking.until_from("small")
        assert len(asking.broken) <= 1
        assert '"bug"' not in house.gateway.log.read_text("utf-8")


def test_a_stream_that_had_begun_ends_in_an_error(model: Path, tmp_path: Path) -> None:
    """Never in silence; what comes next is answered by the large tier, without waiting for a probe."""
    with running(model, tmp_path, *OPTIONS) as llama, opened(tmp_path, llama) as house:
        stream = house.client.chat.completions.create(
            model="auto", messages=hello(), max_tokens=WINDOW, stream=True, extra_body=TO_THE_LIMIT
        )
        for _ in range(3):
            next(stream)
        llama.kill()
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)
        raw = house.client.chat.completions.with_raw_response.create(model="auto", messages=hello(), max_tokens=8)
        assert raw.headers["x-smallfirst-backend"] == "large"
        assert raw.headers["x-smallfirst-final-reason"] == "fallback:unavailable"
