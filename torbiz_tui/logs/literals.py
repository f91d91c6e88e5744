"""Finding texts in bytes as fast as that goes."""

from __future__ import annotations

from collections.abc import Iterator

_SAMPLE = 256 * 1024
# So many places of one byte in a sample make looking at each slower than a plain search.
_OFTEN = 80


class Literal:
    """Finds the rarest of some texts, and that by its rarest byte where that is rare.

    The C library's memchr, which looks for a byte, is many times faster than a search for a text.
    """

    def __init__(self, needles: list[bytes], folded: bool) -> None:
        self._needles = [needle.lower() for needle in needles] if folded else needles
        self._needle = self._needles[0]
        self._folded = folded and any(needle.lower() != needle.upper() for needle in needles)
        self._anchor: tuple[int, tuple[bytes, ...]] | None = None
        self._tuned = False

    def positions(self, data: bytearray, end: int) -> Iterator[int]:
        """Where it stands in `data[:end]`, once a line."""
        if not self._tuned and end:
            self._tune(data, min(end, _SAMPLE))
        at = 0
        if self._anchor is None:
            text = bytes(data[:end]).lower() if self._folded else data
            while (at := text.find(self._needle, at, end)) != -1:
                yield at
                at = _next_line(data, at, end)
            return
        yield from self._by_anchor(data, end)

    def _by_anchor(self, data: bytearray, end: int) -> Iterator[int]:
        assert self._anchor is not None
        inside, forms = self._anchor
        size = len(self._needle)
        next_at = [data.find(form, inside, end) for form in forms]
        line = looked_at = 0
        while True:
            at = min((one for one in next_at if one != -1), default=-1)
            if at == -1:
                # Where it has become frequent another byte may be rarer now.
                self._tuned = looked_at < 2 * _OFTEN
                return
            looked_at += 1
            start = at - inside
            if start >= line and start + size <= end:
                piece = bytes(data[start : start + size])
                if (piece.lower() if self._folded else piece) == self._needle:
                    yield start
                    line = _next_line(data, start, end)
            onward = max(at + 1, line + inside)
            next_at = [
                one if one == -1 or one >= onward else data.find(form, onward, end)
                for one, form in zip(next_at, forms, strict=True)
            ]

    def _tune(self, data: bytearray, end: int) -> None:
        self._tuned = True
        sample = bytes(data[:end]).lower() if self._folded else bytes(data[:end])
        # Of those that are as rare the longest.
        self._needle = min(self._needles, key=lambda one: (sample.count(one), -len(one)))
        best, self._anchor = _OFTEN * end // _SAMPLE + 1, None
        for inside in range(len(self._needle)):
            form = self._needle[inside : inside + 1]
            both = {form, form.upper()} if self._folded else {form}
            count = sum(data.count(one, 0, end) for one in both)
            if count < best:
                best, self._anchor = count, (inside, tuple(sorted(both)))


def _next_line(data: bytearray, at: int, end: int) -> int:
    stop = data.find(b"\n", at, end)
    return end if stop == -1 else stop + 1
