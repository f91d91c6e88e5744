"""Who would answer: the model, how far its runner is, which servers, and what hinders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.content import Content
from textual.widgets import Static

from torbiz_tui.errors import NotServedError, TorbizError
from torbiz_tui.inference.events import Route, RouteChanged, StageChanged, blocks_text
from torbiz_tui.screens.base import ModeScreen
from torbiz_tui.widgets.header import swarm_of
from torbiz_tui.widgets.model_name import short_model
from torbiz_tui.widgets.notice import EXPLAINS
from torbiz_tui.widgets.route_line import RouteLine

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.screens.model_picker import ModelChoice
    from torbiz_tui.sharing.state import SharingState
    from torbiz_tui.troubleshooting.symptom import Explanation

_WARM_AFTER_S = 0.3
DEMO_NOTE = "demo model: knows only this program's documentation"
LOCAL = "local, no swarm"
NOT_SET_UP = "Petals is not installed yet: F1 sets this machine up."
SHARE_KEY = "Ctrl+S"


def swarm_name(services: Services) -> str:
    """Where answers are computed, in a word or two."""
    return LOCAL if services.inference.local else swarm_of(services).split(",")[0]


class AnsweringScreen(ModeScreen):
    """Starts the runner when it is opened, and says before a question that nobody could answer."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._model_shown = Content("")
        self._not_served: NotServedError | None = None
        self._told: NotServedError | None = None
        self._told_text = ""
        self._warmed = False
        self._cannot_warm: TorbizError | None = None

    def on_mount(self) -> None:
        """Watch the runner; start it once the screen has been painted."""
        self._watch_runner()
        self.set_timer(_WARM_AFTER_S, self.warm)

    def on_screen_resume(self) -> None:
        """Setup may have finished meanwhile."""
        if self._warmed and self.query_one(RouteLine).problem == NOT_SET_UP:
            self.warm()

    def warming(self, now: StageChanged) -> None:
        """The runner does this now; no stage is nothing."""

    def title_shown(self) -> str:
        """What the line of the model ends with."""
        return ""

    def model_chosen(self) -> None:
        """Another model answers from now on."""

    # The model

    def sharing_changed(self, state: SharingState) -> None:
        """What this machine serves can be asked; without a configured model, it is."""
        if not self.services.inference.model and state.active and state.spec is not None:
            self.services.inference.choose(state.spec.source)
            self.model_chosen()
        self.show_model()
        if self._warmed and state.active and not self.services.inference.stage:
            self.warm()

    def show_model(self) -> None:
        """Say which model answers, and where."""
        line = self.model_line()
        if line != self._model_shown:
            self._model_shown = line
            self.query_one("#model", Static).update(line)

    def model_line(self) -> Content:
        """Model, swarm, what the demo can, and the conversation."""
        model = short_model(self.model_name)
        parts: list[str | tuple[str, str]] = [(model or "no model chosen", "bold")]
        if adapter := self.services.inference.adapter:
            parts.append((f" with {adapter}", "bold"))
        local = self.services.inference.local
        parts.append((f" · {swarm_name(self.services)}", "$text-warning" if local else "dim"))
        if self.is_demo:
            parts.append((f" · {DEMO_NOTE}", "$text-warning"))
        if title := self.title_shown():
            parts.append((f" · {title}", ""))
        return Content.assemble(*parts)

    @property
    def model_name(self) -> str:
        """The model for people; empty when none is chosen."""
        model = self.services.inference.model
        spec = self.services.sharing.state.spec
        return spec.model if spec is not None and spec.source == model else model

    @property
    def is_demo(self) -> bool:
        """Whether the model is the one that ships with the program."""
        from torbiz_tui.catalogue import DEMO_MODEL

        return self.model_name == DEMO_MODEL

    def action_model(self) -> None:
        """Choose the model that answers."""
        from torbiz_tui.screens.model_picker import ModelPicker

        inference = self.services.inference
        picker = ModelPicker(self.services, inference.model, local=inference.local)
        self.app.push_screen(picker, self._model_picked)

    def _model_picked(self, choice: ModelChoice | None) -> None:
        inference = self.services.inference
        if choice is None or (choice.model, choice.local) == (inference.model, inference.local):
            return
        self.choose(choice.model, local=choice.local)
        self.model_chosen()

    def choose(self, model: str, *, local: bool, adapter: str = "") -> None:
        """Let this model answer from now on, with this adapter of it, and start its runner."""
        inference = self.services.inference
        if (model, local, adapter) == (inference.model, inference.local, inference.adapter):
            return
        inference.choose(model, local=local, adapter=adapter)
        self._forget_hindrance()
        self.show_model()
        self.warm()

    # The runner

    @work(group="runner", exclusive=True, exit_on_error=False)
    async def _watch_runner(self) -> None:
        with self.services.inference.subscribe() as changes:
            self._stage_changed(self.services.inference.now)
            async for change in changes:
                if isinstance(change, StageChanged):
                    self._stage_changed(change)
                elif isinstance(change, RouteChanged):
                    self._route_changed(change.route)

    def _stage_changed(self, now: StageChanged) -> None:
        self.warming(StageChanged("") if now.stage == "ready" else now)
        route = self.services.inference.route
        if route is None:
            # A runner has begun or has ended: what was known of the servers holds no longer.
            self._forget_hindrance()
        self._route_changed(route)
        if (refused := self.services.inference.refusal) is not None:
            self._cannot_start(refused)

    @work(group="warm", exclusive=True, exit_on_error=False)
    async def warm(self) -> None:
        """Start the runner where it can be; what hinders is shown as the state, not as an alarm."""
        self._warmed = True
        services = self.services
        line = self.query_one(RouteLine)
        if not services.can_ask:
            line.problem = NOT_SET_UP
            return
        if line.problem == NOT_SET_UP:
            line.problem = ""
        if not services.inference.model:
            return
        try:
            await services.inference.warm()
        except NotServedError as error:
            self.hindered(error)
        except TorbizError as error:
            self._cannot_start(error)

    def _cannot_start(self, error: TorbizError) -> None:
        self._cannot_warm = error
        problem = f"{error.what} {EXPLAINS}" if error.symptom else error.what
        self.query_one(RouteLine).problem = problem
        self.refresh_bindings()

    # Who would answer

    def _route_changed(self, route: Route | None) -> None:
        line = self.query_one(RouteLine)
        line.route = route
        if route is None:
            return
        line.problem = ""
        if route.complete:
            self._forget_hindrance()
            return
        error = self._not_served_by(route)
        self._not_served = error
        # What is looked for, and will be until it is found, is said by the line of the route.
        self.warming(StageChanged(""))
        self.tell_not_served(error, again=False)

    def _not_served_by(self, route: Route) -> NotServedError:
        if route.without_adapter:
            from torbiz_tui.inference.runner_messages import adapter_missing

            return adapter_missing(short_model(self.model_name), route)
        return NotServedError(
            f"Nobody serves blocks {blocks_text(route.missing)} of {short_model(self.model_name)}.",
            why="A question cannot be answered until somebody does.",
            remedy="The server of this machine is starting; it is looked at again."
            if self.own_server_comes
            else f"{SHARE_KEY} shares them from this machine; or wait, it is looked at again.",
            missing=route.missing,
        )

    def hindered(self, error: NotServedError) -> None:
        """Nobody serves the model: say so, and how it can be mended."""
        self._not_served = error
        if self.services.inference.route is None:
            line = self.query_one(RouteLine)
            line.problem = (
                f"{error.what} {SHARE_KEY} shares it." if _sharable(error) else error.what
            )
        self.refresh_bindings()

    def tell_not_served(self, error: NotServedError, *, again: bool = True) -> None:
        """Show it until somebody serves the blocks.

        Without `again`, a message that was closed comes back only with other blocks.
        """
        if again or self._told is None or self._told.missing != error.missing:
            self.notice.show_error(error)
            self._told, self._told_text = error, self.notice.text
        self.refresh_bindings()

    def _forget_hindrance(self) -> None:
        # Another message may have come in its place.
        if self._told is not None and self.notice.text == self._told_text:
            self.notice.close()
        self._told = None
        self._not_served = self._cannot_warm = None
        self.query_one(RouteLine).problem = ""
        self.refresh_bindings()

    def problem(self) -> Explanation | None:
        """That of the message, else what keeps the runner from starting."""
        told = super().problem()
        if told is None and self._cannot_warm is None:
            return None
        from torbiz_tui.troubleshooting.recognising import explained, without_server

        if told is None and self._cannot_warm is not None:
            told = explained(self._cannot_warm)
        return without_server(told) if told is not None else None

    def refuses(self) -> bool:
        """Whether a question cannot be answered, as is known already; says so again."""
        route = self.services.inference.route
        if self._not_served is None or route is None or route.complete or self.own_server_comes:
            return False
        self.tell_not_served(self._not_served)
        return True

    @property
    def own_server_comes(self) -> bool:
        """Whether this machine is about to serve the model itself."""
        from torbiz_tui.sharing.own_swarm import comes_by_itself

        state, model = self.services.sharing.state, self.services.inference.model
        mine = state.spec is not None and model in (state.spec.source, state.spec.model)
        return mine and comes_by_itself(state)

    @property
    def can_share_missing(self) -> bool:
        """Whether there is something that nobody serves."""
        return self._not_served is not None and _sharable(self._not_served)

    async def action_share_missing(self) -> None:
        """Go to Share, with exactly the blocks chosen that nobody serves."""
        if self._not_served is None or not _sharable(self._not_served):
            return
        from torbiz_tui.screens.share import ShareScreen

        model, missing = self.services.inference.model, self._not_served.missing
        await self.run_action("app.go('share')")
        if isinstance(self.app.screen, ShareScreen):
            self.app.screen.offer(model, *largest_range(missing, short_model(model)))


def _sharable(error: NotServedError) -> bool:
    """Whether blocks are missing, not only the adapter where they are served."""
    return error.code == "missing_blocks"


def largest_range(missing: tuple[tuple[int, int], ...], model: str) -> tuple[str, str]:
    """What to share, and why: the largest range, the first of equal ones."""
    if not missing:
        return "auto", f"Nobody serves {model}."
    first, end = max(missing, key=lambda blocks: blocks[1] - blocks[0])
    reason = f"Nobody serves blocks {blocks_text(((first, end),))} of {model}: chosen here."
    others = tuple(blocks for blocks in missing if blocks != (first, end))
    if others:
        reason += f" Blocks {blocks_text(others)} are missing too; this is the largest range."
    return f"{first}:{end}", reason
