"""What each kind of backend does otherwise than OpenAI: one table, no code.

A field that is not named here passes untouched, in both directions. Where a server ignores something without
a word, the table says what the gateway does instead: map it, emulate it, or not claim the capability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from app.core.types import Capability


def _fields(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _capabilities(names: str) -> frozenset[Capability]:
    return cast(frozenset[Capability], _fields(names))


NO_THINKING: Mapping[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}
EVERYTHING = _capabilities(
    "vision vision_url audio tools tool_choice.none tool_choice.required tool_choice.named tools_with_format "
    "n json_object json_schema logprobs token_prompt prompt_list"
)


@dataclass(frozen=True, slots=True)
class Quirks:
    """One kind.

    `has`: capabilities, its own and the emulated. `rename`: request field -> its name there. `ignored`:
    fields it drops in silence, counted when a client sends one. `dropped`: fields it rejects or misreads.
    `accepted`: if set, any other field is rejected there. `formats`: how it spells response_format.
    `tool_choice`: whether it knows only its words, or ignores it. `usage`: whether it must be asked for usage on
    streams. `own_ids`: its answer ids are empty or collide. `reasoning`: the name of the field in history, None if
    it knows none. `off` and `low`: the fields that say so to it, empty if it has no words for it. `wary`: an effort
    is an error there for a model that does not think; the effort "none" is not.
    """

    has: frozenset[Capability] = EVERYTHING
    rename: tuple[tuple[str, str], ...] = ()
    ignored: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    accepted: frozenset[str] | None = None
    developer: bool = False  # knows the role `developer`
    text_parts: bool = True  # takes a list of text parts as one message
    stop: Literal["any", "list"] = "any"
    formats: Literal["openai", "value", "none"] = "openai"
    tool_choice: Literal["any", "words", "none"] = "any"
    usage: Literal["ask", "always"] = "ask"
    own_ids: bool = False
    reasoning: Literal["reasoning", "reasoning_content"] | None = "reasoning_content"
    off: Mapping[str, Any] = field(default_factory=dict)
    low: Mapping[str, Any] = field(default_factory=dict)
    wary: bool = False


OPENAI = Quirks(developer=True, reasoning=None, off={"reasoning_effort": "none"}, low={"reasoning_effort": "low"})

OLLAMA = Quirks(
    has=_capabilities(
        "vision tools tool_choice.none tool_choice.named tools_with_format json_object json_schema logprobs"
    ),
    rename=(("max_completion_tokens", "max_tokens"),),
    ignored=_fields(
        "parallel_tool_calls logit_bias prediction service_tier store verbosity functions function_call modalities "
        "web_search_options best_of echo top_k min_p chat_template_kwargs"
    ),
    text_parts=False,  # it makes one message of each part
    tool_choice="none",
    own_ids=True,  # chatcmpl-<0..998>
    reasoning="reasoning",
    off={"reasoning_effort": "none"},
    low={"reasoning_effort": "low"},
    wary=True,
)

VLLM = Quirks(reasoning="reasoning", off=NO_THINKING, low={"reasoning_effort": "low"})

LLAMA_CPP = Quirks(
    # With a format it never calls; of several choices it takes a slot for each and counts the tokens of one.
    has=EVERYTHING - _capabilities("audio n prompt_list tools_with_format"),
    tool_choice="words",  # an object, it reads as auto
    off={"reasoning_effort": "none"},
    low={"reasoning_effort": "low"},
)

TGI = Quirks(
    has=EVERYTHING - _capabilities("audio n prompt_list token_prompt tools_with_format"),
    rename=(("max_completion_tokens", "max_tokens"),),  # both at once are a duplicate field there
    ignored=_fields("parallel_tool_calls reasoning_effort functions function_call"),
    dropped=frozenset({"presence_penalty"}),  # read as a repetition penalty of value + 2
    stop="list",
    formats="value",
    own_ids=True,  # empty
    reasoning=None,
)

TRANSFORMERS = Quirks(
    has=_capabilities("vision vision_url audio tools tool_choice.none"),
    ignored=_fields(
        "audio function_call functions metadata modalities parallel_tool_calls "
        "prediction presence_penalty reasoning_effort service_tier store top_logprobs user web_search_options"
    ),
    accepted=_fields(
        "messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens "
        "max_tokens metadata modalities n parallel_tool_calls prediction presence_penalty prompt reasoning_effort "
        "response_format seed service_tier stop store stream stream_options temperature tool_choice tools "
        "top_logprobs top_p user web_search_options generation_config chat_template_kwargs best_of echo suffix"
    ),
    formats="none",
    tool_choice="none",
    usage="always",
    off=NO_THINKING,
)

BY_KIND = {
    "openai": OPENAI,
    "ollama": OLLAMA,
    "vllm": VLLM,
    "llama-cpp": LLAMA_CPP,
    "tgi": TGI,
    "transformers": TRANSFORMERS,
}
