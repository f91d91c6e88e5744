"""Keys one after another, however fast they come."""

from __future__ import annotations

from collections import deque
from typing import Any

from textual import events, on
from textual.app import App
from textual.message import Message
from textual.timer import Timer

_PATIENCE_S = 1.0


class _Passed(Message):
    """Goes the way of a key behind it, and tells the app that nothing of the key is left."""

    def __init__(self, turn: int) -> None:
        super().__init__()
        self.turn = turn


class OrderedKeys(App[None]):
    """An app where a key takes effect before the next one is looked at.

    Textual gives each key to the widget that has the focus, and does what a binding says only when
    the key has bubbled up to the app: of keys that come at once, as over a slow connection or when
    something is pasted, text behind a key that goes elsewhere (Ctrl+N, `/`) reached the old place.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._typed: deque[events.Key | events.Paste] = deque()
        self._turn = 0
        self._waiting_for: int | None = None
        self._patience: Timer | None = None

    async def on_event(self, event: events.Event) -> None:
        """Keep what is typed while an earlier key is on its way."""
        if not isinstance(event, (events.Key, events.Paste)) or event.is_forwarded:
            await super().on_event(event)
        elif self._waiting_for is None:
            await self._give(event)
        else:
            self._typed.append(event)

    async def _give(self, event: events.Key | events.Paste) -> None:
        self._turn += 1
        turn = self._waiting_for = self._turn
        # A widget that is busy or gone must not keep the keys for ever.
        # Where the app itself was busy, the focus that the key asked for waits to be set as well.
        self._patience = self.set_timer(_PATIENCE_S, lambda: self.call_later(self._next, turn))
        target = self.focused or self.screen
        try:
            await super().on_event(event)
        finally:
            if not event.is_forwarded or not target.post_message(_Passed(turn)):
                self.call_later(self._next, turn)

    @on(_Passed)
    def _passed(self, passed: _Passed) -> None:
        """A new focus that the key asked for is waiting to be set: go behind it."""
        self.call_later(self._next, passed.turn)

    async def _next(self, turn: int) -> None:
        if turn != self._waiting_for:
            return
        self._waiting_for = None
        if self._patience is not None:
            self._patience.stop()
        if self._typed:
            await self._give(self._typed.popleft())
