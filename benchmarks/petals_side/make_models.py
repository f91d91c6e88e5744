"""Writes the models that `benchmarks/ask.py` asks; run with the Petals environment.

    make_models.py DEMO_MODEL OUT

`OUT/demo-endless` is the demo model whose end of text and role tokens are never the likeliest, so
that every answer has the length that is asked for. `OUT/llama-100m` is a random Llama of 99 million
parameters with the same tokenizer.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch  # type: ignore[import-not-found]
from transformers import (  # type: ignore[import-not-found]
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)


def main(demo: Path, out: Path) -> None:
    """Write both models with the demo's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(demo)
    special = list(tokenizer.added_tokens_decoder)

    model = LlamaForCausalLM.from_pretrained(demo, torch_dtype=torch.float32)
    _write(model, special, demo, out / "demo-endless")

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=896,
        intermediate_size=2432,
        num_hidden_layers=10,
        num_attention_heads=14,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        torch_dtype="float32",
    )
    _write(LlamaForCausalLM(config), special, demo, out / "llama-100m")


def _write(model: LlamaForCausalLM, never: list[int], demo: Path, folder: Path) -> None:
    with torch.no_grad():
        # A logit of 0 is below the best of a thousand others.
        model.lm_head.weight[never] = 0
    model.save_pretrained(folder, safe_serialization=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (demo / name).is_file():
            shutil.copy(demo / name, folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
