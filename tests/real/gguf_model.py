"""Writes a model as small as one can be: Qwen2, two layers of width 64, random weights, its real vocabulary.

    .real/bin/python tests/real/gguf_model.py VOCABULARY.gguf TEMPLATE.jinja MODEL.gguf

What it says is noise, but everything around the words is real: tokens, template, context, grammar, slots. It hardly
ever ends by itself, so a request to it says `max_tokens`. The weights are the same on every run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np

LAYERS, WIDTH, INNER, HEADS = 2, 64, 128, 2
CONTEXT = 32768  # trained, as the server calls it; a server is started with less
SPREAD = 0.02  # of the weights; small, so that no token is much likelier than others


def write(vocabulary: Path, template: Path, model: Path) -> None:
    writer = gguf.GGUFWriter(model, "qwen2")
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_context_length(CONTEXT)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    tokens = _copy_vocabulary(writer, vocabulary)
    writer.add_chat_template(template.read_text("utf-8"))
    _add_weights(writer, tokens)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _copy_vocabulary(writer: gguf.GGUFWriter, vocabulary: Path) -> int:
    """Returns how many tokens it has."""
    fields = gguf.GGUFReader(vocabulary).fields
    for name, field in fields.items():
        if name.startswith("tokenizer.") and name != "tokenizer.chat_template":
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    return len(fields["tokenizer.ggml.tokens"].data)


def _add_weights(writer: gguf.GGUFWriter, tokens: int) -> None:
    dice = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.weight", (dice.standard_normal(shape, np.float32) * SPREAD).astype(np.float16))

    def add_norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))

    add("token_embd", tokens, WIDTH)  # it is the output too
    add_norm("output_norm")
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v"):
            add(f"blk.{layer}.{name}", WIDTH, WIDTH)
            writer.add_tensor(f"blk.{layer}.{name}.bias", np.zeros(WIDTH, np.float32))
        add(f"blk.{layer}.attn_output", WIDTH, WIDTH)
        add(f"blk.{layer}.ffn_gate", INNER, WIDTH)
        add(f"blk.{layer}.ffn_up", INNER, WIDTH)
        add(f"blk.{layer}.ffn_down", WIDTH, INNER)
        add_norm(f"blk.{layer}.attn_norm")
        add_norm(f"blk.{layer}.ffn_norm")


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
