"""How the demo tells its result: a table for people, one JSON object for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.demo.statement import Kind, Statement

if TYPE_CHECKING:
    from app.cli.demo.real import Real


def as_json(statement: Statement, problems: Sequence[str], real: Real | None = None) -> dict[str, Any]:
    """`reconciled` if client, records, metrics, database and backends counted the same. `real`: what really ran."""
    p50, p99 = statement.overhead
    return {
        "requests": statement.requests,
        "complete": statement.complete,
        "shed": statement.shed,
        "failed": statement.failed,
        "left": statement.left,
        "llm_share": _rounded(statement.llm_share),
        "llm_share_total": _rounded(statement.llm_share_total),
        "llm_share_under_random": _rounded(statement.llm_share_under_random),
        "threshold": _rounded(statement.threshold),
        "tokens": sum(statement.tokens),
        "input_tokens": statement.tokens[0],
        "output_tokens": statement.tokens[1],
        "cost_usd": round(statement.cost_usd, 9),
        "baseline_usd": round(statement.baseline_usd, 9),
        "saved_usd": round(statement.saved_usd, 9),
        "idle_usd": round(statement.idle_usd, 9),
        "cost_by_kind": {kind: round(usd, 9) for kind, usd in statement.usd.items()},
        "overhead_ms": {"p50": round(p50, 3), "p99": round(p99, 3)},
        "first_token_ms": {tier: round(ms, 1) for tier, ms in statement.first_token.items()},
        **({"real": real.as_json()} if real else {"simulated_hours": 8}),
        "kinds": {kind.name: _kind(kind) for kind in statement.kinds},
        "reconciled": not problems,
        "differences": list(problems),
    }


def tell(console: Console, statement: Statement, problems: Sequence[str], real: Real | None = None) -> None:
    console.print(_table(statement))
    p50, p99 = statement.overhead
    first = ", ".join(f"{tier} {ms:.0f} ms" for tier, ms in statement.first_token.items())
    lines = [
        f"requests    {statement.requests}: {statement.complete} complete, {statement.failed} failed, "
        f"{statement.left} left by their client; {statement.shed} times told to come back, and came",
        f"llm_share   {_percent(statement.llm_share)} of what the score decided, "
        f"{_percent(statement.llm_share_total)} of all; to catch as much of math and code a coin would have to send "
        f"{_percent(statement.llm_share_under_random)}",
        f"tokens      {sum(statement.tokens)} (input {statement.tokens[0]}, output {statement.tokens[1]})",
        *(_money(statement) if real is None else _real_money(statement)),
        f"first token {first} ({'simulated' if real is None else 'real time'}, median)",
        f"overhead    p50 {p50:.2f} ms, p99 {p99:.2f} ms (the gateway's own, in real time)",
        "",
        *(_simulated(statement) if real is None else _really(real)),
    ]
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)
    if problems:
        console.print("\n".join(["The books do not agree:", *problems]), style="bold red", soft_wrap=True, markup=False)
    else:
        console.print(
            "Client, records, metrics, database and backends counted the same.", soft_wrap=True, highlight=False
        )


def _money(statement: Statement) -> list[str]:
    return [
        f"spent       {statement.cost_usd:.2f} USD ({', '.join(f'{k} {usd:.2f}' for k, usd in statement.usd.items())})",
        f"baseline    {statement.baseline_usd:.2f} USD, had everything gone to the large model",
        f"saved       {statement.saved_usd:.2f} USD",
    ]


def _real_money(statement: Statement) -> list[str]:
    """A few requests cost parts of a cent, and what the real machine costs is not known: that is no saving."""
    return [
        f"spent       {statement.cost_usd:.6f} USD at the large model; the small one's machine is unpriced",
        f"baseline    {statement.baseline_usd:.6f} USD, had everything gone to the large model",
    ]


def _simulated(statement: Statement) -> list[str]:
    return [
        verdict(statement),
        "The models are scripted and the clock is simulated: where requests go and what they cost is real arithmetic, "
        "the answers mean nothing.",
    ]


def _really(real: Real) -> list[str]:
    pace = "" if real.pace is None else f", {real.pace:.1f} tokens a second within an answer (median)"
    into, out = real.tokens
    return [
        f"Real: {real.box}. {real.answers} answers of {out} tokens to {into} tokens of prompts, in "
        f"{real.seconds:.1f} s of real time for all requests{pace}.",
        "Scripted: the large model; its answers mean nothing, its price by the token is a real one.",
    ]


def verdict(statement: Statement) -> str:
    """What the figures mean, good or bad."""
    saved, baseline, idle = statement.saved_usd, statement.baseline_usd, statement.idle_usd
    share = saved / baseline if baseline else 0.0
    awake = idle + statement.usd.get("compute", 0.0)
    why = (
        f"of {awake:.2f} USD for the endpoint {idle:.2f} were idle minutes; an hour costs the same for one question as "
        "for a hundred, so it pays to ask rarely, together, and to let the endpoint sleep."
    )
    if share <= 0:
        return f"Nothing was saved: {why}"
    if share < 0.2:
        return f"Little was saved ({share:.0%}): {why}"
    return f"{share:.0%} was saved, because the endpoint could sleep; {why}"


def how_to_use(url: str) -> str:
    return f"""
The gateway stays up at {url}/v1 until Ctrl-C (any API key, model "auto"). From another terminal:

curl {url}/v1/chat/completions -H 'content-type: application/json' \\
  -d '{{"model": "auto", "messages": [{{"role": "user", "content": "hi"}}]}}'

from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="any")
answer = client.chat.completions.create(model="auto", messages=[{{"role": "user", "content": "hi"}}])
print(answer.choices[0].message.content)
"""


def _table(statement: Statement) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("n", justify="right")
    tiers = sorted({tier for kind in statement.kinds for tier in kind.tiers}, reverse=True)
    for name in tiers:
        table.add_column(name, justify="right")
    table.add_column("why", no_wrap=True)
    table.add_column("median", justify="right")
    table.add_column("highest score, and of what", no_wrap=True, overflow="ellipsis", ratio=1)
    for kind in statement.kinds:
        counts = [str(kind.tiers.get(tier, 0)) for tier in tiers]
        table.add_row(kind.name, str(kind.requests), *counts, _why(kind.reasons), _score(kind.median), _hardest(kind))
    return table


def _hardest(kind: Kind) -> Text:
    """The text is data: brackets in it are no markup."""
    return Text(f"{kind.hardest[0]:.2f}  {_one_line(kind.hardest[1])}" if kind.hardest else "-")


def _kind(kind: Kind) -> dict[str, Any]:
    return {
        "requests": kind.requests,
        "complete": kind.complete,
        "tiers": dict(kind.tiers),
        "reasons": dict(kind.reasons),
        "score": {
            "lowest": _rounded(kind.scores[0]),
            "median": _rounded(kind.median),
            "highest": _rounded(kind.scores[-1]),
            "highest_of": _one_line(kind.hardest[1]) if kind.hardest else None,
        }
        if kind.scores
        else None,
        "tokens": kind.tokens,
    }


def _why(reasons: Mapping[str, int]) -> str:
    """One a line, the most frequent first."""
    return "\n".join(f"{word} {count}" for word, count in sorted(reasons.items(), key=lambda one: -one[1]))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:60]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
