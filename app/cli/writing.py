"""The config that `init` writes and that `serve` uses when there is none: one Ollama, one tier, commented."""

from __future__ import annotations

from collections.abc import Sequence

from app.cli.ollama import Model, is_loopback

_TEMPLATE = """\
# Written by `smallfirst init`. Other ways to run it: smallfirst init --example list
# Check it after a change with `smallfirst check`; a running gateway reads it again by itself.

server: {{host: 127.0.0.1, port: 8080}}

backends:
  ollama:
    kind: ollama
    zone: {zone}
    base_url: "{url}"
    model: "{model}"{others}{reasoning}
    capacity: {{concurrent: 1, queue: 16, max_wait: 60s}}   # what it really runs at once: smallfirst check --probe
    price: {{kind: unpriced}}          # or what the machine costs you:
    # price: {{kind: local, watts: ..., usd_per_kwh: ..., hardware_usd: ..., life_years: ...}}

  # For a large model that helps take the "# " off the next eight lines and off tier llm; any compatible server will do.
  # large:
  #   kind: openai
  #   zone: remote
  #   base_url: https://router.huggingface.co/v1
  #   model: openai/gpt-oss-120b:groq
  #   api_key_env: HF_TOKEN            # the variable that holds the key, at the start
  #   capacity: {{concurrent: 32, queue: 64, max_wait: 20s}}
  #   price: {{kind: tokens, input: 0.15, cached_input: 0.075, output: 0.6, source: groq list price, as_of: 2026-11-22}}

tiers:                               # cheapest first
  - {{name: slm, backends: [ollama]}}
  # - {{name: llm, backends: [large]}}
{embeddings}
routing: {{llm_share: 0.05}}           # the share that the last tier may answer, if there is a second
"""


def write(url: str, model: Model, models: Sequence[Model]) -> str:
    """YAML that serves `model` of the Ollama at `url`; `models` are all it has."""
    others = [one.name for one in models if one.chats and not one.remote and one.name != model.name]
    embedding = next((one for one in models if one.embeds and not one.chats and not one.remote), None)
    return _TEMPLATE.format(
        url=url,
        model=model.name,
        zone=_zone(url, model),
        others=f"   # also here: {', '.join(others[:8])}" if others else "",
        reasoning="\n    reasoning: off                   # it thinks by default; off | low | pass"
        if model.thinks
        else "",
        embeddings=f'\nembeddings: {{backend: ollama, model: "{embedding.name}"}}\n' if embedding else "",
    )


def _zone(url: str, model: Model) -> str:
    if model.remote:
        return "remote                     # this model is served from its maker's cloud"
    if not is_loopback(url):
        return "remote                     # `local` if you trust that machine with private data"
    return "local                      # prompts stay on this machine"
