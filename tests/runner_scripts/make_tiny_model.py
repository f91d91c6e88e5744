"""Creates a tiny random Llama with a byte-level tokenizer; run with the Petals environment.

Usage: make_tiny_model.py FOLDER [BASE]. Only for the tests of the runner scripts.

With BASE, a model that servers of the one in BASE serve as well: its blocks are the same. It has
no chat template, and it always writes CYCLE, one byte a token, over and over.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch  # type: ignore[import-not-found]
from tokenizers import (  # type: ignore[import-not-found]
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
)
from transformers import (  # type: ignore[import-not-found]
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

SPECIAL = ("<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
CYCLE = "aü茶👍 ш"
TEMPLATE = (
    "<s>{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def main(folder: Path) -> None:
    """Write the checkpoint and its tokenizer into `folder`."""
    torch.set_num_threads(1)  # so small a model only loses by sharing its work
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(SPECIAL[2:]),
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)

    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=8,
        num_attention_heads=4,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=1,
        torch_dtype="float32",
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # never a special token: answers go on to their limit
        model.lm_head.weight[: len(SPECIAL)] = 0
        # Mostly ASCII, with broken UTF-8 now and then.
        ascii_ids = [vocabulary[c] for c in letters if c.isascii() and c.isprintable()]
        model.lm_head.weight[ascii_ids] *= 2.5
    model.save_pretrained(folder, safe_serialization=True)
    write_reference(folder, model, fast)


def make_cycling(folder: Path, base: Path) -> None:
    """Write the variant of BASE that always writes the same."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    ids = tokenizer(CYCLE, add_special_tokens=False).input_ids
    assert len(set(ids)) == len(ids)
    last_of_prompt = tokenizer(":", add_special_tokens=False).input_ids[0]
    model = LlamaForCausalLM.from_pretrained(base)
    with torch.no_grad():
        embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
        # What the blocks add does not grow with their input, and vanishes beside it: the output
        # layer sees the last token, and is made to answer with the next one.
        embedding *= 1000
        head[:] = 0
        for token, following in zip(ids, [*ids[1:], ids[0]], strict=True):
            head[following] += embedding[token]
        head[ids[0]] += embedding[last_of_prompt]
    model.save_pretrained(folder, safe_serialization=True)


def write_reference(
    folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Write what the model answers without a swarm, to compare with."""
    messages = [{"role": "user", "content": "Is it café or 茶?"}]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    output = model.generate(ids, do_sample=False, max_new_tokens=60, pad_token_id=1)[0]
    answer = output[ids.shape[1] :]
    text = tokenizer.decode(answer, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    reference = {"messages": messages, "prompt_tokens": ids.shape[1], "text": text}
    (folder / "reference.json").write_text(json.dumps(reference), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        make_cycling(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
