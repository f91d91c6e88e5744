"""Turns tokens into text as they come, in time linear in their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]

_CONTEXT_TOKENS = 4
_WINDOW_TOKENS = 16
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# A character of UTF-8 lacks at most three bytes, and a byte-fallback decoder shows each as one
# replacement character. A longer run is not a beginning but garbage, which is shown as it is.
_MAX_HELD_BACK = 3


class TextAssembler:
    """Decodes a growing token sequence piece by piece.

    Only a sliding window is decoded each time, with a few tokens of context, since decoders treat
    the first token of a text specially. An incomplete character and a possible beginning of a
    stop string are held back until the next token.
    """

    def __init__(self, decode: Decode, stop_strings: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stop_strings = tuple(stop_strings)
        self._window: list[int] = []
        self._shown_in_window = 0
        self._tail = ""  # decoded, but perhaps the beginning of a stop string
        self._incomplete = False
        self.stopped = False

    def add(self, token: int) -> str:
        """Take the next token and return the text that can be shown now."""
        self._window.append(token)
        text = self._decode(self._window)
        complete = text[: len(text) - _held_back(text)]
        new = complete[self._shown_in_window :]
        self._shown_in_window = max(self._shown_in_window, len(complete))
        self._incomplete = len(complete) < len(text)
        too_long = len(self._window) > 4 * _WINDOW_TOKENS
        if (len(self._window) > _WINDOW_TOKENS and not self._incomplete) or too_long:
            self._window = self._window[-_CONTEXT_TOKENS:]
            self._shown_in_window = len(self._decode(self._window))
        return self._up_to_stop_string(new)

    def finish(self) -> str:
        """Return what was held back for a stop string that did not come."""
        tail, self._tail = self._tail, ""
        return tail

    @property
    def is_complete(self) -> bool:
        """Whether no incomplete character is held back."""
        return not self._incomplete

    def _up_to_stop_string(self, new: str) -> str:
        if self.stopped:
            return ""
        text = self._tail + new
        positions = [at for stop in self._stop_strings if (at := text.find(stop)) >= 0]
        if positions:
            self.stopped, self._tail = True, ""
            return text[: min(positions)]
        keep = max((_overlap(text, stop) for stop in self._stop_strings), default=0)
        self._tail = text[len(text) - keep :]
        return text[: len(text) - keep]


def _held_back(text: str) -> int:
    run = len(text) - len(text.rstrip(_REPLACEMENT))
    return min(run, _MAX_HELD_BACK)


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    return next(
        (
            size
            for size in range(min(len(stop) - 1, len(text)), 0, -1)
            if stop.startswith(text[-size:])
        ),
        0,
    )
