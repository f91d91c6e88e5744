"""Share: lend this machine to a swarm, watch it, stop it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import SystemCommand
from textual.binding import ActiveBinding
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button

from torbiz_tui.errors import TorbizError
from torbiz_tui.screens.base import as_torbiz_error
from torbiz_tui.screens.question import QuestionScreen
from torbiz_tui.screens.restarting import RestartingScreen
from torbiz_tui.sharing.state import Phase, Stage
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.share_form import ShareForm
from torbiz_tui.widgets.sharing_panel import SharingPanel

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.sharing.state import SharingState
    from torbiz_tui.troubleshooting.symptom import Explanation

_TICK_S = 1.0
_RESTARTS = "Restart the server with what the form says, after a question"
_GOING_ON = {Phase.STARTING, Phase.SERVING}


class ShareScreen(RestartingScreen):
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
        self._form_shown = True
        self._shown_phase: Phase | None = None
        self._shown_problem: Explanation | None = None
        self._telling_lost = False

    def compose_body(self) -> Iterator[Widget]:
        """Both, one of them shown."""
        yield ShareForm(self.services.sharing.default_request())
        yield SharingPanel()

    def on_mount(self) -> None:
        """Find a server that was started earlier, and the models there are."""
        self.query_one(SharingPanel).display = False
        self.prepare_form()
        self._find_server()
        self.set_interval(_TICK_S, self._tick)

    @work(group="attach", exclusive=True, exit_on_error=False)
    async def _find_server(self) -> None:
        self.sharing_changed(await self.services.sharing.attach())

    # What is shown

    def sharing_changed(self, state: SharingState) -> None:
        """Show the form or the server."""
        form, panel = self.query_one(ShareForm), self.query_one(SharingPanel)
        if state.phase is not self._shown_phase:
            # That it serves, pauses or starts again is no reason to leave the form.
            self.editing = self.editing and {self._shown_phase, state.phase} == _GOING_ON
            if state.active and not self.editing:
                self.notice.close()
        show_form = state.phase is Phase.STOPPED or self.editing
        in_form = self._shown_phase is not None and self._form_shown and show_form
        failed_now = state.phase is Phase.FAILED and self._shown_phase is Phase.STARTING
        changed = panel.display == show_form or state.phase is not self._shown_phase
        self._tell_what_the_form_hides(state)
        self._shown_phase = state.phase
        form.display = self._form_shown = show_form
        panel.display = not show_form
        if not show_form:
            panel.show(state)
        if changed and show_form:
            form.set_running(running=state.active)
            if self.starting:
                form.set_starting(starting=True)
            self.look_at_machine()
            self.form_changed()
        elif changed:
            self.stop_looking()
        if failed_now and self.is_current:
            self.ask_about_pickled(state)
        if changed and not in_form:
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
        ended = self._shown_phase in (Phase.STARTING, Phase.SERVING, Phase.STOPPING)
        if state.lost and not self._telling_lost:
            self.notice.show_text(f"{state.lost} Whether this machine shares cannot be told now.")
        elif self._telling_lost and not state.lost:
            self.notice.close()
        elif ended and state.events:
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
        if self.is_current and (state.active or state.stage is Stage.PREPARING):
            self.query_one(SharingPanel).show(state)

    # Asked for elsewhere

    @work(group="offer", exclusive=True, exit_on_error=False)
    async def offer(self, model: str, blocks: str, reason: str) -> None:
        """Fill in a model and blocks of it, and say why; a server that runs goes on meanwhile."""
        await self.loaded.wait()
        note = self.open_form()
        blocks, kept = self._with_own(model, blocks)
        reason += kept
        self.form.choose(model, blocks)
        if self.form.display:
            self.query_one("#start").focus()
        self.notice.show_text(f"{reason}{note}")

    def _with_own(self, model: str, blocks: str) -> tuple[str, str]:
        """Blocks to be filled in, and those that this machine may serve alone: none gets lost."""
        from torbiz_tui.sharing.changes import beside_own
        from torbiz_tui.swarm_map.snapshot import peers_of

        state, route = self.services.sharing.state, self.services.inference.route
        own = peers_of(state.addresses)
        # Where blocks are missing, the runner may not say whom it would ask for the others.
        others = route is not None and route.hops and all(hop.peer not in own for hop in route.hops)
        same = state.spec is not None and model in (state.spec.source, state.spec.model)
        if others or not same or state.blocks is None or not state.active:
            return blocks, ""
        return beside_own(blocks, state.blocks)

    @work(group="offer", exclusive=True, exit_on_error=False)
    async def prepare(self, field: str, reason: str, *, swarm: str = "") -> None:
        """Put the keys to a field of the form that has to be changed, and say why."""
        await self.loaded.wait()
        note = self.open_form()
        if swarm:
            self.form.choose_swarm(swarm)
        if self.form.display:
            self.form.focus_field(field)
        self.notice.show_text(f"{reason}{note}")

    # Starting

    def action_start(self) -> None:
        """Start with what the form says."""
        self.query_one(ShareForm).submit()

    @on(ShareForm.Submitted)
    def _submitted(self, event: ShareForm.Submitted) -> None:
        if self.starting:
            return
        if self.services.sharing.state.active:
            self.ask_to_restart(event.request)
        else:
            self.begin(event.request, from_form=True)

    @work(group="command", exclusive=True, exit_on_error=False)
    async def action_show_command(self) -> None:
        """Show the command that starts what is shared, or what the form says."""
        from torbiz_tui.clipboard import COPIED
        from torbiz_tui.screens.command import CommandScreen

        sharing = self.services.sharing
        request = None
        if self.form.display:
            request = self.form.checked()
            if request is None:
                return
            request = await self.placed(request)
        command = await sharing.command_text(request)
        note = "What the app does, as a command for a shell. It holds no token."
        self.app.push_screen(CommandScreen("Command", note, command, COPIED))

    def action_show_swarm(self) -> None:
        """Show who serves the blocks of what is shared, or of what the form says."""
        from torbiz_tui.screens.swarm import SwarmScreen

        spec = self.services.sharing.state.spec
        request = self.form.request() if self.form.display else None
        model = self.form.model if self.form.display or spec is None else spec.model
        other = request is not None and bool(request.initial_peers)
        monitor = self.chosen_monitor(request) if request is not None and other else None
        self.app.push_screen(SwarmScreen(self.services, model, monitor))

    @on(Button.Pressed, "#retry")
    def action_retry(self) -> None:
        """Start again as before, whoever has started it; as the form says where none was."""
        if self.ask_about_pickled(self.services.sharing.state):
            return
        if (before := self.as_it_ran(self.services.sharing.state)) is not None:
            self.begin(before)
        elif (request := self.form.checked()) is not None:
            self.begin(request, from_form=True)
        else:
            self.edit()

    def action_dismiss_notice(self) -> None:
        """Close the message; without one, leave the form to the server that runs."""
        if self.editing and not self.notice.shown:
            self.editing = False
            self.sharing_changed(self.services.sharing.state)
        else:
            super().action_dismiss_notice()

    # Stopping

    @on(Button.Pressed, "#stop")
    def action_stop(self) -> None:
        """Stop, after a question only when somebody would notice; once more stops at once."""
        if self.services.sharing.state.phase is Phase.STOPPING:
            self._stop_at_once()
            return
        outcome = self.open_requests()
        if not outcome:
            self._stop()
            return
        question: ModalScreen[bool] = QuestionScreen(
            f"Stop sharing? {outcome}", yes="Stop sharing", no="Go on"
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
        from torbiz_tui.sharing.inviting import offers

        for offer in offers(self.services.sharing.state):
            if key in ("", offer.key):
                self.app.copy_to_clipboard(offer.text)
                self.notify(COPIED, title=offer.title.capitalize(), markup=False)
                return

    @on(Button.Pressed, "#logs")
    async def action_show_logs(self) -> None:
        """Go to the server's log."""
        await self.run_action("app.show_log('seeder')")

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """The keys as they act now: what starts a server restarts one that runs."""
        bindings = super().active_bindings
        if self.services.sharing.state.active:
            for key, active in bindings.items():
                if active.binding.action == "start":
                    binding = replace(active.binding, description="Restart")
                    bindings[key] = active._replace(binding=binding, tooltip=_RESTARTS)
        return bindings

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what the state allows."""
        state = self.services.sharing.state
        form_shown = self._form_shown
        preparing = state.stage is Stage.PREPARING
        offered = {
            "start": form_shown,
            "stop": state.phase in (Phase.STARTING, Phase.SERVING) or state.draining,
            "copy_invite": bool(state.addresses) and state.active,
            "retry": state.phase is Phase.FAILED and not form_shown,
            "edit": not form_shown and state.phase is not Phase.STOPPING and not preparing,
            "more": form_shown,
            "choose_model": form_shown,
            "show_logs": not form_shown,
        }
        return offered.get(action, super().check_action(action, parameters))

    def palette_commands(self) -> Iterable[SystemCommand]:
        """What the form offers; starting and stopping are offered by the app."""
        yield SystemCommand(
            "Show the command", "That starts this server from a shell", self.action_show_command
        )
        if self.check_action("more", ()):
            yield SystemCommand("More settings", "Those that are rarely changed", self.action_more)
        if self.check_action("edit", ()):
            yield SystemCommand(
                "Change the settings", "Then restart the server with them", self.action_edit
            )
        if self.check_action("retry", ()):
            yield SystemCommand("Retry sharing", "Start again as before", self.action_retry)
