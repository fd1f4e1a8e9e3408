"""What a fake is told to be, what can go wrong with it, and what it has seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

Kind = Literal["ollama", "vllm", "llama-cpp", "tgi", "transformers", "openai"]


@dataclass(frozen=True, slots=True)
class Model:
    """Times are seconds; `slots` run at once and the rest waits without bound, as Ollama does it.

    `loaded`: whether the model is in memory at the start; `keep_alive`: how long Ollama keeps it there unused.
    `sentences`: an answer in words has at most so many. `tool_parser`: whether vLLM has the flags that `tool_choice:
    auto` needs.
    """

    imitates: Kind = "openai"
    name: str = "scripted"
    slots: int = 1
    context_window: int = 4096
    thinks: bool = False
    tools: bool = True
    vision: bool = False
    first_token: float = 0.0
    per_token: float = 0.0
    load: float = 0.0
    loaded: bool = True
    keep_alive: float = 300.0
    sentences: int = 1
    tool_parser: bool = True


class Fault(Enum):
    """Each is one way in which a real backend has failed somebody."""

    REFUSE_401 = "401 that repeats the key"
    REFUSE_403 = "403"
    MODEL_404 = "404 for the model"
    REJECT_400 = "400 about the request"
    UNPROCESSABLE_422 = "422 about the request"
    BUSY_429 = "429 with Retry-After"
    LIMIT_429 = "429 without"
    ERROR_500 = "500"
    HTML_502 = "502 with a page"
    BUSY_503 = "503"
    LOADING_503 = "503 while the model loads"
    REDIRECT_307 = "a redirect to another host"
    EMPTY_200 = "200 and an empty body"
    HTML_200 = "200 and a page"
    CLOSED_200 = "a head, then the connection drops"
    HALF_JSON_200 = "200 and half of a JSON text"
    ERROR_200 = "200 and an error object"
    NULL_FINISH = "200 without a finish reason, usage all zero"
    HANG = "never a head"
    STALL_FIRST = "a head, then silence"
    STALL_MID = "three tokens, then silence"
    CUT_CLEAN = "three tokens, then a clean end"
    CUT_RESET = "three tokens, then a TCP reset"
    ERROR_FIRST = "an error event before any token"
    ERROR_MID = "an error event after three tokens"
    NO_USAGE = "no usage although it was asked for"
    NO_DONE = "no [DONE]"
    COMMENTS = "comment lines between the events"
    CRLF = "CRLF line ends"
    BYTEWISE = "one byte at a time"
    ODD_CHUNKS = "events without choices, empty ones and one without a delta"
    SLOW = "a pause before each token"
    GZIP = "gzip although nobody asked"


STREAM_ONLY = frozenset(
    {Fault.STALL_MID, Fault.CUT_CLEAN, Fault.CUT_RESET, Fault.ERROR_FIRST, Fault.ERROR_MID, Fault.NO_DONE}
    | {Fault.COMMENTS, Fault.CRLF, Fault.BYTEWISE, Fault.ODD_CHUNKS}
)
SPOILS = frozenset({Fault.NULL_FINISH, Fault.NO_USAGE, Fault.GZIP, Fault.STALL_FIRST, Fault.SLOW})  # in either form


@dataclass(slots=True)
class Seen:
    """Counts of generating requests (chat, completion, embedding) since the start; tokens as reported in usage.

    Each request that does not run any more is completed, aborted or failed. `loads` includes `reloads`; `messages`
    are those the model got, `truncated` the prompts cut in silence; `minutes_billed` is per replica of an endpoint.
    """

    requests: int = 0
    completed: int = 0
    aborted: int = 0  # the client went away before the end
    failed: int = 0  # by a fault, or refused
    prompt_tokens: int = 0
    completion_tokens: int = 0
    running: int = 0
    peak_running: int = 0
    queued: int = 0
    peak_queued: int = 0
    loads: int = 0
    reloads: int = 0
    messages: int = 0
    truncated: int = 0
    bytes_received: int = 0
    minutes_billed: int = 0
    management_calls: int = 0
    paths: dict[str, int] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)  # SHA-256 of what stood in Authorization, never itself
    bodies: list[dict[str, Any]] = field(default_factory=list)
