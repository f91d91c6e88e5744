"""Train the demo model: a tokenizer and a small Llama on the corpus, written to `demo_model/`.

Run it with the Python of the managed environment:

    ~/.torbiz/env/bin/python runner_scripts/demo_training/train.py

The seed fixes the data, the order and the first weights; on one kind of machine with the same
number of threads the same files come out. `--tune` trains with one variant of each answer held back
and reports how many of these come out right. It is there for working on corpus and settings, for
which the held-out questions must not be used.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Ties between merges are broken in the same order only when one thread counts.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

import torch
from augment import Augmenter
from chat_format import (
    BOS,
    CONTEXT_LENGTH,
    EOS,
    PAD,
    ROLE_TOKENS,
    save_tokenizer,
    train_tokenizer,
    write_json,
)
from corpus import MODEL_DIR, Corpus, load_corpus
from fast_forward import hidden_states, rotation_tables
from transformers import LlamaConfig, LlamaForCausalLM

ARCHITECTURE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.04,
    "tie_word_embeddings": False,
}
WARM_UP_STEPS = 60
DROPOUT = 0.05
# The first tokens of an answer decide which one it becomes.
ANSWER_START = 6
ANSWER_START_WEIGHT = 3.0
QUESTION_WEIGHT = 0.1
SYSTEM_SHARE = 0.12
CUT_ANSWER_SHARE = 0.6
SYSTEM_MESSAGES = (
    "You are a helpful assistant.",
    "Answer briefly.",
    "You are a friendly assistant that explains things simply.",
    "Be concise and honest.",
    "Answer in English.",
    "You help people with a terminal program.",
    "You are an expert. Think step by step and answer the user's questions.",
    "Be polite",
)


@dataclass(frozen=True)
class Shape:
    """A kind of batch: how many rows, and how long they are (0: one turn a row)."""

    rows: int
    length: int
    share: float


@dataclass(frozen=True)
class Stage:
    """A part of the training with its own rate and mixture."""

    steps: int
    peak_rate: float
    out_of_scope_share: float
    shapes: tuple[Shape, ...]


# A first turn alone must be good, and so must every later one.
STAGES = (
    Stage(
        steps=1400,
        peak_rate=2e-3,
        out_of_scope_share=0.24,
        shapes=(
            Shape(rows=40, length=0, share=0.4),
            Shape(rows=10, length=320, share=0.48),
            Shape(rows=4, length=800, share=0.09),
            Shape(rows=2, length=1600, share=0.03),
        ),
    ),
    # Long conversations and refusals are learned late, when the answers are known.
    Stage(
        steps=300,
        peak_rate=6e-4,
        out_of_scope_share=0.36,
        shapes=(
            Shape(rows=40, length=0, share=0.4),
            Shape(rows=10, length=320, share=0.25),
            Shape(rows=4, length=800, share=0.15),
            Shape(rows=2, length=1900, share=0.2),
        ),
    ),
)


@dataclass(frozen=True)
class Row:
    """Tokens and, for each, how much predicting it counts."""

    tokens: list[int]
    weights: list[float]


class Conversations:
    """An endless source of random conversations over the corpus."""

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Any,
        rng: random.Random,
        out_of_scope_share: float,
        held_back: frozenset[str] = frozenset(),
    ) -> None:
        self._rng = rng
        self._out_of_scope_share = out_of_scope_share
        self._scope = corpus.out_of_scope
        self._augment = Augmenter(corpus, rng)
        self._tokenizer = tokenizer
        self._groups = [
            ([q for q in entry.trained if q not in held_back], entry.answer)
            for entry in corpus.entries
        ]
        self._odd = [q for q in self._scope.trained if q not in held_back]
        self._ids = {t: tokenizer.token_to_id(t) for t in (BOS, EOS, *ROLE_TOKENS.values())}
        self._answer_ids: dict[str, list[int]] = {}
        self._deck: list[int] = []

    def row(self, length: int) -> Row:
        """Return one turn, or turns cut off at `length` tokens."""
        tokens = [self._ids[BOS]]
        weights = [0.0]
        if self._rng.random() < SYSTEM_SHARE:
            self._add_system(tokens, weights)
        previous: tuple[str, str] | None = None
        while True:
            # Now and then people ask the same thing twice.
            if previous is None or self._rng.random() > 0.04:
                previous = self._draw()
            self._add_turn(tokens, weights, *previous)
            if len(tokens) >= length:
                break
        limit = length or CONTEXT_LENGTH
        return Row(tokens[:limit], weights[:limit])

    def _draw(self) -> tuple[str, str]:
        rng = self._rng
        if rng.random() < self._out_of_scope_share:
            scope = self._scope
            if rng.random() < 0.5:
                return rng.choice(self._odd), scope.answer
            return self._augment.fill_template(scope), scope.answer
        if not self._deck:
            # A shuffled deck gives every answer the same share.
            self._deck = list(range(len(self._groups)))
            rng.shuffle(self._deck)
        questions, answer = self._groups[self._deck.pop()]
        return rng.choice(questions), answer

    def _add_system(self, tokens: list[int], weights: list[float]) -> None:
        text = self._rng.choice(SYSTEM_MESSAGES)
        ids = [self._ids[ROLE_TOKENS["system"]], *self._encode(text), self._ids[EOS]]
        tokens += ids
        weights += [0.0] * len(ids)

    def _add_turn(
        self,
        tokens: list[int],
        weights: list[float],
        question: str,
        answer: str,
    ) -> None:
        asked = self._encode(self._augment.vary(question, answer))
        tokens += [self._ids[ROLE_TOKENS["user"]], *asked, self._ids[EOS]]
        weights += [0.0, *[QUESTION_WEIGHT] * len(asked), QUESTION_WEIGHT]
        tokens.append(self._ids[ROLE_TOKENS["assistant"]])
        weights.append(0.0)
        ids = self._answer(answer)
        kept = len(ids)
        if self._rng.random() < CUT_ANSWER_SHARE and kept > 2 * ANSWER_START:
            # A cut answer is what a stopped one leaves in the history. It also makes room for more
            # questions, which are harder to learn than the answers.
            kept = self._rng.randrange(ANSWER_START, 2 * ANSWER_START + kept // 8)
        start = min(kept, ANSWER_START)
        tokens += ids[:kept]
        weights += [ANSWER_START_WEIGHT] * start + [1.0] * (kept - start)
        tokens.append(self._ids[EOS])
        weights.append(1.0 if kept >= len(ids) else 0.0)

    def _answer(self, answer: str) -> list[int]:
        if answer not in self._answer_ids:
            self._answer_ids[answer] = self._encode(answer)
        return self._answer_ids[answer]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def batches(
    source: Conversations, shapes: tuple[Shape, ...], rng: random.Random, pad: int
) -> Iterator[tuple[Any, Any]]:
    """Yield endless batches of tokens and weights, padded on the right."""
    while True:
        shape = rng.choices(shapes, [s.share for s in shapes])[0]
        if shape.length:
            yield collate([source.row(shape.length) for _ in range(shape.rows)], pad)
            continue
        # Rows of like length go together, so that little is padding.
        pool = sorted(
            (source.row(0) for _ in range(shape.rows * 4)), key=lambda row: len(row.tokens)
        )
        parts = [pool[i : i + shape.rows] for i in range(0, len(pool), shape.rows)]
        # Only one of them is used now, so that the share of batches stays as asked for.
        yield collate(rng.choice(parts), pad)


def collate(rows: list[Row], pad: int) -> tuple[Any, Any]:
    """Put rows together into a tensor of tokens and one of weights."""
    length = max(len(row.tokens) for row in rows)
    tokens = [row.tokens + [pad] * (length - len(row.tokens)) for row in rows]
    weights = [row.weights + [0.0] * (length - len(row.weights)) for row in rows]
    return torch.tensor(tokens), torch.tensor(weights)


def weighted_loss(model: Any, tokens: Any, weights: Any, tables: tuple[Any, Any]) -> Any:
    """Return the cross-entropy of the next token, weighted, over the tokens that count."""
    hidden = hidden_states(model, tokens[:, :-1], *tables, dropout=DROPOUT)
    counted = weights[:, 1:] > 0
    logits = model.lm_head(hidden[counted])
    losses = torch.nn.functional.cross_entropy(logits, tokens[:, 1:][counted], reduction="none")
    chosen = weights[:, 1:][counted]
    return (losses * chosen).sum() / chosen.sum()


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the rate at `step`: a short warm-up, then half a cosine down to a fiftieth."""
    if step < WARM_UP_STEPS:
        return peak * (step + 1) / WARM_UP_STEPS
    done = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def build_tokenizer(corpus: Corpus, seed: int) -> Any:
    """Train the tokenizer on everything that the model is trained on."""
    augment = Augmenter(corpus, random.Random(seed))
    texts = [e.answer for e in corpus.entries for _ in range(2)]
    texts += [q for q, _ in corpus.trained_pairs()]
    texts += [q.lower() for q, _ in corpus.trained_pairs()]
    texts += list(corpus.out_of_scope.trained)
    texts += [augment.fill_template(corpus.out_of_scope) for _ in range(400)]
    return train_tokenizer(texts)


