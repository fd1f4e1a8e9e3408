"""The demo's requests: written by hand, no two alike, fifteen kinds, half of them Chinese.

Those that are too long for the small model are put together here, since nobody wants to read them in a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

_LINES = 420  # of a log: more than the small model can read


@dataclass(frozen=True, slots=True)
class Request:
    """One chat request: `body` as it is sent, `headers` beside the usual ones, `kind` for the table."""

    kind: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def text(self) -> str:
        """What the user said last."""
        said = [message["content"] for message in self.body["messages"] if message["role"] == "user"][-1]
        return said if isinstance(said, str) else " ".join(part.get("text", "") for part in said)


def load() -> tuple[Request, ...]:
    """In the order of the file: kind after kind."""
    lines = files("app.cli.demo").joinpath("requests.jsonl").read_text("utf-8").splitlines()
    return (*(Request(**json.loads(line)) for line in lines), *_over_long())


def _over_long() -> Iterator[Request]:
    questions = (
        "Which of these deliveries were late, and is there a pattern?",
        "Summarise the night shift from this log in five lines for the morning meeting.",
        "下面是仓库的出入库记录，哪些货物的库存变化不正常？",
        "请根据这份门禁记录，写一段三句话的安全小结。",
    )
    for number, question in enumerate(questions):
        log = "\n".join(_line(number, line) for line in range(_LINES))
        message = {"role": "user", "content": f"{question}\n\n{log}"}
        yield Request("over-long", {"model": "auto", "messages": [message], "stream": number % 2 == 0})


def _line(log: int, line: int) -> str:
    minute, place = (line * 7 + log * 13) % 1440, (line * line + log) % 37
    said = (
        f"dock {place} parcel {line * 91 + log} weight {place * 3 + 2} kg",
        f"第{place}号门 编号{line * 57 + log} 数量{place + 5}",
    )
    return f"{minute // 60:02d}:{minute % 60:02d} {said[log // 2]}"
