"""The steps of the setup, one line each."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from torbiz_tui.setup.plan import StepState, StepStatus
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.durations import whole_seconds

MARKS = {
    StepState.WAITING: ("·", "dim"),
    StepState.CHECKING: ("…", "$text-accent"),
    StepState.RUNNING: ("▸", "bold $text-accent"),
    StepState.READY: ("✓", "$text-success"),
    StepState.MISSING: ("○", "$text-warning"),
    StepState.BLOCKED: ("!", "bold $text-warning"),
    StepState.FAILED: ("✗", "bold $text-error"),
    StepState.CANCELLED: ("-", "$text-warning"),
    StepState.SKIPPED: ("»", "dim"),
}
_STATE_WIDTH = 9
_TIME_WIDTH = 12
_BAR_WIDTH = 16
_TITLE_AT_MOST = 28
_ROOM_FOR_DETAIL = 56


def bar(fraction: float, width: int) -> Content:
    """A progress bar with its percentage, readable without colours."""
    fraction = min(1.0, max(0.0, fraction))
    full = round(fraction * width)
    return Content.assemble(
        ("━" * full, "$text-accent"), ("╌" * (width - full), "dim"), f" {fraction:4.0%}"
    )


def step_line(status: StepStatus, title_width: int, width: int) -> Content:
    """`✓ Python for Petals   ready     3.11.2 in /usr/bin            0.3 s`."""
    mark, style = MARKS[status.state]
    elapsed = status.elapsed_now()
    time = whole_seconds(elapsed) if status.state.active or elapsed >= 1 else ""
    head = Content.assemble(
        (f" {mark} ", style),
        Content(status.title).truncate(title_width, ellipsis=True, pad=True),
        "  ",
        (f"{status.state.value:<{_STATE_WIDTH}}", style),
        " ",
    )
    if width < _ROOM_FOR_DETAIL:
        return head
    time_width = _TIME_WIDTH if time else 0
    room = width - head.cell_length - time_width - 1
    detail: list[Content] = []
    if status.fraction is not None and status.state.active:
        progress = bar(status.fraction, min(_BAR_WIDTH, max(4, room - 6)))
        detail.append(progress)
        room -= progress.cell_length + 1
        detail.append(Content(" "))
    if room > 0:
        text = Content(status.detail).truncate(room, ellipsis=True, pad=True)
        detail.append(text.stylize("dim"))
    return Content.assemble(head, *detail, (time.rjust(time_width), "dim"))


class StepList(OptionList):
    """The list; Enter sets the machine up, whichever step is selected."""

    BINDINGS = [*keys.STEPS]
    DEFAULT_CSS = """
    StepList {
        height: auto;
        max-height: 50%;
        border: none;
        padding: 0;
        background: $background;
        scrollbar-size-vertical: 1;
    }
    StepList:focus { border: none; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False, id="steps")
        self._statuses: tuple[StepStatus, ...] = ()

    def show(self, statuses: Sequence[StepStatus]) -> None:
        """Show the steps as they are now; the selection stays."""
        self._statuses = tuple(statuses)
        width = self.scrollable_content_region.width
        title_width = min(
            _TITLE_AT_MOST,
            max((len(status.title) for status in statuses), default=0),
            max(8, width - _STATE_WIDTH - 7),
        )
        lines = [step_line(status, title_width, width) for status in statuses]
        if self.option_count != len(lines):
            self.clear_options()
            self.add_options(
                Option(line, id=status.id) for line, status in zip(lines, statuses, strict=True)
            )
            if lines:
                self.highlighted = 0
            return
        for index, line in enumerate(lines):
            if self.get_option_at_index(index).prompt != line:
                self.replace_option_prompt_at_index(index, line)

    def select(self, step_id: str) -> None:
        """Put the cursor on a step; nothing where there is no such step."""
        for index, status in enumerate(self._statuses):
            if status.id == step_id:
                self.highlighted = index

    def on_resize(self) -> None:
        """Lay the columns out anew."""
        self.show(self._statuses)

    @property
    def selected(self) -> StepStatus | None:
        """The step that the cursor is on."""
        index = self.highlighted
        if index is None or index >= len(self._statuses):
            return None
        return self._statuses[index]
