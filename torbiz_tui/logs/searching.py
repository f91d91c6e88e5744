"""Finding a text in the lines that are shown, at any size."""

from __future__ import annotations

import threading
from collections.abc import Callable

from torbiz_tui.logs.log_file import RawLine
from torbiz_tui.logs.views import LineView


class Query:
    """What is looked for: a text or a regular expression, by bytes and within one line.

    Case matters only if the query has a capital letter (a regular expression: outside of its
    escapes). Raises TorbizError (code `bad_pattern`) when the regular expression is none.
    """

    def __init__(self, text: str, *, regex: bool = False) -> None:
        self.text = text
        self.regex = regex

    def spans(self, shown: str) -> list[tuple[int, int]]:
        """Where it stands in a line as it is shown, for marking it."""
        raise NotImplementedError

    def matches(self, data: bytes) -> bool:
        """Whether it stands in a line."""
        raise NotImplementedError


class Search:
    """The lines of a view that match a query.

    `find` blocks: call it in a thread. The count runs in a thread of its own and is right again
    soon after the view grew.
    """

    def __init__(
        self, view: LineView, query: Query, on_change: Callable[[], None] | None = None
    ) -> None:
        self.view = view
        self.query = query

    @property
    def matches(self) -> int:
        """How many matching lines were counted so far."""
        raise NotImplementedError

    @property
    def complete(self) -> bool:
        """Whether all lines were counted."""
        raise NotImplementedError

    @property
    def progress(self) -> float:
        """How much was looked at, 0 to 1."""
        raise NotImplementedError

    def start_count(self) -> None:
        """Count in the background, from the end backwards."""
        raise NotImplementedError

    def find(
        self, start: RawLine | None, direction: int, stop: threading.Event | None = None
    ) -> RawLine | None:
        """The next matching line below (1) or above (-1) `start`, not going around the ends.

        None as `start` is the beginning or the end. None is returned when there is none, or when
        `stop` was set.
        """
        raise NotImplementedError

    def rank(self, line: RawLine) -> int | None:
        """The how manieth match a line is, from 1; None as long as that is not counted."""
        raise NotImplementedError

    def close(self) -> None:
        """End what runs in the background."""
        raise NotImplementedError
