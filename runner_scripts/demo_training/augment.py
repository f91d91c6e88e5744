"""Variations of a question: other openings, other case, lost words and slips of the keyboard.

A person never types a question exactly as it stands in the corpus, so the model meets each one in
many forms. A form that equals a held-out question is never given out.
"""

from __future__ import annotations

import random
import re

from corpus import Corpus, OutOfScope, normalise

# What people write before and after a question. `{q}` is the question with a small first letter
# where that is safe, `{Q}` the question as it is.
_FRAMES = (
    "Please tell me: {q}",
    "Tell me: {q}",
    "Hi, {q}",
    "Hello, {q}",
    "Hey, {q}",
    "Sorry, {q}",
    "So, {q}",
    "And {q}",
    "OK, {q}",
    "One more question: {q}",
    "Quick question: {q}",
    "I have a question: {q}",
    "I wonder: {q}",
    "I would like to know: {q}",
    "Do you know: {q}",
    "{Q} Please explain.",
    "{Q} Thanks",
    "{Q} Please help.",
    "{Q} I am new here.",
    "Please, {q}",
)
_GREETING_WORDS = frozenset(
    ("hello", "hi", "hey", "howdy", "good", "bye", "thanks", "thank", "ciao")
)

# Openings of the same meaning; any of a group may stand for any other.
_OPENINGS: tuple[tuple[str, ...], ...] = (
    ("How do I", "How can I", "How would I", "How could I", "How does one", "How do you", "How to"),
    ("What is", "What's", "Tell me what is", "What exactly is", "Can you explain", "Explain"),
    ("What are", "Tell me about", "Explain", "What exactly are"),
    ("What does", "And what does", "Tell me what does", "What exactly does"),
    ("What happens", "What will happen", "Tell me what happens"),
    ("Where is", "Where's", "Where do I find", "Where can I find", "In which place is"),
    ("Where are", "Where do I find", "Where can I find"),
    ("Which", "What"),
    ("What", "Which"),
    ("Can I", "Could I", "May I", "Is it possible to", "Am I able to"),
    ("Do I need", "Do I have to have", "Is it necessary to have", "Must I have"),
    ("Explain", "Please explain", "Can you explain", "Could you explain", "Describe"),
    ("How much", "About how much", "Roughly how much"),
    ("How many", "About how many"),
    ("Why is", "Why's", "For what reason is", "How come"),
    ("Why does", "Why do", "For what reason does"),
    ("List", "Show me", "Tell me", "Give me"),
    ("Is there", "Do you have", "Is there something like", "Are there"),
    ("I get", "I see", "It says", "There is"),
)
_SYNONYMS: dict[str, tuple[str, ...]] = {
    "machine": ("computer", "PC"),
    "computer": ("machine", "PC"),
    "Mac": ("MacBook", "macOS"),
    "macOS": ("a Mac", "Mac OS"),
    "app": ("program", "application", "tool"),
    "program": ("app", "application"),
    "see": ("view", "find out", "look up"),
    "show": ("display", "print"),
    "needed": ("required", "necessary"),
    "required": ("needed", "necessary"),
    "remove": ("delete", "get rid of"),
    "delete": ("remove", "erase"),
    "choose": ("pick", "select"),
    "create": ("make", "set up"),
    "command": ("subcommand", "cmd"),
    "big": ("large",),
    "large": ("big",),
    "use": ("work with",),
    "mean": ("stand for",),
    "error": ("message",),
    "folder": ("directory",),
    "message": ("error",),
    "begin": ("start",),
    "fix": ("solve", "repair"),
    "check": ("test", "verify"),
    "change": ("set", "modify"),
    "open": ("bring up",),
    "find": ("see", "locate"),
    "answer": ("reply", "response"),
    "answers": ("replies", "responses"),
    "questions": ("things",),
    "conversation": ("chat",),
    "friend": ("colleague",),
    "others": ("other people", "somebody else"),
    "GPU": ("graphics card", "video card"),
    "fails": ("does not work",),
    "key": ("shortcut",),
    "stored": ("kept", "saved"),
    "safe": ("secure",),
    "quit": ("leave", "exit"),
    "install": ("set up",),
    "mistakes": ("errors",),
}
_DROPPABLE = frozenset(
    ("a", "an", "the", "do", "i", "is", "of", "to", "my", "are", "does", "this", "in", "for")
)
_NEIGHBOURS = {
    row[i]: row[max(0, i - 1)] + row[min(len(row) - 1, i + 1)]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for i in range(len(row))
}
_MANY_TRIES = 5


