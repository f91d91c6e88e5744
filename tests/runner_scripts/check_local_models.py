"""Compares LocalModel with transformers' own generate; run with the Petals environment.

Usage: check_local_models.py FOLDER, where the tokenizer of the tiny model lies. Prints one JSON
line per kind of model: {"kind", "same", "reused", "branched"}. Only for the tests of the runner
scripts.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "runner_scripts"))

import torch  # type: ignore[import-not-found]
import transformers  # type: ignore[import-not-found]
from chat_answer import Answer  # type: ignore[import-not-found]
from chat_prompt import PromptFormat  # type: ignore[import-not-found]
from json_lines import GenerateRequest  # type: ignore[import-not-found]
from local_model import LocalModel  # type: ignore[import-not-found]

SIZES = {"vocab_size": 261, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
CONFIGS = {
    "bloom": transformers.BloomConfig(**SIZES),
    "falcon": transformers.FalconConfig(**SIZES, alibi=False, multi_query=True),
    "falcon with alibi": transformers.FalconConfig(**SIZES, alibi=True, multi_query=False),
    "llama with shared heads": transformers.LlamaConfig(
        **SIZES, intermediate_size=64, num_key_value_heads=2, max_position_embeddings=2048
    ),
}


def main(folder: str) -> None:
    """Check each kind."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prompt_format = PromptFormat(tokenizer, "tiny")
    for kind, config in CONFIGS.items():
        print(json.dumps({"kind": kind} | check(config, prompt_format)), flush=True)


def check(config: Any, prompt_format: Any) -> dict[str, Any]:
    """Return whether the texts are the same, and how many tokens the second answer reused."""
    torch.manual_seed(3)
    config.eos_token_id = 1
    config.torch_dtype = torch.float32
    config.initializer_range = 0.2
    reference = transformers.AutoModelForCausalLM.from_config(config).eval()
    with tempfile.TemporaryDirectory() as place:
        reference.save_pretrained(place, safe_serialization=True)
        config = transformers.AutoConfig.from_pretrained(place)
        model = LocalModel(place, config, prompt_format, None, 2048)
    text = "A text of more than one step, " * 8
    first = answer(model, text)
    second = answer(model, text + "then another end")
    again = answer(model, text)
    return {
        "same": first.tokens == generate(reference, prompt_format, text),
        "branched": second.tokens == generate(reference, prompt_format, text + "then another end"),
        "back": again.tokens == first.tokens,
        "prompt": first.prompt_tokens,
        "reused": [one.reused_tokens for one in (first, second, again)],
    }


def answer(model: Any, text: str) -> Any:
    """Let the model go on."""
    request = GenerateRequest("q", (), 30, 0.0, 1.0, None, prompt=text)
    taken = Answer(request, lambda _text: True)
    model.generate(taken)
    return taken


def generate(model: Any, prompt_format: Any, text: str) -> list[int]:
    """Let transformers go on, in one step."""
    ids = torch.tensor([prompt_format.encode(text, raw=True).ids])
    output = model.generate(ids, do_sample=False, max_new_tokens=30, pad_token_id=1)
    tokens: list[int] = output[0, ids.shape[1] :].tolist()
    return tokens


if __name__ == "__main__":
    main(sys.argv[1])
