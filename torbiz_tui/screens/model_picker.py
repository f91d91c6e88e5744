"""Choosing the model that answers, or the one to share."""

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

from torbiz_tui.catalogue.architecture import MAIN
from torbiz_tui.catalogue.model_info import with_channel
from torbiz_tui.errors import TorbizError
from torbiz_tui.screens.framed import FramedScreen

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.catalogue import ModelInfo
    from torbiz_tui.config import ShareConfig
    from torbiz_tui.fit import Fit
    from torbiz_tui.sharing.request import ShareRequest

# The frame, and the longest verdict.
_BESIDE_NAME = 26
_FIT_STYLES = {"whole": "$text-success", "part": "", "none": "$text-warning", "unknown": "dim"}


@dataclass(frozen=True)
class ModelChoice:
    """A model by a name that can be resolved, and whether it is loaded here without a swarm."""

    model: str
    local: bool = False


class ModelPicker(FramedScreen[ModelChoice | None]):
    """The known models with how they fit, and a field for any other; Escape changes nothing.

    Ask chooses besides where it is computed. Share gives `request`, by whose settings it is told
    what fits, and why.
    """

    BINDINGS = [Binding("escape", "dismiss(None)", "Close")]
    DEFAULT_CSS = """
    ModelPicker #frame {
        width: 84;
        overflow-y: auto;
    }
    ModelPicker OptionList {
        height: auto;
        max-height: 10;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        border: none;
        padding: 0;
        background: transparent;
    }
    ModelPicker Input { margin: 1 0; }
    ModelPicker #why { color: $text-muted; height: auto; min-height: 3; margin: 1 0 0 0; }
    ModelPicker .note { color: $text-muted; height: auto; margin: 1 0 0 0; }
    ModelPicker.-short #frame { padding: 0 1; border: none; }
    """

    def __init__(
        self,
        services: Services,
        current: str,
        *,
        local: bool = False,
        request: ShareRequest | None = None,
    ) -> None:
        super().__init__()
        self._services = services
        self._current = current
        self._local = local
        self._request = request
        self._fits: Mapping[str, Fit] = {}
        self._names: list[str] = []
        self._models: Sequence[ModelInfo] = ()
        self._hosted = ""

    def compose(self) -> ComposeResult:
        """What there is, what else there could be, and where."""
        with Vertical(id="frame") as frame:
            sharing = self._request is not None
            frame.border_title = "Which model is shared?" if sharing else "Which model answers?"
            frame.border_subtitle = "Enter chooses, Tab goes on, Esc closes"
            yield OptionList(id="models", markup=False, compact=True)
            if sharing:
                yield Static(id="why", markup=False)
            yield Input(
                placeholder="Another one: a Hugging Face id such as owner/name, or a folder",
                id="other",
                compact=True,
            )
            if sharing:
                yield Static("How much fits is looked at…", classes="note")
                return
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
        try:
            fits = await self._look_at_fits(models)
        except TorbizError as error:
            self._note(f"{error.what} {error.why}")
        else:
            self._show_fits(fits)

    async def _look_at_fits(self, models: Sequence[ModelInfo]) -> dict[str, Fit]:
        """How the models fit on this machine, by name; looking at it can take some seconds."""
        from torbiz_tui.hardware import as_containers_see, look
        from torbiz_tui.sharing.outlook import fits_here
        from torbiz_tui.threads import call_abandonable

        if all(model.architecture is None for model in models):
            return {}
        services = self._services
        machine = await call_abandonable(look, "look at the machine")
        request = self._request or _configured(services.config.share)
        hosting = services.environment.hosting
        machine = as_containers_see(machine, await hosting.machine_memory())
        return fits_here(models, request, services.config, machine, hosting.name)

    def _show_fits(self, fits: Mapping[str, Fit]) -> None:
        """Say in the rows that are listed what fits; what is highlighted stays so."""
        self._fits = fits
        listed = self.query_one("#models", OptionList)
        for model in self._models:
            if model.name in fits:
                index = self._names.index(_chosen_by(model))
                listed.replace_option_prompt_at_index(index, self._row(model))
        if self._request is not None:
            self._say_why(listed.highlighted)
            reserve = self._request.reserve_percent
            self._note(
                f"What fits goes by the memory that is free now; {reserve}% is kept back"
                " (More settings)."
                if fits
                else "How much memory is free here is not known."
            )

    def _note(self, text: str) -> None:
        self.query_one(".note", Static).update(Content(text))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._say_why(event.option_index)

    def _say_why(self, index: int | None) -> None:
        """Explain the fit of a row, and what its model asks for."""
        from torbiz_tui.sharing.outlook import conditions

        if self._request is None or index is None or index >= len(self._names):
            return
        name = self._names[index]
        model = next((one for one in self._models if _chosen_by(one) == name), None)
        if model is None:
            return
        fit = self._fits.get(model.name)
        parts = [fit.sentence() if fit is not None else "", conditions(model)]
        self.query_one("#why", Static).update(Content("\n".join(part for part in parts if part)))

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

    def _row(self, model: ModelInfo) -> Content:
        from torbiz_tui.sharing.outlook import fit_words

        fit = self._fits.get(model.name)
        parts: list[tuple[str, str]] = []
        notes = list(model.demands)
        if model.source == self._hosted:
            notes.append("shared by this machine")
        if self._current in (model.name, model.source):
            notes.append("chosen now")
        # The mark says that already.
        notes.append(model.note.removesuffix(with_channel("", MAIN)))
        if fit is not None:
            widest = max(len(fit_words(one)) for one in self._fits.values())
            parts.append((f"{fit_words(fit)},".ljust(widest + 2), _FIT_STYLES[fit.verdict]))
        else:
            notes.insert(0, f"{model.num_blocks} blocks")
        longest = max(len(each.name) for each in self._models)
        width = min(longest, self.app.size.width - _BESIDE_NAME)
        # The end of a name tells more than its owner.
        name = model.name if len(model.name) <= width else "…" + model.name[1 - width :]
        text = ", ".join(note for note in notes if note)
        return Content.assemble(name.ljust(width + 2), *parts, (text, "dim"))

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
        where = self.query("#where").results(Select)
        self.dismiss(ModelChoice(model, any(select.value is True for select in where)))


def _configured(share: ShareConfig) -> ShareRequest:
    """The settings that say what fits, as they are configured."""
    from torbiz_tui.sharing.request import ShareRequest

    return ShareRequest(
        "",
        device=share.device,
        torch_dtype=share.torch_dtype,
        quantization=share.quantization,
        attn_cache_tokens=share.attn_cache_tokens,
        reserve_percent=share.reserve_percent,
    )


def _chosen_by(model: ModelInfo) -> str:
    """What chooses a model: the demo's folder alone does not say that it is the demo."""
    return model.name if model.demo else model.source
