"""The form of Share before a start: what it is told of models, this machine and the swarm."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from textual import on, work

from torbiz_tui.errors import TorbizError
from torbiz_tui.screens.base import ModeScreen
from torbiz_tui.sharing.draft import JOIN, NEW
from torbiz_tui.threads import call_abandonable
from torbiz_tui.widgets.model_field import ModelField
from torbiz_tui.widgets.share_form import ShareForm

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.hardware import Hardware
    from torbiz_tui.private_swarms.finding import FoundSwarm
    from torbiz_tui.screens.model_picker import ModelChoice
    from torbiz_tui.sharing.request import ShareRequest
    from torbiz_tui.swarm_map.monitor import SwarmMonitor

# Typing goes on for a while: a look at a swarm starts a process, one at a revision asks the hub.
_COMMAND_AFTER_S = 0.3
_SWARM_AFTER_S = _REVISION_AFTER_S = 0.8


class PreparingScreen(ModeScreen):
    """A screen with the form; what it says is looked up beside, and never waited for."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.loaded = asyncio.Event()
        self._machine: Hardware | None = None
        self._asked_about = ("", "")
        self._looked_at: tuple[str, ...] = ()
        self._found: dict[str, FoundSwarm] = {}

    @property
    def form(self) -> ShareForm:
        """The form, shown or not."""
        return self.query_one(ShareForm)

    def prepare_form(self) -> None:
        """Begin to look up what the form tells."""
        self._load_models()
        self.look_at_machine()

    @work(group="models", exit_on_error=False)
    async def _load_models(self) -> None:
        from torbiz_tui.catalogue import known_models
        from torbiz_tui.private_swarms.known import KnownSwarms

        paths = self.services.paths
        try:
            self.form.set_models(await asyncio.to_thread(known_models, paths))
            self.form.set_swarms(await asyncio.to_thread(KnownSwarms(paths).all))
        finally:
            self.loaded.set()

    @work(group="machine", exclusive=True, exit_on_error=False)
    async def look_at_machine(self) -> None:
        """Look how much memory is free now."""
        from torbiz_tui.hardware import as_containers_see, look

        machine = await call_abandonable(look, "look at the machine")
        memory = await self.services.environment.hosting.machine_memory()
        self._machine = as_containers_see(machine, memory)
        self._say_outlook()

    @on(ShareForm.Changed)
    def form_changed(self) -> None:
        """Look up what the fields mean as they stand there now."""
        if not self.form.display:
            return
        self._say_conditions()
        self._say_outlook()
        self._say_command()
        self._look_at_chosen_swarm()

    # The model

    @on(ModelField.Asked)
    def action_choose_model(self) -> None:
        """Choose the model that is shared."""
        from torbiz_tui.screens.model_picker import ModelPicker

        request = self.form.request() or self.services.sharing.default_request()
        picker = ModelPicker(self.services, self.form.model, request=request)
        self.app.push_screen(picker, self._model_picked)

    def _model_picked(self, choice: ModelChoice | None) -> None:
        if choice is not None:
            self.form.choose_model(choice.model)

    def action_more(self) -> None:
        """Show the settings that are rarely changed, or no longer."""
        self.form.toggle_more()

    def _say_conditions(self) -> None:
        from torbiz_tui.sharing.outlook import conditions

        info, asked = self.form.info, (self.form.model, self.form.revision)
        if info is not None:
            self._asked_about = ("", "")
            self.workers.cancel_group(self, "facts")
            self.form.show_conditions(conditions(info))
        elif asked[0] and asked != self._asked_about and self.loaded.is_set():
            self._asked_about = asked
            self._learn(*asked)

    @work(group="facts", exclusive=True, exit_on_error=False)
    async def _learn(self, model: str, revision: str) -> None:
        """Read the facts of a model that is in no list, or of a revision, which is typed."""
        from torbiz_tui.catalogue import MAIN, resolve_model

        self.form.show_conditions("Looking what it is…")
        await asyncio.sleep(_REVISION_AFTER_S if revision else 0)
        paths, token = self.services.paths, self.form.hub_token
        try:
            facts = await resolve_model(model, paths, channel=MAIN, token=token, revision=revision)
        except TorbizError as error:
            self.form.show_conditions(str(error))
        else:
            self.form.learn(facts, revision)

    # This machine

    def _say_outlook(self) -> None:
        from torbiz_tui.sharing.outlook import outlook

        info, request = self.form.info, self.form.request()
        if info is None:
            self.form.show_outlook(None)
        elif request is not None and self._machine is not None:
            services = self.services
            hosting = services.environment.hosting.name
            told = outlook(request, info, services.config, self._machine, hosting)
            self.form.show_outlook(told)

    @work(group="preview", exclusive=True, exit_on_error=False)
    async def _say_command(self) -> None:
        from torbiz_tui.sharing.outlook import one_line

        await asyncio.sleep(_COMMAND_AFTER_S)
        info, request = self.form.info, self.form.request()
        if info is None or request is None:
            self.form.show_preview("")
            return
        try:
            command = await self.services.sharing.command_text(self._as_found(request), model=info)
        except TorbizError as error:
            self.form.show_preview(error.what)
        else:
            self.form.show_preview(f"$ {one_line(command)}")

    # The swarm

    async def placed(self, request: ShareRequest) -> ShareRequest:
        """The request of the form with the peers of a known swarm that answer now.

        Raises TorbizError when nobody answers, or the swarm's model is not here.
        """
        from torbiz_tui.private_swarms.finding import find_again, require_at_hand

        if self.form.named_by_swarm:
            await asyncio.to_thread(require_at_hand, request.model, self.services.paths)
        swarm = self.form.known_swarm
        if swarm is not None:
            again = partial(find_again, swarm, hosting=True)
            self._found[swarm.name] = await call_abandonable(again, "dial a known swarm")
        return self._as_found(request)

    def _as_found(self, request: ShareRequest) -> ShareRequest:
        from torbiz_tui.sharing.draft import placed_in

        swarm = self.form.known_swarm
        found = self._found.get(swarm.name) if swarm is not None else None
        return request if found is None else placed_in(request, found)

    def chosen_monitor(self, request: ShareRequest) -> SwarmMonitor:
        """What looks at the swarm that the form says."""
        return self.services.swarm_monitor.at(
            request.initial_peers or None, request.model, request.dht_prefix
        )

    def stop_looking(self) -> None:
        """What the form would tell is not looked up any more."""
        self._looked_at, self._asked_about = (), ("", "")
        for group in ("coverage", "preview", "facts"):
            self.workers.cancel_group(self, group)

    def _look_at_chosen_swarm(self) -> None:
        draft = self.form.draft()
        wanted = (draft.model, draft.swarm, draft.peers if draft.swarm == JOIN else "")
        if wanted == self._looked_at:
            return
        self.workers.cancel_group(self, "coverage")
        self.form.show_coverage("")
        request = self.form.request()
        known = request is not None and self.form.info is not None
        self._looked_at = wanted if known else ()
        if not known or draft.swarm == NEW:
            return
        if not self.services.can_ask:
            self.form.show_coverage("Who serves what can be looked at once Setup (F1) is done.")
            return
        assert request is not None
        self._look_at_swarm(request)

    @work(group="coverage", exclusive=True, exit_on_error=False)
    async def _look_at_swarm(self, request: ShareRequest) -> None:
        from torbiz_tui.swarm_map.looking import look_once, own_left_out
        from torbiz_tui.swarm_map.snapshot import peers_of

        def tell(stage: str) -> None:
            self.form.show_coverage(f"{stage}…")

        tell("Looking who serves it")
        try:
            await asyncio.sleep(_SWARM_AFTER_S)
            request = await self.placed(request)
            if request.new_swarm:
                self.form.show_coverage("Nobody of it answers: it begins anew with this machine.")
                return
            snapshot = await look_once(self.chosen_monitor(request), request.model, tell)
        except TorbizError as error:
            self.form.show_coverage(error.what, doubtful=True)
            return
        own = peers_of(self.services.sharing.state.addresses)
        self.form.show_coverage(own_left_out(snapshot, own))
