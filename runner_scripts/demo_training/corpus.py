"""The questions and answers that the demo model is trained on.

The data lies in the YAML files of `corpus/`. This module reads them, splits trained questions from
held-out ones and computes the hash by which a changed corpus without a retrained model is noticed.
It needs nothing but PyYAML, so that the tests of the corpus run without torch.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
CORPUS_DIR = HERE / "corpus"
MODEL_DIR = HERE.parent / "demo_model"
OUT_OF_SCOPE_FILE = "out_of_scope.yaml"
FRESH_FILE = HERE / "fresh_questions.yaml"


@dataclass(frozen=True)
class Entry:
    """One answer with the questions that lead to it."""

    id: str
    answer: str
    trained: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class OutOfScope:
    """The questions that get the one honest answer, and templates that make more of them."""

    answer: str
    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    templates: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Corpus:
    """All that the demo model is trained and measured on."""

    entries: tuple[Entry, ...]
    out_of_scope: OutOfScope
    sha256: str

    def trained_pairs(self) -> list[tuple[str, str]]:
        """Return every trained question with its answer, out-of-scope ones left out."""
        return [(q, e.answer) for e in self.entries for q in e.trained]

    def held_out_pairs(self) -> list[tuple[str, str]]:
        """Return every held-out paraphrase with its answer, out-of-scope ones left out."""
        return [(q, e.answer) for e in self.entries for q in e.held_out]

    def held_out_forms(self) -> frozenset[str]:
        """Return the normalised form of everything held out, which training must never meet."""
        questions = [q for q, _ in self.held_out_pairs()] + list(self.out_of_scope.held_out)
        return frozenset(normalise(q) for q in questions)


def normalise(question: str) -> str:
    """Reduce a question to its words: no case, punctuation, accents or repeated blanks.

    A question of signs only, such as `???`, keeps them.
    """
    plain = unicodedata.normalize("NFKD", question.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    words = re.sub(r"[^\w]+", " ", plain).strip()
    return words or question.strip()


def load_corpus(folder: Path = CORPUS_DIR) -> Corpus:
    """Read all files of the corpus.

    Raises ValueError for an entry without an id, an answer or questions, or with a used id.
    """
    raw: dict[str, Any] = {}
    for path in sorted(folder.glob("*.yaml")):
        raw[path.name] = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries: list[Entry] = []
    for name, items in raw.items():
        if name != OUT_OF_SCOPE_FILE:
            entries.extend(_entry(name, item) for item in items)
    ids = [e.id for e in entries]
    if repeated := {i for i in ids if ids.count(i) > 1}:
        raise ValueError(f"ids used more than once: {sorted(repeated)}")
    # The hash is over the data and not the bytes: line endings and comments do not change it.
    canonical = json.dumps(raw, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return Corpus(
        entries=tuple(entries),
        out_of_scope=_out_of_scope(raw[OUT_OF_SCOPE_FILE]),
        sha256=hashlib.sha256(canonical.encode("utf-8")).hexdigest(),
    )


def load_fresh(corpus: Corpus) -> list[tuple[str, str]]:
    """Read the questions that are only measured, with their answers.

    They are no part of the corpus and its hash: more may be added without training again.
    """
    answers = {entry.id: entry.answer for entry in corpus.entries}
    answers["out-of-scope"] = corpus.out_of_scope.answer
    raw = yaml.safe_load(FRESH_FILE.read_text(encoding="utf-8"))
    return [(q, answers[id_]) for id_, text in raw.items() for q in _lines(text)]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _entry(file: str, item: dict[str, Any]) -> Entry:
    try:
        entry = Entry(
            id=str(item["id"]),
            answer=str(item["answer"]).strip(),
            trained=_lines(item["trained"]),
            held_out=_lines(item["held_out"]),
        )
    except KeyError as error:
        raise ValueError(f"{file}: an entry lacks {error}: {item}") from error
    if not (entry.answer and entry.trained and entry.held_out):
        raise ValueError(f"{file}: {entry.id} lacks an answer or questions")
    return entry


def _out_of_scope(item: dict[str, Any]) -> OutOfScope:
    return OutOfScope(
        answer=str(item["answer"]).strip(),
        trained=_lines(item["trained"]),
        held_out=_lines(item["held_out"]),
        templates=_lines(item["templates"]),
        slots={k: tuple(str(v).split("|")) for k, v in item["slots"].items()},
    )
