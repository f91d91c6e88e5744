"""Which swarm is shared in: the choice of it in the form of Share, and how a private one is joined."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Select

from torbiz_tui.sharing.draft import (
    JOIN,
    NEW,
    PUBLIC,
    ShareDraft,
    draft_of,
    in_swarm,
    models_of_swarm,
)
from torbiz_tui.widgets.field import Field

if TYPE_CHECKING:
    from torbiz_tui.private_swarms.known import KnownSwarm
    from torbiz_tui.sharing.request import ShareRequest


class SwarmChoice(Vertical):
    """The swarms to choose from, and below them the address of one that is joined by it."""

    DEFAULT_CSS = """
    SwarmChoice { height: auto; }
    SwarmChoice #field-peers { display: none; }
    SwarmChoice #field-peers.-chosen { display: block; }
    """

    def __init__(self, request: ShareRequest) -> None:
        super().__init__(id="swarm-choice")
        self._base = request
        self._seen = ""
        self.known: dict[str, KnownSwarm] = {}

    def compose(self) -> Iterator[Widget]:
        """The choice, then the address."""
        draft = draft_of(self._base, {})
        yield Field(
            "swarm",
            "Swarm",
            Select(self._options(), value=draft.swarm, allow_blank=False, id="swarm", compact=True),
        )
        yield Field(
            "peers",
            "Address",
            Input(
                draft.peers,
                placeholder="an invite code, or /ip4/…/tcp/…/p2p/…",
                id="peers",
                compact=True,
            ),
        )

    @property
    def value(self) -> str:
        """The choice: `new`, `join`, `public`, or a known swarm."""
        value = self.query_one("#swarm", Select).value
        return value if isinstance(value, str) else ""

    @property
    def joining(self) -> bool:
        """Whether one is joined by its address."""
        return self.value == JOIN

    def choose(self, swarm: str) -> None:
        """Choose `new`, `join` or `public`."""
        self.query_one("#swarm", Select).value = swarm

    def fill(self, request: ShareRequest) -> None:
        """Choose what a request says."""
        self._base = request
        self._offer(draft_of(request, self.known).swarm)

    def set_swarms(self, swarms: Sequence[KnownSwarm]) -> None:
        """Offer these known swarms; what was chosen stays chosen."""
        chosen = self.value
        before = draft_of(self._base, self.known).swarm
        self.known = {swarm.name: swarm for swarm in swarms}
        now = draft_of(self._base, self.known).swarm
        self._offer(now if chosen == before else chosen)

    @property
    def chosen(self) -> KnownSwarm | None:
        """The known swarm that is chosen."""
        return self.known.get(self._draft().known_swarm)

    @property
    def models(self) -> list[str]:
        """The models that the swarm is known to hold, by the names that choose them here."""
        return [model.name for model in models_of_swarm(self._draft(), self.known)]

    def revision_of(self, model: str) -> str:
        """The revision of a model that the swarm is known to serve; empty for main."""
        named = models_of_swarm(self._draft(), self.known)
        return next((one.revision for one in named if one.name == model), "")

    def take_choice(self) -> bool:
        """Whether another swarm is meant than when this was asked last."""
        self.query_one("#field-peers").set_class(self.joining, "-chosen")
        before, self._seen = self._seen, self._meant()
        return before not in ("", self._seen)

    def _options(self) -> list[tuple[str, str]]:
        options = [
            ("a new private swarm", NEW),
            ("join a private swarm by address or invite code", JOIN),
            ("the public swarm", PUBLIC),
        ]
        for swarm in self.known.values():
            seen = time.strftime("%Y-%m-%d", time.localtime(swarm.last_seen))
            options.append((f"{swarm.name}, last seen {seen}", in_swarm(swarm.name)))
        return options

    def _offer(self, chosen: str) -> None:
        select: Select[str] = self.query_one("#swarm", Select)
        options = self._options()
        with self.prevent(Select.Changed):
            select.set_options(options)
            select.value = chosen if chosen in [value for _, value in options] else NEW
        self._seen = self._meant()

    def _draft(self) -> ShareDraft:
        return ShareDraft("", swarm=self.value, peers=self.query_one("#peers", Input).value)

    def _meant(self) -> str:
        draft = self._draft()
        return f"{draft.swarm} {draft.peers.strip()}" if draft.swarm == JOIN else draft.swarm
