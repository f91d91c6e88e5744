"""Long texts in a field: a short mark stands for each, so that typing stays fast."""

from __future__ import annotations

import re

# A text field wraps the whole of a changed line: about 3 ms for 1,000 characters.
LONGEST_LINE = 4000
LONGEST_PASTE = 20_000
_MARK = re.compile(r"\[long text (\d+): [\d,]+ characters\]")


class Folds:
    """The texts that stand folded; marks that were typed by hand stay what they are."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def fold_paste(self, text: str, *, beside: int = 0) -> str:
        """The text, or a mark for it; `beside` is the length of the line that it goes into."""
        longest = max(map(len, text.split("\n"))) + beside
        if len(text) <= LONGEST_PASTE and longest <= LONGEST_LINE:
            return text
        return self._mark(text)

    def fold(self, text: str) -> str:
        """The text with marks for what was folded in it before, and for lines that are too long."""
        if len(text) <= LONGEST_LINE:
            return text
        folded = text
        for known in sorted(self._texts, key=len, reverse=True):
            folded = folded.replace(known, self._mark(known))
        # One mark stands for no other.
        lines = [
            self._mark(self.unfold(line)) if len(line) > LONGEST_LINE else line
            for line in folded.split("\n")
        ]
        folded = "\n".join(lines)
        return folded if len(folded) <= LONGEST_PASTE else self._mark(text)

    def unfold(self, text: str) -> str:
        """The text with all that its marks stand for."""
        return _MARK.sub(self._meant, text)

    def ends_with_fold(self, text: str) -> int:
        """The length of the mark at the end of the text; 0 when there is none."""
        start = text.rfind("[long text ")
        match = _MARK.fullmatch(text, start) if start >= 0 else None
        return len(match[0]) if match is not None and self._meant(match) != match[0] else 0

    def _mark(self, text: str) -> str:
        if text not in self._texts:
            self._texts.append(text)
        return f"[long text {self._texts.index(text) + 1}: {len(text):,} characters]"

    def _meant(self, match: re.Match[str]) -> str:
        number = int(match[1])
        known = self._texts[number - 1] if 0 < number <= len(self._texts) else None
        return known if known is not None and self._mark(known) == match[0] else match[0]
