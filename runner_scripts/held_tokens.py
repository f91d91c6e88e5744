"""How much of a new prompt a session already holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from chat_prompt import EncodedPrompt

# A few tokens of a common beginning are not worth going back for.
MIN_KEPT = 8


@dataclass(frozen=True)
class Continuation:
    """Keep the session's first `keep` tokens and send `rest` after them."""

    keep: int
    rest: list[int]


@dataclass
class HeldText:
    """What a session's tokens say, as the person saw it.

    Models write a text with other tokens than the tokenizer would. At `marks`, (characters,
    tokens), the text ends where a token ends: there it can be compared in place of the tokens.
    """

    text: str = ""
    marks: list[tuple[int, int]] = field(default_factory=list)

    def continuation(self, held: list[int], prompt: EncodedPrompt, most: int) -> Continuation:
        """Return how to go on to `prompt` with at most `most` tokens in all."""
        keep = _common(held, prompt.ids)
        best = Continuation(keep, prompt.ids[keep:])
        for characters, tokens in reversed(self.marks):
            if tokens <= keep:
                break
            index = prompt.index_at(characters)
            if index is None or not prompt.text.startswith(self.text[:characters]):
                continue
            rest = prompt.ids[index:]
            # The model's own tokens may be more than the tokenizer's.
            if tokens + len(rest) < most:
                best = Continuation(tokens, rest)
                break
        return best if best.keep >= MIN_KEPT else Continuation(0, prompt.ids)

    def keep(self, tokens: int) -> None:
        """Forget what comes after the first `tokens` tokens."""
        self.marks = [mark for mark in self.marks if mark[1] <= tokens]
        self.text = self.text[: self.marks[-1][0]] if self.marks else ""

    def add(self, text: str, tokens: int) -> None:
        """Note that the session's `tokens` tokens say `text`, all of it."""
        self.text = text
        self.marks.append((len(text), tokens))


def _common(held: list[int], new: list[int]) -> int:
    length = min(len(held), len(new))
    if held[:length] == new[:length]:
        return length
    return next(index for index in range(length) if held[index] != new[index])
