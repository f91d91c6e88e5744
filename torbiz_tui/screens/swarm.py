"""The map of a swarm, live: block by block, who serves a model."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static
from textual.worker import Worker, WorkerState

from torbiz_tui.errors import TorbizError
from torbiz_tui.screens.base import as_torbiz_error
from torbiz_tui.swarm_map.monitor import STAGE_TITLES, Looking, Trouble, looking_for
from torbiz_tui.swarm_map.snapshot import Snapshot, peers_of
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.durations import whole_seconds
from torbiz_tui.widgets.model_name import short_model
from torbiz_tui.widgets.notice import error_content
from torbiz_tui.widgets.swarm_map import SwarmMap

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.swarm_map.monitor import SwarmMonitor

_TICK_S = 1.0
# A look that comes soon needs no counting.
_SAID_AFTER_S = 2.0
_BEGINNING = "Finding out whom to ask"


class SwarmScreen(ModalScreen[None]):
    """Watches the swarm of one model for as long as it is open."""

    BINDINGS = [*keys.SWARM]
    CSS_PATH = "swarm.tcss"

    def __init__(self, services: Services, model: str, monitor: SwarmMonitor | None = None) -> None:
        super().__init__()
        self._services = services
        self._monitor = monitor
        self._model = model
        self._looked_at: float | None = None
        self._where = ""
        self._stage = ""
        self._since = 0.0

    def compose(self) -> ComposeResult:
        """How fresh it is, the map, and what goes wrong."""
        with Vertical(id="frame") as frame:
            frame.border_title = Content(f"Swarm of {short_model(self._model)}")
            frame.border_subtitle = "↑↓ scroll, t table, s sort, / find, r starts anew, Esc closes"
            yield Static(id="age", markup=False)
            yield Input(id="find", placeholder="a block, or a part of a name, identity, state …")
            yield SwarmMap()
            yield Static(id="trouble", markup=False)

    def on_mount(self) -> None:
        """Begin to watch."""
        self.query_one(SwarmMap).focus()
        self._begin_looking()
        self.set_interval(_TICK_S, self._say_age)
        self._watch()

    @work(group="watch", exclusive=True, exit_on_error=False)
    async def _watch(self) -> None:
        if not self._model:
            raise TorbizError("Choose a model first: its swarm is shown here.", code="no_model")
        monitor = self._monitor or self._services.swarm_monitor
        async with aclosing(monitor.watch(self._model)) as events:
            async for event in events:
                if isinstance(event, Snapshot):
                    self._show(event)
                elif isinstance(event, Trouble):
                    self._stage = ""
                    self.query_one(SwarmMap).grow_stale()
                    self._say_trouble(event.error)
                else:
                    assert isinstance(event, Looking)
                    self._follow(event)

    def _follow(self, event: Looking) -> None:
        """Tell how far the monitor is, above how the swarm was before."""
        if not self._stage:
            self._since = time.monotonic()
        self._stage = STAGE_TITLES[event.stage]
        self._where = event.where
        if self._looked_at is None and event.last is not None:
            self._show_map(event.last, stale=True)
        self._say_age()

    def _show(self, snapshot: Snapshot) -> None:
        self._stage = ""
        self.query_one("#trouble", Static).update("")
        self._show_map(snapshot)
        self._say_age()

    def _show_map(self, snapshot: Snapshot, *, stale: bool = False) -> None:
        own = peers_of(self._services.sharing.state.addresses)
        self._looked_at = snapshot.looked_at
        self.query_one(SwarmMap).show(snapshot.marked(own), stale=stale)

    def _begin_looking(self) -> None:
        """What is done is said before anything is known."""
        self._since = time.monotonic()
        self._stage = _BEGINNING
        self._say_age()

    def _say_age(self) -> None:
        said = ""
        if self._stage:
            waited = time.monotonic() - self._since
            said = f"{self._stage}…"
            if waited >= _SAID_AFTER_S:
                said = f"{self._stage}… {whole_seconds(waited)}"
        if self._looked_at is not None:
            age = whole_seconds(max(0.0, time.time() - self._looked_at))
            said = f"As it was {age} ago. {said}"
        elif self._stage and self._model:
            said = f"{looking_for(short_model(self._model), self._where)}.\n{said}"
        self.query_one("#age", Static).update(said)

    def _say_trouble(self, error: BaseException) -> None:
        self.query_one("#trouble", Static).update(error_content(as_torbiz_error(error)))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A worker that failed is heard of here."""
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            self._stage = ""
            self._say_age()
            self._say_trouble(event.worker.error)

    def action_look(self) -> None:
        """Start the monitor anew."""
        self._begin_looking()
        self._watch()

    def action_find(self) -> None:
        """Ask what is to be found."""
        find = self.query_one("#find", Input)
        find.display = True
        find.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The table follows what is typed."""
        self.query_one(SwarmMap).find(event.value)

    def on_input_submitted(self) -> None:
        """Read what was found."""
        self.query_one("#find", Input).display = bool(self.query_one("#find", Input).value.strip())
        self.query_one(SwarmMap).focus()

    def on_swarm_map_sorted(self, event: SwarmMap.Sorted) -> None:
        """Say by what the table is sorted."""
        frame = self.query_one("#frame", Vertical)
        frame.border_subtitle = f"sorted by {event.order}; s sorts by something else, Esc closes"

    def action_close_map(self) -> None:
        """End the search, or back to where it was opened."""
        find = self.query_one("#find", Input)
        if not find.display:
            self.dismiss(None)
            return
        find.value = ""
        find.display = False
        self.query_one(SwarmMap).focus()