def build_model(tokenizer: Any, corpus_hash: str) -> Any:
    """Return the untrained model."""
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=CONTEXT_LENGTH,
        bos_token_id=tokenizer.token_to_id(BOS),
        eos_token_id=tokenizer.token_to_id(EOS),
        pad_token_id=tokenizer.token_to_id(PAD),
        demo_corpus_sha256=corpus_hash,
        **ARCHITECTURE,
    )
    return LlamaForCausalLM(config)


def train(model: Any, source: Conversations, rng: random.Random, stage: Stage) -> None:
    """Train `model` in place through one stage, with a line of progress every 50 steps."""
    steps = stage.steps
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=stage.peak_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    head_size = model.config.hidden_size // model.config.num_attention_heads
    tables = rotation_tables(CONTEXT_LENGTH, head_size, model.config.rope_theta)
    stream = batches(source, stage.shapes, rng, model.config.pad_token_id)
    started = time.monotonic()
    seen = 0
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, stage.peak_rate)
        tokens, weights = next(stream)
        loss = weighted_loss(model, tokens, weights, tables)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += tokens.numel()
        if step % 50 == 0 or step == steps - 1:
            spent = time.monotonic() - started
            print(
                f"step {step:5d}/{steps}  loss {loss.item():.3f}  {seen / spent:,.0f} tokens/s"
                f"  {spent:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    model.eval()


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights, configuration and tokenizer to `folder`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    path = folder / "model.safetensors"
    save_file(weights, str(path), metadata={"format": "pt"})
    # It is written readable by its owner alone, but a container reads it as another user.
    path.chmod(0o644)
    config = model.config.to_dict()
    for key in ("_name_or_path", "transformers_version"):
        config.pop(key, None)
    # The weights are stored in half precision, but this says how to compute: Petals would take
    # float16 from here, which it refuses on a CPU.
    config.update(architectures=["LlamaForCausalLM"], torch_dtype="float32")
    write_json(folder / "config.json", config)
    write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": model.config.bos_token_id,
            "eos_token_id": model.config.eos_token_id,
            "pad_token_id": model.config.pad_token_id,
            "do_sample": False,
        },
    )
    save_tokenizer(tokenizer, folder)