class Augmenter:
    """Makes random forms of questions, without ever making a held-out one."""

    def __init__(self, corpus: Corpus, rng: random.Random) -> None:
        self._rng = rng
        self._held_out = corpus.held_out_forms()
        self._answers = {normalise(q): answer for q, answer in corpus.trained_pairs()}

    def vary(self, question: str, answer: str) -> str:
        """Return a form of `question` that still asks for `answer`, often the question itself."""
        for _ in range(_MANY_TRIES):
            form = self._vary_once(question)
            key = normalise(form)
            if key not in self._held_out and self._answers.get(key, answer) == answer:
                return form
        return question

    def fill_template(self, scope: OutOfScope) -> str:
        """Return an out-of-scope question made from a template that is not a held-out one."""
        while True:
            template = self._rng.choice(scope.templates)
            question = re.sub(
                r"\{(\w+)\}", lambda match: self._rng.choice(scope.slots[match[1]]), template
            )
            if normalise(question) not in self._held_out:
                return question

    def _vary_once(self, question: str) -> str:
        rng = self._rng
        if rng.random() < 0.3:
            return question
        text = question
        if rng.random() < 0.35:
            text = self._other_opening(text)
        if rng.random() < 0.35:
            text = self._synonym(text)
        if rng.random() < 0.12:
            text = self._drop_word(text)
        if rng.random() < 0.15:
            text = self._frame(text)
        if rng.random() < 0.28:
            text = add_typo(text, rng)
            if len(text) > 30 and rng.random() < 0.4:
                text = add_typo(text, rng)
        return self._case_and_end(text)

    def _other_opening(self, text: str) -> str:
        groups = [
            (opening, group)
            for group in _OPENINGS
            for opening in group[:1]
            if text.startswith(opening + " ")
        ]
        if not groups:
            return text
        opening, group = self._rng.choice(groups)
        return self._rng.choice(group) + text[len(opening) :]

    def _synonym(self, text: str) -> str:
        words = text.split(" ")
        places = [i for i, word in enumerate(words) if word.strip("?.,!") in _SYNONYMS]
        if not places:
            return text
        place = self._rng.choice(places)
        bare = words[place].strip("?.,!")
        words[place] = words[place].replace(bare, self._rng.choice(_SYNONYMS[bare]))
        return " ".join(words)

    def _drop_word(self, text: str) -> str:
        words = text.split(" ")
        places = [i for i, word in enumerate(words) if word.lower() in _DROPPABLE]
        if len(words) < 4 or not places:
            return text
        del words[self._rng.choice(places)]
        return " ".join(words)

    def _frame(self, text: str) -> str:
        first = text.split(" ")[0]
        if first.lower().strip(",!") in _GREETING_WORDS:
            return text
        # "What" may become "what", but "Docker" and "NAT" stay as they are.
        small = text[0].lower() + text[1:] if first.isalpha() and first.istitle() else text
        return self._rng.choice(_FRAMES).format(q=small, Q=text)

    def _case_and_end(self, text: str) -> str:
        rng = self._rng
        chance = rng.random()
        if chance < 0.35:
            text = text.lower()
        elif chance < 0.38:
            text = text.upper()
        elif chance < 0.45:
            text = text[0].lower() + text[1:]
        chance = rng.random()
        if chance < 0.4:
            text = text.rstrip("?.! ") or text
        elif chance < 0.43:
            text = (text.rstrip("?.! ") or text) + rng.choice(("??", " ?", ".", "!", "?!"))
        return text


def add_typo(text: str, rng: random.Random) -> str:
    """Return `text` with one slip: two letters swapped, one lost, doubled or a neighbouring key.

    Digits stay, since `exit code 4` with a slip asks for another answer, and so do short words.
    """
    words = list(re.finditer(r"[A-Za-z]{4,}", text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end())
    kind = rng.randrange(4)
    if kind == 0 and at + 1 < word.end():
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2:
        near = rng.choice(_NEIGHBOURS[text[at].lower()])
        return text[:at] + near + text[at + 1 :]
    return text[:at] + text[at + 1 :]
