"""The hosted server as it is: stages while it starts, numbers while it serves, the end if it failed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Static

from torbiz_tui.sharing.state import STAGE_TITLES, Phase, SharingEvent, SharingState, Stage
from torbiz_tui.troubleshooting.symptom import Severity
from torbiz_tui.widgets.durations import whole_seconds
from torbiz_tui.widgets.notice import EXPLAINS
from torbiz_tui.widgets.serving_rows import Part, serving_rows
from torbiz_tui.widgets.step_list import bar

_EVENTS_SHOWN = 50
_LOG_LINES_SHOWN = 6
_BAR_WIDTH = 16
_USUAL_WIDTH = 76
_HIGH_ENOUGH = 30
_TOLD_WITH_MORE = (Stage.PREPARING, Stage.DOWNLOADING)


class SharingPanel(VerticalScroll, can_focus=True):
    """Shows one SharingState; `show` may be called as often as it changes."""

    DEFAULT_CSS = """
    SharingPanel { height: 1fr; padding: 1 1; scrollbar-size-vertical: 1; }
    SharingPanel Static { height: auto; }
    SharingPanel #buttons { height: 1; margin: 1 0; }
    SharingPanel.-low #buttons { margin: 0; }
    SharingPanel Button { padding: 0 1; margin: 0 1 0 0; }
    SharingPanel Button.-hidden { display: none; }
    SharingPanel #sharing-log { margin: 1 0 0 0; color: $text-muted; }
    """

    def __init__(self) -> None:
        super().__init__(id="panel")
        self._shown: SharingState | None = None

    def compose(self) -> Iterator[Widget]:
        """Facts, buttons, events."""
        yield Static(id="facts", markup=False)
        with Horizontal(id="buttons"):
            yield Button("Stop sharing (x)", id="stop", variant="error", compact=True)
            yield Button("Retry (r)", id="retry", variant="primary", compact=True)
            yield Button("Change the settings (e)", id="edit", compact=True)
            yield Button("Show the log (l)", id="logs", compact=True)
        yield Static(id="events", markup=False)

    def on_resize(self) -> None:
        """Lay the rows out anew."""
        if self._shown is not None:
            self.show(self._shown)

    def show(self, state: SharingState) -> None:
        """Show the state."""
        self._shown = state
        failed = state.phase is Phase.FAILED
        stop = self.query_one("#stop", Button)
        stop.set_class(failed, "-hidden")
        stop.disabled = state.phase is Phase.STOPPING and not state.draining
        stop.label = "Stop now (x)" if state.draining else "Stop sharing (x)"
        self.query_one("#retry").set_class(not failed, "-hidden")
        fixed = state.phase is Phase.STOPPING or state.stage is Stage.PREPARING
        self.query_one("#edit").set_class(fixed, "-hidden")
        width = self.scrollable_content_region.width or _USUAL_WIDTH
        low = self.app.size.height < _HIGH_ENOUGH
        self.set_class(low, "-low")
        self.query_one("#facts", Static).update(_facts(state, width, low=low))
        self.query_one("#events", Static).update(_events(state.events))


def _facts(state: SharingState, width: int, *, low: bool) -> Content:
    if state.phase is Phase.FAILED:
        return _failure(state)
    name = state.spec.model if state.spec is not None else "the model"
    if state.phase is Phase.STOPPING:
        now = "Its blocks are announced offline."
        if state.draining:
            requests = (
                "1 request" if state.requests_open == 1 else f"{state.requests_open} requests"
            )
            now += f" {requests} may finish; x stops at once."
        return Content.assemble((f"Stopping {name}…", "bold"), f"\n{now}")
    if state.phase is Phase.STARTING:
        return _starting(state, name)
    return _serving(state, name, width, low=low)


def _starting(state: SharingState, name: str) -> Content:
    since = f"  {whole_seconds(time.time() - state.started_at)}" if state.started_at else ""
    parts: list[Part] = [(f"Starting {name}", "bold"), (since, "dim"), "\n"]
    if state.lost or state.paused:
        parts = [*_headline(state, name), "\n"]
    elif state.pauses:
        return _pausing(state)
    # Most models are there already, or are local ones.
    downloads = state.download is not None
    stages = [stage for stage in Stage if downloads or stage is not Stage.DOWNLOADING]
    if state.stage is not Stage.PREPARING:
        stages.remove(Stage.PREPARING)
    current = stages.index(state.stage) if state.stage is not None else 0
    for index, stage in enumerate(stages):
        title = STAGE_TITLES[stage]
        if index < current:
            parts += ["\n", ("✓ ", "$text-success"), title]
        elif index == current:
            if state.restart_at is not None or stage in _TOLD_WITH_MORE:
                title = state.stage_text
            parts += ["\n", (f"▸ {title}", "bold $text-accent")]
            if stage is Stage.LOADING and state.blocks is not None:
                count = state.blocks[1] - state.blocks[0]
                parts += [f"  {state.blocks_loaded} of {count}  "]
                parts.append(bar(state.blocks_loaded / max(1, count), _BAR_WIDTH))
        else:
            parts += ["\n", (f"· {title}", "dim")]
    return Content.assemble(*parts, *_problem(state))


def _pausing(state: SharingState) -> Content:
    """By a person's own wish, and nothing of the start is going on."""
    from torbiz_tui.sharing.when_served import goes_on, pauses_at

    parts: list[Part] = [("‖ ", "$text-warning"), (state.stage_text, "bold $text-warning")]
    if state.spec is not None:
        told = f"{goes_on(state.spec, state.pauses)} e changes when it pauses."
        parts += [f"\n  {told}", (f"\n  {state.spec.model} pauses ", "dim")]
        parts.append((pauses_at(state.spec), "dim"))
    return Content.assemble(*parts, *_problem(state))


