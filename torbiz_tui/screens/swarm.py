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
from textual.widgets import Static
from textual.worker import Worker, WorkerState

from torbiz_tui.errors import TorbizError
from torbiz_tui.screens.base import as_torbiz_error
from torbiz_tui.swarm_map.monitor import STAGE_TITLES, Looking, Trouble
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
        self._stage = ""

    def compose(self) -> ComposeResult:
        """How fresh it is, the map, and what goes wrong."""
        with Vertical(id="frame") as frame:
            frame.border_title = Content(f"Swarm of {short_model(self._model)}")
            frame.border_subtitle = "↑↓ scroll, r starts anew, Esc closes"
            yield Static(id="age", markup=False)
            yield SwarmMap()
            yield Static(id="trouble", markup=False)

    def on_mount(self) -> None:
        """Begin to watch."""
        self.query_one(SwarmMap).focus()
        self._say_age()
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
                    self._say_trouble(event.error)
                else:
                    assert isinstance(event, Looking)
                    self._stage = STAGE_TITLES[event.stage]
                    self._say_age()

    def _show(self, snapshot: Snapshot) -> None:
        own = peers_of(self._services.sharing.state.addresses)
        self._looked_at, self._stage = snapshot.looked_at, ""
        self.query_one("#trouble", Static).update("")
        self.query_one(SwarmMap).show(snapshot.marked(own))
        self._say_age()

    def _say_age(self) -> None:
        said = f"{self._stage}…" if self._stage else ""
        if self._looked_at is not None:
            age = whole_seconds(max(0.0, time.time() - self._looked_at))
            said = f"As it was {age} ago. {said}"
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
        self._stage = ""
        self._watch()

    def action_close_map(self) -> None:
        """Back to where it was opened."""
        self.dismiss(None)
