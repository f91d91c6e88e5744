"""Changing what runs: the form over a server that goes on, and the restart that it leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.widgets import Button

from torbiz_tui.errors import TorbizError
from torbiz_tui.screens.base import as_torbiz_error
from torbiz_tui.screens.question import QuestionScreen
from torbiz_tui.screens.starting import StartingScreen
from torbiz_tui.sharing.state import Phase

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.environments.base import ServerSpec
    from torbiz_tui.sharing.request import ShareRequest

_GOES_ON = " The server goes on as it is until you restart it here (Ctrl+S)."


class RestartingScreen(StartingScreen):
    """A screen whose form also changes a server that runs; `editing` while it is shown for that."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.editing = False
        self._filled_from: ServerSpec | None = None

    @on(Button.Pressed, "#edit")
    def action_edit(self) -> None:
        """Open the form as the server was started; it goes on meanwhile."""
        state = self.services.sharing.state
        self.open_form()
        if state.active and not state.pauses and self.form.display:
            # Who changes something types it; beside a button a digit would go to another screen.
            self.form.focus_field("blocks")
        elif state.pauses and self.form.display:
            from torbiz_tui.sharing.when_served import setting_of

            self.form.focus_field(setting_of(state.pauses))
        if state.phase is Phase.FAILED and state.exit_report is not None:
            from torbiz_tui.sharing.downloads import download_failure

            failed = download_failure(state.exit_report.last_lines)
            if failed is not None:
                self.form.show_error(failed)

    def open_form(self) -> str:
        """Open the form, filled in as the server was started where one runs or has failed.

        The answer is what has to be said of that to somebody who comes from elsewhere.
        """
        state = self.services.sharing.state
        if self.form.display:
            return _GOES_ON if state.active else ""
        if state.phase is Phase.STOPPING:
            return " The form for it is here as soon as the server has stopped."
        spec = state.spec
        if spec is not None and spec not in (self._filled_from, self.started_as):
            request = self.as_it_ran(state)
            if request is not None:
                self.form.fill(request, running=state.active)
            self._filled_from = spec
        self.edit()
        return _GOES_ON if state.active else ""

    def edit(self) -> None:
        """Show the form as it is, whatever runs."""
        self.editing = True
        self.sharing_changed(self.services.sharing.state)

    @work(group="ask to restart", exclusive=True, exit_on_error=False)
    async def ask_to_restart(self, request: ShareRequest) -> None:
        """Say what a restart would change, and ask; what cannot be served is refused before."""
        from torbiz_tui.sharing.changes import changes

        sharing = self.services.sharing
        try:
            request = await self.placed(request)
            await sharing.check(request, hub_token=self.form.hub_token, told=self.notice.show_text)
        except TorbizError as error:
            self.refused(error)
            return
        self.notice.close()
        if not (self.is_current and self.form.display):
            # Who has left meanwhile does not wait for a question.
            return
        before = self.as_it_ran(sharing.state)
        changed = changes(before, request, sharing.state.blocks) if before is not None else []
        if self.form.hub_token:
            changed.append("a token for the hub is given")
        lines = [f"· {each}" for each in changed] or ["Nothing is changed; it only starts anew."]
        outcome = self.open_requests()
        asked = f"\n\n{outcome}" if outcome else ""

        def answered(restart: bool | None) -> None:
            if restart:
                self._restart(request)

        question = QuestionScreen(
            "Restart the server?\n\n" + "\n".join(lines) + asked, yes="Restart", no="Go back"
        )
        self.app.push_screen(question, answered)

    @work(group="start", exit_on_error=False)
    async def _restart(self, request: ShareRequest) -> None:
        """Stop as always, then start with the new settings."""
        self.starting, self.editing = True, False
        self.sharing_changed(self.services.sharing.state)
        try:
            report = await self.services.sharing.stop()
            await self.launch(request)
        finally:
            self.starting = False
        if report is not None and report.killed:
            self.notice.show_error(as_torbiz_error(TorbizError(report.sentence())))

    def open_requests(self) -> str:
        """What becomes of those whom a stop would bother; empty when there is nobody."""
        state = self.services.sharing.state
        opened, served = state.requests_open, state.served
        if self.services.inference.idle_session:
            # The sessions of our own conversations stay open between their questions.
            if served is not None and served.clients <= 1 and not served.rate:
                return ""
            opened -= 1
        if opened <= 0:
            return ""
        requests = "1 request is" if opened == 1 else f"{opened} requests are"
        longest = self.services.config.share.drain_s
        outcome = f"may finish, within {longest:.0f} s" if longest > 0 else "would be cut off"
        return f"{requests} being answered and {outcome}."