def _serving(state: SharingState, name: str, width: int, *, low: bool) -> Content:
    parts: list[Part] = [*_headline(state, name), *_problem(state), "\n"]
    parts += serving_rows(state, width)
    if state.addresses:
        parts += _invitation(state, low=low)
    return Content.assemble(*parts)


def _invitation(state: SharingState, *, low: bool) -> list[Part]:
    """What to give to others; where rows are few, what happened is worth more than addresses."""
    from torbiz_tui.sharing.inviting import offers, reach_note

    first = offers(state)[0]
    note = reach_note(state)
    addresses = () if low and first.key == "code" else state.addresses
    parts: list[Part] = [("\nInvite      ", "dim"), f"y copies {first.title}"]
    parts.append((f"; {note}" if note else "", "$text-warning" if note else "dim"))
    return [*parts, *((f"\n{address}", "dim") for address in addresses)]


def _problem(state: SharingState) -> list[Part]:
    """The known problem of which the log told last."""
    event = state.problem_event
    if event is None or event.problem is None:
        return []
    told = f"! {event.problem.title}"
    return [("\n" + told, "bold $text-warning"), (f"  {_time(event)}  {EXPLAINS}", "dim")]


def _time(event: SharingEvent) -> str:
    return time.strftime("%H:%M:%S", time.localtime(event.at))


def _headline(state: SharingState, name: str) -> list[Part]:
    if state.lost:
        return [
            ("? No contact with the server of ", "bold $text-warning"),
            (name, "bold"),
            f"\n  {state.lost} What follows is how it was; the app keeps trying.",
        ]
    if state.paused:
        goes_on = "pkill -CONT -f run_petals_seeder"
        if state.container:
            goes_on = f"docker unpause {state.container}"
        return [
            ("‖ Paused: ", "bold $text-warning"),
            (name, "bold"),
            f"\n→ `{goes_on}` lets it go on; x stops it.",
        ]
    return [("✓ Sharing ", "bold $text-success"), (name, "bold")]


def _failure(state: SharingState) -> Content:
    name = state.spec.model if state.spec is not None else "The server"
    parts: list[Part] = [("✗ Sharing has ended: ", "bold $text-error"), (name, "bold")]
    if state.failure:
        parts.append(f"\n  {state.failure}")
    report = state.exit_report
    if report is not None and report.sentence() not in state.failure:
        parts.append(f"\n  {report.sentence()}")
    if state.ended_by is not None:
        parts.append(f"\n  {state.ended_by.cause}")
    if state.remedy:
        parts.append((f"\n→ {state.remedy}", "bold"))
    if report is not None and _has_a_field(report.last_lines):
        parts.append(("\n  e opens the form at the field that it is about.", "dim"))
    if state.ended_by is not None:
        parts.append((f"\n  {EXPLAINS}", "dim"))
    else:
        parts += _problem(state)
    if report is not None and report.last_lines:
        parts.append(("\n\nThe last lines of its log:", "dim"))
        parts += [(f"\n  {line}", "dim") for line in report.last_lines[-_LOG_LINES_SHOWN:]]
    return Content.assemble(*parts)


def _has_a_field(last_lines: tuple[str, ...]) -> bool:
    from torbiz_tui.sharing.downloads import download_failure
    from torbiz_tui.sharing.draft import FIELD_OF_CODE

    failed = download_failure(last_lines)
    return failed is not None and failed.code in FIELD_OF_CODE


def _events(events: tuple[SharingEvent, ...]) -> Content:
    if not events:
        return Content("")
    parts: list[Part] = [("What happened", "dim")]
    for event in reversed(events[-_EVENTS_SHOWN:]):
        at = _time(event)
        mark = "! " if event.warning else "  "
        parts += [
            (f"\n{at} ", "dim"),
            (f"{mark}{event.text}", "$text-warning" if event.warning else ""),
        ]
        if event.known is not None and event.known.title != event.text:
            harmless = event.known.symptom.severity is Severity.BENIGN
            told = f"Harmless: {event.known.title}" if harmless else event.known.title
            parts.append((f"\n{'':<{len(at) + 3}}{told}", "dim" if harmless else "bold"))
    return Content.assemble(*parts)
