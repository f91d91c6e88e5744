"""Choosing the model that answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Select, Static
from textual.widgets.option_list import Option

from torbiz_tui.errors import TorbizError
from torbiz_tui.screens.framed import FramedScreen

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.catalogue import ModelInfo
    from torbiz_tui.fit import Fit


@dataclass(frozen=True)
class ModelChoice:
    """A model by a name that can be resolved, and whether it is loaded here without a swarm."""

    model: str
    local: bool


class ModelPicker(FramedScreen[ModelChoice | None]):
    """The known models, a field for any other, and where it is computed; Escape changes nothing."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Close")]
    DEFAULT_CSS = """
    ModelPicker #frame {
        width: 84;
        overflow-y: auto;
    }
    ModelPicker OptionList {
        height: auto;
        max-height: 10;
        border: none;
        padding: 0;
        background: transparent;
    }
    ModelPicker Input { margin: 1 0; }
    ModelPicker .note { color: $text-muted; height: auto; margin: 1 0 0 0; }
    ModelPicker.-short #frame { padding: 0 1; border: none; }
    """

    def __init__(self, services: Services, current: str, *, local: bool) -> None:
        super().__init__()
        self._services = services
        self._current = current
        self._local = local
        self._names: list[str] = []
        self._models: Sequence[ModelInfo] = ()
        self._hosted = ""

    def compose(self) -> ComposeResult:
        """What there is, what else there could be, and where."""
        with Vertical(id="frame") as frame:
            frame.border_title = "Which model answers?"
            frame.border_subtitle = "Enter chooses, Tab goes on, Esc closes"
            yield OptionList(id="models", markup=False, compact=True)
            yield Input(
                placeholder="Another one: a Hugging Face id such as owner/name, or a folder",
                id="other",
                compact=True,
            )
            where = [
                ("computed by a swarm", False),
                ("local: loaded on this machine, without a swarm", True),
            ]
            yield Select(where, value=self._local, allow_blank=False, id="where", compact=True)
            yield Static(
                "A swarm computes the blocks; local needs memory for the whole model here.",
                classes="note",
            )

    def on_mount(self) -> None:
        """Read which models there are."""
        self.query_one("#models").focus()
        self._load()

    @work(group="models", exit_on_error=False)
    async def _load(self) -> None:
        from torbiz_tui.catalogue import known_models

        models = await asyncio.to_thread(known_models, self._services.paths)
        self._show(models)
        self._show_fits(await self._fits(models))

    async def _fits(self, models: Sequence[ModelInfo]) -> dict[str, Fit]:
        """How the models fit on this machine, by name; looking at it can take some seconds."""
        from torbiz_tui.fit import configured_fit, configured_place
        from torbiz_tui.hardware import look
        from torbiz_tui.threads import call_abandonable

        if all(model.architecture is None for model in models):
            return {}
        services = self._services
        machine = await call_abandonable(look, "look at the machine")
        try:
            place = configured_place(services.config, machine, services.environment.hosting.name)
        except TorbizError as error:
            self.query_one(".note", Static).update(Content(f"{error.what} {error.why or ''}"))
            return {}
        fits = {model.name: configured_fit(services.config, model, place) for model in models}
        return {name: fit for name, fit in fits.items() if fit is not None}

    def _show_fits(self, fits: Mapping[str, Fit]) -> None:
        """Say in the rows that are listed what fits; what is highlighted stays so."""
        listed = self.query_one("#models", OptionList)
        for model in self._models:
            fit = fits.get(model.name)
            if fit is not None:
                index = self._names.index(_chosen_by(model))
                listed.replace_option_prompt_at_index(index, self._row(model, fit))

    def _show(self, models: Sequence[ModelInfo]) -> None:
        spec = self._services.sharing.state.spec
        hosted = spec.source if spec is not None and self._services.sharing.state.active else ""
        self._models = models
        self._hosted = hosted
        rows: dict[str, Content] = {}
        current = self._current
        for model in models:
            name = _chosen_by(model)
            if current in (model.name, model.source):
                current = name
            rows[name] = self._row(model)
        if spec is not None and hosted and all(model.source != hosted for model in models):
            rows[hosted] = Content.assemble(spec.model, ("  shared by this machine", "dim"))
        if current and current not in rows:
            rows[current] = Content.assemble(current, ("  chosen now", "dim"))
        self._names = list(rows)
        listed = self.query_one("#models", OptionList)
        listed.clear_options()
        listed.add_options([Option(row) for row in rows.values()])
        listed.highlighted = self._names.index(current) if current else 0

    def _row(self, model: ModelInfo, fit: Fit | None = None) -> Content:
        blocks = f"{model.num_blocks} blocks" if fit is None else f"fits {fit.short()}"
        notes = [blocks, model.note]
        if model.source == self._hosted:
            notes.append("shared by this machine")
        if self._current in (model.name, model.source):
            notes.append("chosen now")
        width = max(len(each.name) for each in self._models)
        return Content.assemble(
            model.name.ljust(width), ("  " + ", ".join(note for note in notes if note), "dim")
        )

    def on_key(self, event: events.Key) -> None:
        """The arrows go on from the last row to the field, and back."""
        listed, other = self.query_one("#models", OptionList), self.query_one("#other")
        last = listed.option_count - 1
        if event.key == "up" and other.has_focus:
            listed.focus()
            event.stop()
        elif event.key == "down" and listed.has_focus and listed.highlighted == last:
            other.focus()
            event.stop()

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self._answer(self._names[event.option_index])

    @on(Input.Submitted)
    def _named(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self._answer(event.value.strip())

    def _answer(self, model: str) -> None:
        self.dismiss(ModelChoice(model, self.query_one("#where", Select).value is True))


def _chosen_by(model: ModelInfo) -> str:
    """What chooses a model: the demo's folder alone does not say that it is the demo."""
    return model.name if model.demo else model.source
