"""pydantic-ai as an application uses it; see said.py."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version
from typing import Any

import said
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

URL, KEY = sys.argv[1:]


class Facts(BaseModel):
    city: str
    degrees: int


def get_weather(city: str) -> str:
    """Current weather of a city"""
    return "18 degrees"


def agent(model: str = said.AUTO, key: str = KEY, **options: Any) -> Agent[Any, Any]:
    client = AsyncOpenAI(base_url=URL, api_key=key, max_retries=0, timeout=20)
    return Agent(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client)), **options)


def plain(model: str = said.AUTO) -> said.Told:
    answer = agent(model).run_sync(said.HELLO)
    finish = answer.all_messages()[-1].finish_reason
    return {"text": answer.output, "finish": finish, "tokens": _tokens(answer)}


def streamed(model: str = said.AUTO) -> said.Told:
    return asyncio.run(_streamed(model))


async def _streamed(model: str) -> said.Told:
    async with agent(model).run_stream(said.HELLO) as answer:
        pieces = [piece async for piece in answer.stream_text(delta=True, debounce_by=None)]
        finish = answer.all_messages()[-1].finish_reason
    return {"text": "".join(pieces), "pieces": len(pieces), "finish": finish, "tokens": _tokens(answer)}


def _tokens(answer: Any) -> int:
    usage = answer.usage
    return (usage() if callable(usage) else usage).total_tokens


def tool() -> said.Told:
    return _called(agent(tools=[get_weather]).run_sync(said.WEATHER))


def tool_streamed(model: str) -> said.Told:
    async def run() -> said.Told:
        async with agent(model, tools=[get_weather]).run_stream(said.WEATHER) as answer:
            await answer.get_output()
        return _called(answer)

    return asyncio.run(run())


def _called(answer: Any) -> said.Told:
    responses = [one for one in answer.all_messages() if isinstance(one, ModelResponse)]
    call = next(part for part in responses[0].parts if isinstance(part, ToolCallPart))
    told = {"name": call.tool_name, "arguments": call.args_as_dict(), "finish": responses[0].finish_reason}
    return {**told, "after": responses[-1].text}


def structured(output: Any = Facts, model: str = said.AUTO) -> said.Told:
    return {"value": agent(model, output_type=output).run_sync(said.FACTS).output.model_dump()}


said.tell(
    version("pydantic-ai-slim"),
    {
        "plain": plain,
        "stream": streamed,
        "usage": streamed,  # it always asks for it
        "thinking": lambda: streamed(said.THINKER),
        "tool": tool,
        "tool_whole": lambda: tool_streamed(said.AUTO),
        "tool_pieces": lambda: tool_streamed(said.LARGE),
        "structured": lambda: structured(NativeOutput(Facts)),
        "forced": structured,  # by a call that is required
        "forced_large": lambda: structured(model=said.LARGE),
        "large": lambda: streamed(said.LARGE),
        "fallback": lambda: streamed(said.FLAKY),
        **said.refusals(plain, lambda: agent(key="wrong").run_sync(said.HELLO)),
        **said.cuts(streamed),
    },
)
