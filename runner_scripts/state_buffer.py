"""What a server was sent in a session, kept so that another one can take over."""

from __future__ import annotations

from typing import Any

_FIRST_CAPACITY = 256


class StateBuffer:
    """Hidden states of consecutive tokens, [1, tokens, width].

    Its room doubles when it is full, so that a token costs the same at any length.
    """

    def __init__(self) -> None:
        self._room: Any = None
        self.length = 0

    def extend(self, states: Any, first: int) -> None:
        """Take the states of the tokens from `first` on; those held already are skipped.

        Raises ValueError when tokens between the held ones and `first` are missing.
        """
        if first > self.length:
            raise ValueError(f"states of tokens {self.length} to {first} are missing")
        new = states[:, self.length - first :]
        end = self.length + new.shape[1]
        if self._room is None or end > self._room.shape[1]:
            self._grow(new, max(end, 2 * self.length, _FIRST_CAPACITY))
        self._room[:, self.length : end] = new
        self.length = end

    def since(self, first: int) -> Any:
        """Return the states from token `first` on, without a copy."""
        return self._room[:, first : self.length]

    def cut(self, length: int) -> None:
        """Forget the tokens after the first `length`."""
        self.length = min(self.length, length)

    def _grow(self, like: Any, capacity: int) -> None:
        room = like.new_empty((like.shape[0], capacity, like.shape[2]))
        if self.length:
            room[:, : self.length] = self._room[:, : self.length]
        self._room = room
