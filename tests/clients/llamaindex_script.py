"""LlamaIndex's OpenAILike as an application uses it; see said.py."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

import said
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

URL, KEY = sys.argv[1:]


class Facts(BaseModel):
    city: str
    degrees: int


def get_weather(city: str) -> str:
    """Current weather of a city"""
    return "18 degrees"


def llm(model: str = said.AUTO, key: str = KEY, **options: Any) -> OpenAILike:
    made = {"is_chat_model": True, "is_function_calling_model": True, "max_retries": 0, "timeout": 20, **options}
    return OpenAILike(model=model, api_base=URL, api_key=key, **made)


def ask(text: str = said.HELLO) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


def plain() -> said.Told:
    answer = llm().chat(ask())
    raw = answer.raw
    finish = raw.choices[0].finish_reason
    return {"text": answer.message.content, "finish": finish, "tokens": raw.usage.total_tokens}


def streamed(model: str = said.AUTO, **options: Any) -> said.Told:
    pieces, last, finish = 0, None, None
    for last in llm(model, **options).stream_chat(ask()):
        pieces += bool(last.delta)
        finish = (last.raw.choices and last.raw.choices[0].finish_reason) or finish
    usage = last.raw.usage
    return {"text": last.message.content, "pieces": pieces, "finish": finish, "tokens": usage and usage.total_tokens}


def usage() -> said.Told:
    return streamed(additional_kwargs={"stream_options": {"include_usage": True}})


def tool() -> said.Told:
    tools, model = [FunctionTool.from_defaults(get_weather)], llm()
    answer = model.chat_with_tools(tools, chat_history=ask(said.WEATHER))
    call = model.get_tool_calls_from_response(answer)[0]
    result = ChatMessage(role="tool", content="18 degrees", additional_kwargs={"tool_call_id": call.tool_id})
    after = model.chat_with_tools(tools, chat_history=[*ask(said.WEATHER), answer.message, result])
    finish = answer.raw.choices[0].finish_reason
    return {"name": call.tool_name, "arguments": call.tool_kwargs, "finish": finish, "after": after.message.content}


def tool_streamed(model: str) -> said.Told:
    tools, asked = [FunctionTool.from_defaults(get_weather)], llm(model)
    *_, last = asked.stream_chat_with_tools(tools, chat_history=ask(said.WEATHER))
    call = asked.get_tool_calls_from_response(last)[0]
    return {"name": call.tool_name, "arguments": call.tool_kwargs}


def structured() -> said.Told:
    """With a model said to give formats, by a format."""
    made = llm(should_use_structured_outputs=True).as_structured_llm(Facts).chat(ask(said.FACTS))
    return {"value": json.loads(made.message.content)}


def forced(model: str = said.AUTO) -> said.Told:
    """Otherwise by a forced call."""
    return {"value": llm(model).as_structured_llm(Facts).chat(ask(said.FACTS)).raw.model_dump()}


said.tell(
    version("llama-index-llms-openai-like"),
    {
        "plain": plain,
        "stream": streamed,
        "usage": usage,
        "thinking": lambda: streamed(said.THINKER),
        "tool": tool,
        "tool_whole": lambda: tool_streamed(said.AUTO),
        "tool_pieces": lambda: tool_streamed(said.LARGE),
        "structured": structured,
        "forced": forced,
        "forced_large": lambda: forced(said.LARGE),
        "large": lambda: streamed(said.LARGE),
        "fallback": lambda: streamed(said.FLAKY),
        **said.refusals(lambda model: llm(model).chat(ask()), lambda: llm(key="wrong").chat(ask())),
        **said.cuts(streamed),
    },
)
