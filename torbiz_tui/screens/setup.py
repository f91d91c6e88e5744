"""Setup: what this machine needs, and bringing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import SystemCommand
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, OptionList, Static

from torbiz_tui.errors import ExitCode
from torbiz_tui.logs.memory_view import MemoryView
from torbiz_tui.screens.base import ModeScreen
from torbiz_tui.setup.plan import StepOutput, StepState, StepStatus
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.durations import memory
from torbiz_tui.widgets.log_pane import LogPane
from torbiz_tui.widgets.notice import EXPLAINS
from torbiz_tui.widgets.step_list import MARKS, StepList

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.troubleshooting.symptom import Explanation

# Programs that are started for it would hold up the first paint.
_LOOK_AFTER_S = 0.1
_TICK_S = 0.5
_OUTPUT_LINES = 2_000
_IMAGE_STEP = "image"
_STACK_STEP = "petals"
_DISK_LIMIT_S = 10.0
_SHOWN_FROM = 500_000
_DISK_PARTS = {
    "image": "image",
    "env": "venv",
    "models": "models",
    "container_models": "models of the container",
    "logs": "logs",
}
_RETRIABLE = (
    StepState.FAILED,
    StepState.BLOCKED,
    StepState.CANCELLED,
    StepState.MISSING,
    StepState.SKIPPED,
)


class SetupScreen(ModeScreen):
    """The plan belongs to the app: hiding this screen stops nothing."""

    MODE = "setup"
    PURPOSE = (
        "Shows what this machine needs in order to share a model and to ask one, and brings what "
        "is missing. Press Enter and watch; going to another screen stops nothing."
    )
    CSS_PATH = "setup.tcss"
    BINDINGS = [*keys.SETUP]

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._plan = services.setup
        self._applying = False
        # The step that the cursor was taken to; None once the person has chosen another.
        self._followed: str | None = None
        self._shown_output: str | None = None
        self._output = MemoryView(_OUTPUT_LINES)

    def compose_body(self) -> Iterator[Widget]:
        """The verdict, the steps, the buttons, and the selected step in full."""
        yield Static(id="verdict", markup=False)
        yield StepList()
        with Horizontal(id="actions"):
            yield Button("Set up this machine", variant="primary", id="run", compact=True)
            yield Button("Share it (F2)", action="app.go('share')", id="to-share", compact=True)
            yield Button("Ask (F3)", action="app.go('ask')", id="to-ask", compact=True)
        yield Static(id="disk", markup=False)
        yield Static(id="step", markup=False)
        yield LogPane(empty_text="This step has not printed anything.", id="output")

    def on_mount(self) -> None:
        """Look at the machine as soon as the screen is there."""
        self.query_one("#disk").display = False
        self._refresh_steps()
        self.query_one(StepList).focus()
        self._watch_plan()
        self.set_interval(_TICK_S, self._tick)
        self.set_timer(_LOOK_AFTER_S, self._look)

    # What the plan says

    @work(group="plan", exclusive=True, exit_on_error=False)
    async def _watch_plan(self) -> None:
        with self._plan.subscribe() as plan_events:
            self._refresh_steps()
            async for event in plan_events:
                if isinstance(event, StepOutput):
                    if event.step_id == self._shown_output:
                        self._output.append(event.lines)
                        self.query_one("#output", LogPane).look()
                else:
                    self._refresh_steps()

    @work(group="disk", exclusive=True, exit_on_error=False)
    async def _show_disk(self) -> None:
        use = await self.services.storage.quick(_DISK_LIMIT_S)
        known = {name: use.get(part) for part, name in _DISK_PARTS.items()}
        sizes = " · ".join(
            f"{name} {memory(size)}" for name, size in known.items() if size and size >= _SHOWN_FROM
        )
        line = self.query_one("#disk", Static)
        line.update(Content.assemble(("On disk: ", "dim"), sizes) if sizes else "")
        line.display = bool(sizes)

    def _tick(self) -> None:
        if any(status.state.active for status in self._plan.statuses) and self.is_current:
            self.query_one(StepList).show(self._plan.statuses)

    def _refresh_steps(self) -> None:
        steps = self.query_one(StepList)
        steps.show(self._plan.statuses)
        self._follow()
        self._show_verdict()
        self._show_step()
        self.refresh_bindings()

    def _follow(self) -> None:
        """Keep the cursor on the step that is being done, until the person moves it."""
        steps = self.query_one(StepList)
        at = steps.selected
        if not self._applying or at is None or at.id != self._followed:
            return
        if at.state is not StepState.RUNNING:
            running = (s.id for s in self._plan.statuses if s.state is StepState.RUNNING)
            self._followed = next(running, at.id)
            steps.select(self._followed)

    @property
    def _ready(self) -> bool:
        return not self._plan.running and self._plan.outcome is ExitCode.OK

    def _show_verdict(self) -> None:
        ready = self._ready
        self.set_class(ready, "-ready")
        self.set_class(self._applying, "-applying")
        self.query_one("#run", Button).disabled = self._plan.running and self._applying
        self.query_one("#verdict", Static).update(self._verdict())

    def _verdict(self) -> Content:
        statuses = self._plan.statuses
        if self._ready:
            skipped = [s.title for s in statuses if s.state is StepState.SKIPPED]
            left_out = f" Skipped: {', '.join(skipped)}." if skipped else ""
            return Content.assemble(
                ("✓ This machine is ready.", "bold $text-success"),
                f"{left_out}  F2 shares it, F3 asks a question.",
            )
        done = sum(status.state.lets_on for status in statuses)
        running = [s.title for s in statuses if s.state is StepState.RUNNING]
        if running:
            return Content.assemble(
                ("▸ Setting up: ", "bold"), f"{', '.join(running)} ({done} of {len(statuses)} done)"
            )
        if self._plan.running:
            return Content("… Looking at this machine")
        waiting_for_you = [s for s in statuses if s.state is StepState.BLOCKED]
        failed = [s for s in statuses if s.state is StepState.FAILED]
        if failed:
            return Content.assemble(
                (f"✗ {failed[0].title} failed. ", "bold $text-error"),
                "Its reason is below; r tries it again.",
            )
        if waiting_for_you:
            return Content.assemble(
                ("! Something only you can do: ", "bold $text-warning"), waiting_for_you[0].title
            )
        return Content.assemble(
            ("○ This machine is not set up yet. ", "bold"), "Enter brings what is missing."
        )

    def _show_step(self) -> None:
        status = self.query_one(StepList).selected
        if status is None:
            return
        self.query_one("#step", Static).update(self._step_content(status))
        if status.id != self._shown_output:
            self._shown_output = status.id
            self._output = MemoryView(_OUTPUT_LINES)
            self._output.append(self._plan.output(status.id))
            self.query_one("#output", LogPane).show(self._output)

    def _step_content(self, status: StepStatus) -> Content:
        mark, style = MARKS[status.state]
        parts: list[str | tuple[str, str]] = [
            (f"{mark} {status.title}: {status.state.value}", style)
        ]
        if status.optional:
            parts.append((" (can be left out)", "dim"))
        if status.detail:
            parts.append(f"\n  {status.detail}")
        if status.instruction:
            parts.append((f"\n→ {status.instruction}", "bold"))
        if status.known is not None:
            parts.append((f"\n  {EXPLAINS}", "dim"))
        if status.needs:
            parts.append(("\n  Needs: ", "dim"))
            by_id = {other.id: other for other in self._plan.statuses}
            for number, need in enumerate(status.needs):
                other = by_id[need]
                need_mark, need_style = MARKS[other.state]
                parts += [", " if number else "", (f"{need_mark} ", need_style)]
                parts.append((other.title, "dim"))
        return Content.assemble(*parts)

    @on(OptionList.OptionHighlighted, "#steps")
    def _step_selected(self) -> None:
        self._show_step()
        self.refresh_bindings()

    # What the person does

    @on(OptionList.OptionSelected, "#steps")
    @on(Button.Pressed, "#run")
    def _run_chosen(self, event: OptionList.OptionSelected | Button.Pressed) -> None:
        event.stop()
        steps = self.query_one(StepList)
        steps.focus()
        self._followed = steps.selected.id if steps.selected is not None else None
        self._run()

    @work(group="run", exit_on_error=False)
    async def _run(self) -> None:
        self.notice.close()
        self._applying = True
        try:
            await self._plan.run()
        finally:
            self._applying = False
            self._after_plan()

    def action_check(self) -> None:
        """Check all steps."""
        self.notice.close()
        self._look()

    @work(group="check", exclusive=True, exit_on_error=False)
    async def _look(self) -> None:
        if self._plan.running:
            return
        await self._plan.check_all()
        self._after_plan()

    @work(group="retry", exit_on_error=False)
    async def action_retry(self) -> None:
        """Try the selected step again."""
        status = self.query_one(StepList).selected
        if status is not None:
            await self._plan.retry(status.id)
            self._after_plan()

    def _after_plan(self) -> None:
        """Put the cursor on what needs the person, and take in the last state."""
        if self._plan.running:
            return
        self._refresh_steps()
        steps = self.query_one(StepList)
        for status in self._plan.statuses:
            if status.state in (StepState.FAILED, StepState.BLOCKED):
                steps.select(status.id)
                break
        self._show_disk()

    def action_cancel(self) -> None:
        """Stop the selected step."""
        status = self.query_one(StepList).selected
        if status is not None:
            self._plan.cancel(status.id)

    @work(group="docker", exclusive=True, exit_on_error=False)
    async def action_docker(self, begin_with: str = "") -> None:
        """Show the Docker panel, then do what was chosen there.

        `begin_with` is one of the panel's actions.
        """
        inventory = self.services.inventory
        if inventory is None:
            self.notice.show_text(
                "Hosting does not use Docker here; `--environment docker` chooses it."
            )
            return
        from torbiz_tui.screens.docker import OPENS_LOG, REBUILDS, DockerScreen

        chosen = await self.app.push_screen_wait(DockerScreen(self.services, inventory, begin_with))
        if chosen == OPENS_LOG:
            await self.app.run_action("show_log('container')")
        elif chosen == REBUILDS:
            self.do_step(_IMAGE_STEP, anew=True)
        else:
            self.action_check()

    @work(group="retry", exit_on_error=False)
    async def do_step(self, step_id: str, *, anew: bool = False, note: str = "") -> None:
        """Select a step and do it, `anew` also if it is done; `note` is shown meanwhile."""
        self.query_one(StepList).select(step_id)
        if note:
            self.notice.show_text(note)
        await (self._plan.redo(step_id) if anew else self._plan.retry(step_id))
        self._after_plan()

    @work(group="anew", exclusive=True, exit_on_error=False)
    async def _install_anew(self) -> None:
        from torbiz_tui.screens.remedies import on_setup
        from torbiz_tui.troubleshooting.symptom import Action

        await on_setup(self, Action.REINSTALL_STACK)

    def action_skip(self) -> None:
        """Go on without the selected step."""
        status = self.query_one(StepList).selected
        if status is not None:
            self._plan.skip(status.id)
            self._refresh_steps()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what makes sense for the selected step."""
        if action == "docker":
            return self.services.inventory is not None
        if action in ("retry", "cancel", "skip"):
            steps = self.query(StepList)
            status = steps.first().selected if steps else None
            if status is None:
                return False
            if action == "cancel":
                return status.state.active
            if action == "retry":
                return status.state in _RETRIABLE
            return not status.state.lets_on
        return super().check_action(action, parameters)

    def problem(self) -> Explanation | None:
        """That of the message, else that which made the selected step fail."""
        steps = self.query(StepList)
        status = steps.first().selected if steps else None
        return super().problem() or (status.known if status is not None else None)

    def would_lose(self) -> list[str]:
        """A step that is at work would have to begin again."""
        return [
            f"Setup is at work: {status.title}."
            for status in self._plan.statuses
            if status.state is StepState.RUNNING
        ]

    def palette_commands(self) -> Iterable[SystemCommand]:
        """The actions that the selected step allows."""
        yield SystemCommand("Set up this machine", "Bring everything that is missing", self._run)
        yield SystemCommand("Check again", "Look at all steps; change nothing", self.action_check)
        if self._plan.has(_STACK_STEP):
            yield SystemCommand(
                "Install Petals anew", "Also when nothing is missing", self._install_anew
            )
        for action, title, run in (
            ("retry", "Retry the selected step", self.action_retry),
            ("cancel", "Cancel the selected step", self.action_cancel),
            ("skip", "Skip the selected step", self.action_skip),
        ):
            if self.check_action(action, ()):
                yield SystemCommand(title, "", run)
