"""What the four screens have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult, SystemCommand
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.writing import logger
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.header import HeaderBar
from torbiz_tui.widgets.key_footer import KeyFooter
from torbiz_tui.widgets.notice import Notice

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.sharing.state import SharingState
    from torbiz_tui.troubleshooting.symptom import Explanation


def as_torbiz_error(error: BaseException) -> TorbizError:
    """The error for a person; one that nobody foresaw is logged with its traceback."""
    if isinstance(error, TorbizError):
        return error
    logger("app").error("unexpected error", exc_info=error)
    return TorbizError(
        f"Something unexpected went wrong: {type(error).__name__}: {error}",
        remedy="The log of this program has the details (F4, app).",
        code="unexpected",
    )


class ModeScreen(Screen[None]):
    """A screen with header, message area and footer; its workers never take the app down."""

    MODE: ClassVar[str]
    PURPOSE: ClassVar[str]
    BINDINGS = [*keys.MESSAGE]

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services
        self.opened = asyncio.Event()
        """Set once it has asked for the focus that it begins with."""

    def compose(self) -> ComposeResult:
        """Header, the screen's own part, message, footer."""
        yield HeaderBar(self.services, self.MODE)
        yield from self.compose_body()
        yield Notice()
        yield KeyFooter()

    def compose_body(self) -> Iterator[Widget]:
        """The screen's own part."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Begin to watch the hosted server; what a subclass does here has been done before."""
        self._watch_sharing()
        self.opened.set()

    @property
    def notice(self) -> Notice:
        """The message area."""
        return self.query_one(Notice)

    def problem(self) -> Explanation | None:
        """The known problem that can be explained now."""
        from torbiz_tui.troubleshooting.recognising import explained

        notices = self.query(Notice)
        error = notices.first().error if notices else None
        return explained(error) if error is not None and error.symptom else None

    def would_lose(self) -> list[str]:
        """What would be lost by leaving now, as sentences."""
        return []

    def palette_commands(self) -> Iterable[SystemCommand]:
        """What the command palette offers for this screen as it is now."""
        return ()

    def sharing_changed(self, state: SharingState) -> None:
        """The hosted server is now in another state."""

    def report(self, error: BaseException) -> None:
        """Show an error where people look for it."""
        self.notice.show_error(as_torbiz_error(error))

    def action_dismiss_notice(self) -> None:
        """Close the message."""
        self.notice.close()

    def action_explain(self) -> None:
        """Say what is wrong, and do what mends it if that is wanted."""
        from torbiz_tui.screens.remedies import explain

        if (known := self.problem()) is not None:
            explain(self, self.services, known)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer an explanation where there is something to explain."""
        if action == "explain":
            return self.problem() is not None
        return super().check_action(action, parameters)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A worker that failed is heard of."""
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            self.report(event.worker.error)

    @work(group="sharing", exclusive=True, exit_on_error=False)
    async def _watch_sharing(self) -> None:
        with self.services.sharing.subscribe() as states:
            self._show_sharing(self.services.sharing.state)
            async for state in states:
                self._show_sharing(state)

    def _show_sharing(self, state: SharingState) -> None:
        self.query_one(HeaderBar).sharing = state
        self.sharing_changed(state)
