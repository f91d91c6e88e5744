"""Measure the demo model: trained and unseen questions, first and later turns, out of scope.

    ~/.torbiz/env/bin/python runner_scripts/demo_training/evaluate.py

An answer counts as right only when greedy decoding gives the expected text, token by token, and
then ends. The exit code is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from augment import add_typo
from chat_format import BOS, CONTEXT_LENGTH, EOS, ROLE_TOKENS
from corpus import MODEL_DIR, Corpus, load_corpus, load_fresh, normalise
from fast_forward import hidden_states, rotation_tables
from transformers import AutoTokenizer, LlamaForCausalLM

SEED = 11
MAX_NEW_TOKENS = 420
BATCH_TOKENS = 16_000
DECODED_SAMPLE = 40

Chat = list[dict[str, str]]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Check:
    """A set of conversations with the answer that each must end in, and the share that must."""

    name: str
    bar: float
    chats: list[Chat]
    expected: list[str]


@dataclass(frozen=True)
class Result:
    """How a check went."""

    name: str
    right: int
    total: int
    bar: float
    wrong: list[dict[str, str]]

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.total

    @property
    def passed(self) -> bool:
        """Whether the bar was reached."""
        return self.share >= self.bar


def load_model(folder: Path) -> tuple[Any, Any]:
    """Load model and tokenizer as everybody does, in float32."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
    model.eval()
    return model, tokenizer


def encode(tokenizer: Any, chat: Chat) -> list[int]:
    """Return the tokens of a conversation, up to where the model begins to answer."""
    ids: list[int] = tokenizer.apply_chat_template(chat, add_generation_prompt=True)
    return ids


