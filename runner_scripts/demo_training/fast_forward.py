"""The forward pass of the demo model, with fewer and larger operations than transformers'.

At this size most time of a training step goes into small operations on the CPU, and this form of
the same arithmetic, on the same parameters, takes little more than half as long.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def rotation_tables(length: int, head_size: int, base: float) -> tuple[Any, Any]:
    """Return the cosines and sines of rotary embeddings for positions below `length`."""
    frequencies = base ** (-torch.arange(0, head_size, 2).float() / head_size)
    angles = torch.outer(torch.arange(length).float(), frequencies)
    both = torch.cat((angles, angles), dim=-1)
    sines = both.sin()
    # The half that is swapped in with a minus carries it in the table.
    sines[:, : head_size // 2] *= -1
    return both.cos(), sines


def hidden_states(
    model: Any, tokens: Any, cosines: Any, sines: Any, *, dropout: float = 0.0
) -> Any:
    """Return the normalised output of the last block for right-padded `tokens`.

    `dropout` is applied to what each block adds, which Llama itself has no setting for.
    """
    config = model.config
    heads = config.num_attention_heads
    rows, length = tokens.shape
    size = config.hidden_size // heads
    eps = config.rms_norm_eps
    cos, sin = cosines[:length], sines[:length]
    x = functional.embedding(tokens, model.model.embed_tokens.weight)
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        normed = functional.rms_norm(x, (config.hidden_size,), layer.input_layernorm.weight, eps)
        weight = torch.cat(
            (attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)
        )
        mixed = functional.linear(normed, weight).view(rows, length, 3, heads, size)
        q, k, v = mixed.permute(2, 0, 3, 1, 4)
        q = q * cos + q.roll(size // 2, -1) * sin
        k = k * cos + k.roll(size // 2, -1) * sin
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = attention.o_proj(seen.transpose(1, 2).reshape(rows, length, -1))
        x = x + functional.dropout(mixed, dropout)
        normed = functional.rms_norm(
            x, (config.hidden_size,), layer.post_attention_layernorm.weight, eps
        )
        mixed = mlp.down_proj(functional.silu(mlp.gate_proj(normed)) * mlp.up_proj(normed))
        x = x + functional.dropout(mixed, dropout)
    return functional.rms_norm(x, (config.hidden_size,), model.model.norm.weight, eps)
