"""Share: lend this machine to a swarm, watch it, stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import SystemCommand
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button

from torbiz_tui.errors import TorbizError
from torbiz_tui.screens.base import ModeScreen, as_torbiz_error
from torbiz_tui.screens.question import QuestionScreen
from torbiz_tui.sharing.state import Phase
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.share_form import ShareForm
from torbiz_tui.widgets.sharing_panel import SharingPanel

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.sharing.request import ShareRequest
    from torbiz_tui.sharing.state import SharingState
    from torbiz_tui.troubleshooting.symptom import Explanation

_TICK_S = 1.0
NAME_TAKEN = "container_name_taken"
DOES_NOT_FIT = "does_not_fit"


class ShareScreen(ModeScreen):
    """A form while nothing is shared, otherwise the server as it is."""

    MODE = "share"
    PURPOSE = (
        "Lends this machine to a swarm: it serves some blocks of a model to those who ask it. "
        "The server goes on when you leave the app, until you stop it here or with "
        "`torbiz-tui stop`."
    )
    CSS_PATH = "share.tcss"
    BINDINGS = [*keys.SHARE]

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._request: ShareRequest | None = None
        self._starting = False
        self._editing = False
        self._shown_phase: Phase | None = None
        self._shown_problem: Explanation | None = None
        self._telling_lost = False
        self._loaded = asyncio.Event()

    def compose_body(self) -> Iterator[Widget]:
        """Both, one of them shown."""
        yield ShareForm(self.services.sharing.default_request())
        yield SharingPanel()

    def on_mount(self) -> None:
        """Find a server that was started earlier, and the models there are."""
        self.query_one(SharingPanel).display = False
        self._load_models()
        self._find_server()
        self.set_interval(_TICK_S, self._tick)

    @work(group="models", exit_on_error=False)
    async def _load_models(self) -> None:
        from torbiz_tui.catalogue import known_models

        try:
            models = await asyncio.to_thread(known_models, self.services.paths)
            self.query_one(ShareForm).set_models(models)
        finally:
            self._loaded.set()

    @work(group="attach", exclusive=True, exit_on_error=False)
    async def _find_server(self) -> None:
        self.sharing_changed(await self.services.sharing.attach())

    # What is shown

    def sharing_changed(self, state: SharingState) -> None:
        """Show the form or the server."""
        form, panel = self.query_one(ShareForm), self.query_one(SharingPanel)
        if state.phase is not self._shown_phase:
            if state.phase is not Phase.FAILED:
                self._editing = False
            if state.active:
                self.notice.close()
        show_form = state.phase is Phase.STOPPED or (state.phase is Phase.FAILED and self._editing)
        changed = panel.display == show_form or state.phase is not self._shown_phase
        self._tell_what_the_form_hides(state)
        self._shown_phase = state.phase
        form.display = show_form
        panel.display = not show_form
        if not show_form:
            panel.show(state)
        if changed:
            self._focus_main(show_form=show_form, failed=state.phase is Phase.FAILED)
        if changed or state.problem is not self._shown_problem:
            self._shown_problem = state.problem
            self.refresh_bindings()

    def problem(self) -> Explanation | None:
        """That of the message, else that of the server."""
        return super().problem() or self.services.sharing.state.problem

    def _tell_what_the_form_hides(self, state: SharingState) -> None:
        """The form replaces the panel's events: how the server ended, that nobody can look."""
        if state.phase is not Phase.STOPPED:
            return
        ended_alone = self._shown_phase in (Phase.STARTING, Phase.SERVING)
        if state.lost and not self._telling_lost:
            self.notice.show_text(f"{state.lost} Whether this machine shares cannot be told now.")
        elif self._telling_lost and not state.lost:
            self.notice.close()
        elif ended_alone and state.events:
            self.notice.show_text(f"{state.events[-1].text}.")
        self._telling_lost = bool(state.lost)

    def _focus_main(self, *, show_form: bool, failed: bool) -> None:
        if show_form:
            self.query_one("#start").focus()
        elif failed:
            # The reason stands above the button and must stay in view.
            self.query_one("#retry").focus(scroll_visible=False)
            self.query_one(SharingPanel).scroll_home(animate=False)
        else:
            self.query_one(SharingPanel).focus()

    def _tick(self) -> None:
        state = self.services.sharing.state
        if self.is_current and state.active:
            self.query_one(SharingPanel).show(state)

    # Asked for elsewhere

    @work(group="offer", exclusive=True, exit_on_error=False)
    async def offer(self, model: str, blocks: str, reason: str) -> None:
        """Fill in a model and blocks of it, and say why."""
        await self._loaded.wait()
        form = self.query_one(ShareForm)
        form.choose(model, blocks)
        if self.services.sharing.state.phase is Phase.FAILED:
            self._edit()
        if form.display:
            self.query_one("#start").focus()
        else:
            reason += " This machine hosts one server: stop it (x) to share these instead."
        self.notice.show_text(reason)

    @work(group="offer", exclusive=True, exit_on_error=False)
    async def prepare(self, field: str, reason: str, *, swarm: str = "") -> None:
        """Put the keys to a field of the form that has to be changed, and say why."""
        await self._loaded.wait()
        form = self.query_one(ShareForm)
        if swarm:
            form.choose_swarm(swarm)
        if self.services.sharing.state.phase is Phase.FAILED:
            self._edit()
        if form.display:
            self.query_one(f"#{field}").focus()
        else:
            reason += " The form for it is here as soon as the server is stopped (x)."
        self.notice.show_text(reason)

    # Starting

    def action_start(self) -> None:
        """Start with what the form says."""
        self.query_one(ShareForm).submit()

    @on(ShareForm.Submitted)
    def _submitted(self, event: ShareForm.Submitted) -> None:
        self._begin(event.request)

    def _begin(self, request: ShareRequest) -> None:
        if not self._starting:
            self._request = request
            self._start(request)

    @work(group="start", exit_on_error=False)
    async def _start(self, request: ShareRequest, *, replace: bool = False) -> None:
        button = self.query_one("#start", Button)
        self._starting = button.disabled = True
        button.label = "Starting…"
        self.notice.close()
        try:
            await self.services.sharing.start(request, replace=replace)
        except TorbizError as error:
            if error.code == NAME_TAKEN:
                self._ask_to_replace(request, error)
            elif error.code == DOES_NOT_FIT:
                self._ask_to_share_anyway(request, error)
            elif not self.query_one(ShareForm).display or not self.query_one(ShareForm).show_error(
                error
            ):
                self.report(error)
        finally:
            self._starting = button.disabled = False
            button.label = "Start sharing"

    def _ask_to_replace(self, request: ShareRequest, error: TorbizError) -> None:
        def answered(remove: bool | None) -> None:
            if remove:
                self._start(request, replace=True)
            else:
                self.report(error)

        question = QuestionScreen(
            f"{error.what}\n{error.why}\n\nRemove that container and start?",
            yes="Remove it and start",
            no="Leave it",
        )
        self.app.push_screen(question, answered)

    def _ask_to_share_anyway(self, request: ShareRequest, error: TorbizError) -> None:
        def answered(share: bool | None) -> None:
            if share:
                self._start(replace(request, anyway=True))
            else:
                self.report(error)

        question = QuestionScreen(
            f"{error.what}\n{error.why}\n\nShare one block all the same?",
            yes="Share one block",
            no="Leave it",
        )
        self.app.push_screen(question, answered)

    @work(group="command", exclusive=True, exit_on_error=False)
    async def action_show_command(self) -> None:
        """Show the command that starts what is shared, or what the form says."""
        from torbiz_tui.clipboard import COPIED
        from torbiz_tui.screens.command import CommandScreen

        sharing = self.services.sharing
        request = None
        if self.query_one(ShareForm).display:
            request = self.query_one(ShareForm).checked()
            if request is None:
                return
        command = await sharing.command_text(request)
        note = "What the app does, as a command for a shell. It holds no token."
        self.app.push_screen(CommandScreen("Command", note, command, COPIED))

    def action_show_swarm(self) -> None:
        """Show who serves the blocks of what is shared, or of what the form says."""
        from torbiz_tui.screens.swarm import SwarmScreen

        spec = self.services.sharing.state.spec
        form = self.query_one(ShareForm)
        model = form.model if form.display or spec is None else spec.model
        self.app.push_screen(SwarmScreen(self.services, model))

    @on(Button.Pressed, "#retry")
    def action_retry(self) -> None:
        """Start again as before; as the form says when this app did not start it."""
        request = self._request or self.query_one(ShareForm).checked()
        if request is None:
            self._edit()
        else:
            self._begin(request)

    @on(Button.Pressed, "#edit")
    def _edit(self) -> None:
        self._editing = True
        self.sharing_changed(self.services.sharing.state)

    # Stopping

    @on(Button.Pressed, "#stop")
    def action_stop(self) -> None:
        """Stop, after a question only when somebody would notice; once more stops at once."""
        if self.services.sharing.state.phase is Phase.STOPPING:
            self._stop_at_once()
            return
        opened = self.services.sharing.state.requests_open
        if self.services.inference.idle_session:
            # The session of our own conversation stays open between its questions.
            opened -= 1
        if opened <= 0:
            self._stop()
            return
        requests = "1 request is" if opened == 1 else f"{opened} requests are"
        longest = self.services.config.share.drain_s
        outcome = f"may finish, within {longest:.0f} s" if longest > 0 else "would be cut off"
        question: ModalScreen[bool] = QuestionScreen(
            f"Stop sharing? {requests} being answered and {outcome}.",
            yes="Stop sharing",
            no="Go on",
        )
        self.app.push_screen(question, self._stop_answered)

    def _stop_answered(self, stop: bool | None) -> None:
        if stop:
            self._stop()

    @work(group="stop", exclusive=True, exit_on_error=False)
    async def _stop(self) -> None:
        report = await self.services.sharing.stop()
        if report is not None and report.killed:
            self.notice.show_error(as_torbiz_error(TorbizError(report.sentence())))

    @work(group="stop at once", exclusive=True, exit_on_error=False)
    async def _stop_at_once(self) -> None:
        await self.services.sharing.stop(now=True)

    # The rest

    def action_copy_invite(self, key: str = "") -> None:
        """Send what others need to the clipboard: the invite code, or what `key` names."""
        from torbiz_tui.clipboard import COPIED

        for offer in offers(self.services.sharing.state):
            if key in ("", offer.key):
                self.app.copy_to_clipboard(offer.text)
                self.notify(COPIED, title=offer.title.capitalize(), markup=False)
                return

    @on(Button.Pressed, "#logs")
    async def action_show_logs(self) -> None:
        """Go to the server's log."""
        await self.run_action("app.show_log('seeder')")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what the state allows."""
        state = self.services.sharing.state
        form_shown = bool(self.query(ShareForm)) and self.query_one(ShareForm).display
        offered = {
            "start": form_shown,
            "stop": state.phase in (Phase.STARTING, Phase.SERVING) or state.draining,
            "copy_invite": bool(state.addresses) and state.active,
            "retry": state.phase is Phase.FAILED and not form_shown,
            "show_logs": not form_shown,
        }
        return offered.get(action, super().check_action(action, parameters))

    def palette_commands(self) -> Iterable[SystemCommand]:
        """What the form offers; starting and stopping are offered by the app."""
        yield SystemCommand(
            "Show the command", "That starts this server from a shell", self.action_show_command
        )
        if self.check_action("retry", ()):
            yield SystemCommand("Retry sharing", "Start again as before", self.action_retry)
        from torbiz_tui.sharing.inviting import offers