def all_exact(model: Any, tokenizer: Any, chats: list[Chat], expected: list[str]) -> list[bool]:
    """Tell for each conversation whether greedy decoding yields the expected answer and then ends.

    That is so exactly when every token of the answer is the likeliest after those before it, which
    one pass over prompt and answer shows, many times faster than decoding.
    """
    config = model.config
    head_size = config.hidden_size // config.num_attention_heads
    tables = rotation_tables(CONTEXT_LENGTH, head_size, config.rope_theta)
    rows: list[tuple[list[int], int]] = []
    for chat, answer in zip(chats, expected, strict=True):
        prompt = encode(tokenizer, chat)
        ids = tokenizer(answer, add_special_tokens=False).input_ids
        rows.append(([*prompt, *ids, tokenizer.eos_token_id], len(prompt)))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    exact = [False] * len(rows)
    while order:
        count = max(1, min(len(order), BATCH_TOKENS // len(rows[order[-1]][0])))
        part, order = order[-count:], order[:-count]
        longest = len(rows[part[-1]][0])
        padded = [rows[i][0] + [tokenizer.pad_token_id] * (longest - len(rows[i][0])) for i in part]
        tokens = torch.tensor(padded)
        with torch.inference_mode():
            hidden = hidden_states(model, tokens, *tables)
            for row, index in enumerate(part):
                ids, start = rows[index]
                likeliest = model.lm_head(hidden[row, start - 1 : len(ids) - 1]).argmax(-1)
                exact[index] = likeliest.tolist() == ids[start:]
    return exact


def answer(model: Any, tokenizer: Any, chat: Chat) -> str:
    """Return the greedy answer to a conversation, decoded token by token."""
    tokens = torch.tensor([encode(tokenizer, chat)])
    with torch.inference_mode():
        output = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            max_new_tokens=min(MAX_NEW_TOKENS, CONTEXT_LENGTH - tokens.shape[1]),
            pad_token_id=tokenizer.pad_token_id,
        )
    text: str = tokenizer.decode(output[0, tokens.shape[1] :], skip_special_tokens=True)
    return text


def user(question: str) -> dict[str, str]:
    """Return a user's message."""
    return {"role": "user", "content": question}


def after(history: list[Pair], question: str) -> Chat:
    """Return a conversation in which `question` comes after answered ones."""
    chat: Chat = []
    for asked, answer in history:
        chat += [user(asked), {"role": "assistant", "content": answer}]
    return [*chat, user(question)]


def build_checks(corpus: Corpus, tokenizer: Any) -> list[Check]:
    """Return all checks; the choice of earlier turns and slips is fixed by a seed."""
    rng = random.Random(SEED)
    trained = corpus.trained_pairs()
    unseen = corpus.held_out_pairs()
    scope = corpus.out_of_scope
    odd = [(q, scope.answer) for q in scope.held_out]
    plain = [(q.lower().rstrip("?.! ") or q, a) for q, a in trained]
    slips = [(add_typo(q, rng), a) for q, a in rng.sample(trained, 300)]
    everything = trained + [(q, scope.answer) for q in scope.trained]

    def others(count: int, answer: str) -> list[Pair]:
        """Choose earlier turns, none of which asks for `answer`."""
        chosen: list[Pair] = []
        while len(chosen) < count:
            pair = rng.choice(everything)
            if pair[1] != answer:
                chosen.append(pair)
        return chosen

    def long_history(answer: str) -> list[Pair]:
        """Choose earlier turns of about 1,500 tokens together."""
        history: list[Pair] = []
        tokens = 0
        while tokens < 1500:
            history += others(1, answer)
            tokens += len(tokenizer("".join(history[-1])).input_ids) + 4
        return history

    def first(name: str, bar: float, pairs: list[Pair]) -> Check:
        return Check(name, bar, [[user(q)] for q, _ in pairs], [a for _, a in pairs])

    def later(name: str, bar: float, pairs: list[Pair], turns: int) -> Check:
        chats = [after(others(turns - 1, a), q) for q, a in pairs]
        return Check(name, bar, chats, [a for _, a in pairs])

    system = {"role": "system", "content": "You answer questions in a terminal. Be brief."}
    return [
        first("trained questions", 0.98, trained),
        first("trained, lower case, no question mark", 0.97, plain),
        first("trained, one typing slip", 0.85, slips),
        later("trained, second turn", 0.97, trained, 2),
        first("held-out paraphrases", 0.90, unseen),
        later("held-out paraphrases, second turn", 0.90, unseen, 2),
        later("held-out paraphrases, fifth turn", 0.85, unseen, 5),
        Check(
            "held-out paraphrases after 1,500 tokens",
            0.80,
            [after(long_history(a), q) for q, a in unseen],
            [a for _, a in unseen],
        ),
        Check(
            "held-out paraphrases, unseen system message",
            0.85,
            [[system, user(q)] for q, _ in unseen],
            [a for _, a in unseen],
        ),
        first("out of scope, held out", 0.90, odd),
        later("out of scope, held out, second turn", 0.85, odd, 2),
        first("fresh questions (measured only)", 0.0, load_fresh(corpus)),
    ]


def run_check(
    check: Check, model: Any, tokenizer: Any, names: dict[str, str], *, show_wrong: bool
) -> Result:
    """Compare a check's conversations; `show_wrong` also decodes what came instead."""
    exact = all_exact(model, tokenizer, check.chats, check.expected)
    wrong: list[dict[str, str]] = []
    for chat, expected, right in zip(check.chats, check.expected, exact, strict=True):
        if not right:
            entry = {"question": chat[-1]["content"], "expected": names[expected]}
            if show_wrong:
                given = answer(model, tokenizer, chat)
                entry["got"] = names.get(given, given)
            wrong.append(entry)
    total = len(check.chats)
    return Result(check.name, total - len(wrong), total, check.bar, wrong)


def decoding_agrees(model: Any, tokenizer: Any, check: Check, count: int) -> bool:
    """Tell whether decoding token by token gives what the quick comparison says, on a sample."""
    places = random.Random(SEED).sample(range(len(check.chats)), count)
    chats = [check.chats[i] for i in places]
    expected = [check.expected[i] for i in places]
    decoded = [answer(model, tokenizer, chat) for chat in chats]
    exact = all_exact(model, tokenizer, chats, expected)
    return [d == e for d, e in zip(decoded, expected, strict=True)] == exact


def template_agrees(tokenizer: Any) -> bool:
    """Tell whether the chat template yields the tokens that training uses."""
    chat: Chat = [
        {"role": "system", "content": "Be brief."},
        user("What is a swarm?"),
        {"role": "assistant", "content": "A group \u2013 of peers."},
        user("Thanks"),
    ]
    ids = tokenizer.convert_tokens_to_ids
    expected = [ids(BOS)]
    for message in chat:
        body = tokenizer(message["content"], add_special_tokens=False).input_ids
        expected += [ids(ROLE_TOKENS[message["role"]]), *body, ids(EOS)]
    expected.append(ids(ROLE_TOKENS["assistant"]))
    return bool(expected == tokenizer.apply_chat_template(chat, add_generation_prompt=True))


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""
    lines = ["| check | right | share | bar | |", "|---|---|---|---|---|"]
    for r in results:
        verdict = "" if not r.bar else "passed" if r.passed else "missed"
        bar = f"{r.bar:.0%}" if r.bar else ""
        lines.append(f"| {r.name} | {r.right}/{r.total} | {r.share:.1%} | {bar} | {verdict} |")
    return "\n".join(lines)


def main() -> int:
    """Run all checks and print them; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description="Measure the demo model.")
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="folder of the model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--wrong", action="store_true", help="list the wrong answers on stderr")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    corpus = load_corpus()
    model, tokenizer = load_model(options.model)
    names = {e.answer: e.id for e in corpus.entries}
    names[corpus.out_of_scope.answer] = "out-of-scope"
    fresh = model.config.demo_corpus_sha256 == corpus.sha256
    template = template_agrees(tokenizer)
    started = time.monotonic()
    results: list[Result] = []
    checks = build_checks(corpus, tokenizer)
    for check in checks:
        result = run_check(check, model, tokenizer, names, show_wrong=options.wrong)
        results.append(result)
        print(f"{result.name}: {result.right}/{result.total}", file=sys.stderr, flush=True)
        if options.wrong:
            for w in result.wrong:
                print(
                    f"  {normalise(w['question'])!r}: {w['expected']}, but got {w['got']}",
                    file=sys.stderr,
                )
    decoding = decoding_agrees(model, tokenizer, checks[4], DECODED_SAMPLE)
    passed = fresh and template and decoding and all(r.passed for r in results)
    if options.json:
        report = {
            "passed": passed,
            "corpus_matches": fresh,
            "template_matches": template,
            "decoding_agrees": decoding,
            "seconds": round(time.monotonic() - started, 1),
            "checks": [
                {
                    "name": r.name,
                    "right": r.right,
                    "total": r.total,
                    "share": round(r.share, 4),
                    "bar": r.bar,
                    "passed": r.passed,
                    "wrong": r.wrong,
                }
                for r in results
            ],
        }
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        print(table(results))
        if not fresh:
            print("The corpus has changed since the model was trained.")
        if not template:
            print("The chat template does not match the training format.")
        if not decoding:
            print("Decoding token by token gives other answers than the quick comparison.")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