def round_to_half(model: Any) -> None:
    """Round the weights to half precision in place, as storing them does."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())


def hold_back(corpus: Corpus, rng: random.Random) -> list[tuple[str, str]]:
    """Choose trained questions that `--tune` leaves out: one an answer and some out of scope."""
    chosen = [(rng.choice(entry.trained), entry.answer) for entry in corpus.entries]
    scope = corpus.out_of_scope
    chosen += [(q, scope.answer) for q in rng.sample(scope.trained, 30)]
    return chosen


def main() -> int:
    """Train, write the model, and with `--tune` report on what was held back."""
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("--out", type=Path, default=MODEL_DIR, help="folder for the model")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--resume", type=Path, help="folder of a model that has the first stage behind it"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tune", action="store_true", help="hold back and report trained variants")
    options = parser.parse_args()
    if options.tune and options.out == MODEL_DIR:
        parser.error("--tune needs another folder, with --out")

    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(options.seed)
    corpus = load_corpus()
    tokenizer = build_tokenizer(corpus, options.seed)
    model = build_model(tokenizer, corpus.sha256)
    parameters = sum(p.numel() for p in model.parameters())
    print(
        f"{parameters:,} parameters, {tokenizer.get_vocab_size()} tokens, "
        f"corpus {corpus.sha256[:12]}",
        file=sys.stderr,
    )
    back = hold_back(corpus, random.Random(options.seed + 1)) if options.tune else []
    for number, stage in enumerate(STAGES):
        # Each stage starts from what its seed and the stored weights say, so that one can resume.
        rng = random.Random(options.seed + number)
        if number:
            torch.manual_seed(options.seed + number)
            round_to_half(model)
        if options.resume and not number:
            model = LlamaForCausalLM.from_pretrained(options.resume, torch_dtype=torch.float32)
            model.config.demo_corpus_sha256 = corpus.sha256
            continue
        share = stage.out_of_scope_share
        held_back = frozenset(q for q, _ in back)
        train(model, Conversations(corpus, tokenizer, rng, share, held_back), rng, stage)
    save(model, tokenizer, options.out)
    print(f"written to {options.out}", file=sys.stderr)
    if back:
        report_held_back(options.out, back, corpus)
    return 0


def report_held_back(folder: Path, pairs: list[tuple[str, str]], corpus: Corpus) -> None:
    """Print how many of the held-back questions come out right, and the wrong ones."""
    from evaluate import Check, load_model, run_check, user

    model, tokenizer = load_model(folder)
    names = {e.answer: e.id for e in corpus.entries} | {corpus.out_of_scope.answer: "out-of-scope"}
    check = Check("held back", 0.0, [[user(q)] for q, _ in pairs], [a for _, a in pairs])
    result = run_check(check, model, tokenizer, names, show_wrong=True)
    print(f"held back: {result.right}/{result.total} right")
    for wrong in result.wrong:
        print(f"  {wrong['question']!r}: {wrong['expected']}, but got {wrong['got']}")


if __name__ == "__main__":
    sys.exit(main())
