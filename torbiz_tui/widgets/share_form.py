"""The form in which a person says what to share; it keeps what was typed and says what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.containers import Vertical, VerticalScroll
from textual.events import DescendantFocus
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Input, Select, Static

from torbiz_tui.errors import TorbizError
from torbiz_tui.private_swarms.peer_address import read_peer
from torbiz_tui.sharing.draft import (
    FIELD_OF_CODE,
    ShareDraft,
    draft_of,
    leave_revision,
    problems_of,
    request_from,
    revision_in,
    same_name,
    take_revision,
)
from torbiz_tui.sharing.hub_token import token_origin
from torbiz_tui.widgets.field import Field
from torbiz_tui.widgets.model_field import ModelField
from torbiz_tui.widgets.offered_models import OfferedModels
from torbiz_tui.widgets.share_more import ABOUT, CHOICES, FLAGS, NAMES, TEXTS, MoreSettings
from torbiz_tui.widgets.share_problems import ShareProblems
from torbiz_tui.widgets.swarm_choice import SwarmChoice

if TYPE_CHECKING:
    from torbiz_tui.catalogue import ModelInfo
    from torbiz_tui.private_swarms.known import KnownSwarm
    from torbiz_tui.sharing.outlook import Outlook
    from torbiz_tui.sharing.request import ShareRequest

_DEVICES = ("auto", "cpu", "cuda", "mps")
_INTRO = "Lend this machine: it serves blocks of a model to those who ask it."
_INTRO_RUNNING = "It goes on with its settings until you restart it; Esc changes nothing."
_START, _RESTART = "Start sharing", "Restart with these"
# Fewer rows do not hold all fields with space between them, and still fewer not the usual ones.
_ROOMY, _USUAL = 30, 22
_FOOT_ROWS = 2


class ShareForm(Vertical):
    """Model, blocks, device and swarm; the rest one key away; in the foot the command."""

    DEFAULT_CSS = """
    ShareForm { height: 1fr; padding: 1 2 0 2; }
    ShareForm #fields { height: auto; scrollbar-size-vertical: 1; }
    ShareForm Input, ShareForm Select { width: 1fr; max-width: 60; }
    ShareForm Field Label { width: 15; }
    ShareForm Field .hint { width: 1fr; text-overflow: ellipsis; text-wrap: nowrap; }
    ShareForm Field .meaning, ShareForm Field .problem { margin: 0 0 0 15; }
    ShareForm #blocks { width: 16; }
    ShareForm #device { width: 16; }
    ShareForm Field { margin: 0 0 1 0; }
    ShareForm.-dense Field { margin: 0; }
    ShareForm #intro { margin: 0 0 1 0; color: $text-muted; }
    ShareForm.-dense #intro { display: none; }
    ShareForm #start { padding: 0 1; }
    ShareForm #foot { height: auto; margin: 1 0 0 0; }
    ShareForm #start { margin: 0 0 1 15; }
    ShareForm.-dense #foot { margin: 0; }
    ShareForm.-dense #start { margin: 0 0 0 15; }
    ShareForm #about { display: none; }
    ShareForm #about.-shown { display: block; }
    ShareForm #preview, ShareForm #about {
        height: 1; color: $text-muted; text-overflow: ellipsis; text-wrap: nowrap;
    }
    """

    class Changed(Message):
        """A field says something else."""

    class Submitted(Message):
        """The form is right, and this is what it asks for."""

        def __init__(self, request: ShareRequest) -> None:
            super().__init__()
            self.request = request

    def __init__(self, request: ShareRequest) -> None:
        super().__init__(id="form")
        self._base = request
        self._models = OfferedModels()
        self._about_model: list[str] = []
        self._taken_revision = ""
        self._running = False
        self._problems = ShareProblems(self)

    def compose(self) -> Iterator[Widget]:
        """The fields, prefilled."""
        draft = draft_of(self._base, {})
        with VerticalScroll(id="fields", can_focus=False):
            yield Static(_INTRO, id="intro")
            yield Field("model", "Model", ModelField(draft.model))
            yield Field(
                "blocks",
                "Blocks",
                Input(draft.blocks, id="blocks", compact=True),
                hint="auto, a number, or a range such as 0:8",
            )
            yield SwarmChoice(self._base)
            yield Field(
                "device",
                "Device",
                Select(
                    [(name, name) for name in dict.fromkeys((*_DEVICES, draft.device))],
                    value=draft.device,
                    allow_blank=False,
                    id="device",
                    compact=True,
                ),
            )
            yield MoreSettings(draft, token_origin())
        with Vertical(id="foot"):
            yield Static(id="about", markup=False)
            yield Button(_START, variant="primary", id="start", compact=True)
            yield Static(id="preview", markup=False)

    # What it is filled with

    def set_models(self, models: Sequence[ModelInfo]) -> None:
        """Offer these models; what was chosen stays chosen."""
        self._models.offer(models)
        self._choose(self.model or (models[0].name if models else ""))

    def learn(self, model: ModelInfo, revision: str = "") -> None:
        """Take in the facts of a model that is in no list, or of a revision."""
        self._models.learn(model, revision)
        self._told_change()

    def set_swarms(self, swarms: Sequence[KnownSwarm]) -> None:
        """Offer these known swarms; what was chosen stays chosen."""
        self._swarm.set_swarms(swarms)
        self._told_change()

    def fill(self, request: ShareRequest, *, running: bool) -> None:
        """Fill in all fields as a request says; `running`: a server that would be restarted."""
        self._base = request
        draft = draft_of(request, self._swarm.known)
        self._swarm.fill(request)
        self._told_change()
        devices = dict.fromkeys((*_DEVICES, draft.device))
        self.query_one("#device", Select).set_options([(name, name) for name in devices])
        self.query_one("#device", Select).value = draft.device
        for name in ("blocks", "peers"):
            self.query_one(f"#{name}", Input).value = getattr(draft, name)
        self.query_one(MoreSettings).fill(draft)
        self._choose(draft.model)
        self._problems.show_all({})
        self.set_running(running)

    def set_running(self, running: bool) -> None:
        """Say whether there is a server that would be restarted."""
        self._running = running
        self.query_one("#intro", Static).update(_INTRO_RUNNING if running else _INTRO)
        self.set_starting(starting=False)

    def set_starting(self, *, starting: bool) -> None:
        """Say that it is being started, or that it can be."""
        button = self.query_one("#start", Button)
        button.disabled = starting
        button.label = "Starting…" if starting else _RESTART if self._running else _START

    def choose(self, model: str, blocks: str) -> None:
        """Fill in a model, by its name or its source, and the blocks of it."""
        self._choose_another(model)
        self.query_one("#blocks", Input).value = blocks
        self._problems.show_all({})

    def choose_model(self, model: str) -> None:
        """Fill in a model, by its name or its source."""
        self._choose_another(model)
        self._problems.show("model", "")

    def choose_swarm(self, swarm: str) -> None:
        """Fill in the swarm: `new`, `join` or `public`."""
        self._swarm.choose(swarm)

    def _choose_another(self, model: str) -> None:
        """Choose it; a revision was one of the model that was chosen before."""
        before, revision = self.model, self.revision
        self._choose(model)
        if revision and before not in ("", self.model):
            self.query_one("#petals_options", Input).value = leave_revision(self._options)
            self._about_model.append(f"Without revision={revision}, which was for {before}.")

    def _choose(self, model: str) -> None:
        self._about_model = []
        self.query_one(ModelField).value = self._models.name(model)
        self._told_change()

    # What it says

    @property
    def model(self) -> str:
        """The model as it stands there."""
        return self.query_one(ModelField).value

    @property
    def revision(self) -> str:
        """The revision of it that Petals' options name; empty for main."""
        return revision_in(self._options)

    @property
    def info(self) -> ModelInfo | None:
        """The facts of that model and revision, where they are known."""
        return self._models.known(self.model, self.revision)

    @property
    def hub_token(self) -> str:
        """The token that was typed for the hub; never shown, never kept."""
        return self._text("hub_token")

    @property
    def known_swarm(self) -> KnownSwarm | None:
        """The known swarm that is chosen."""
        return self._swarm.chosen

    @property
    def named_by_swarm(self) -> bool:
        """Whether the swarm that is joined names the model."""
        return any(same_name(name, self.model) for name in self._swarm.models)

    def draft(self) -> ShareDraft:
        """All fields as they stand there."""
        more = self.query_one(MoreSettings)
        device = self.query_one("#device", Select).value
        texts = {name: more.said(name) for name in (*TEXTS, *CHOICES)}
        flags = {name: more.switched(name) for name in FLAGS}
        return ShareDraft(
            model=self.model,
            blocks=self._text("blocks"),
            device=str(device),
            swarm=self._swarm.value,
            peers=self._text("peers"),
            **texts,  # type: ignore[arg-type]
            **flags,  # type: ignore[arg-type]
        )

    def request(self) -> ShareRequest | None:
        """What the fields ask for; None where something is wrong with them."""
        draft = self.draft()
        if problems_of(draft, self.info):
            return None
        return request_from(draft, self._base, self._swarm.known)

    def checked(self) -> ShareRequest | None:
        """The request, or None with the problems shown next to their fields."""
        first = self._problems.show_all(problems_of(self.draft(), self.info))
        if first:
            self.focus_field(first)
            return None
        return self.request()

    def show_error(self, error: TorbizError) -> bool:
        """Show an error of the service at the field that it is about; False when it is of none."""
        name = FIELD_OF_CODE.get(error.code)
        if name is None:
            return False
        self._problems.show(name, str(error))
        self.focus_field(name)
        return True

    def show_outlook(self, told: Outlook | None) -> None:
        """Say what the blocks mean here."""
        text = told.text if told is not None else ""
        self._field("blocks").show_meaning(text, doubtful=told is not None and told.doubtful)

    def show_conditions(self, text: str) -> None:
        """Say what the model asks for."""
        parts = [*self._about_model, text]
        self._field("model").show_meaning(" ".join(part for part in parts if part))

    def show_coverage(self, text: str, *, doubtful: bool = False) -> None:
        """Say which blocks of the swarm lack servers."""
        self._field("swarm").show_meaning(text, doubtful=doubtful)

    def show_preview(self, text: str) -> None:
        """Show the command in the foot."""
        self.query_one("#preview", Static).update(text)

    def focus_field(self, name: str) -> None:
        """Put the keys to a field, which comes into sight for it."""
        if name in NAMES:
            self.query_one(MoreSettings).open()
            self._fit_in()
        if name == "peers" and not self._swarm.joining:
            name = "swarm"
        self.query_one(f"#{name}").focus()

    def toggle_more(self) -> None:
        """Show the rest of the settings, or no longer."""
        more = self.query_one(MoreSettings)
        inside = more.opened and more.query_one("#more-fields").has_focus_within
        more.open(opened=not more.opened)
        self._fit_in()
        if more.opened:
            self.query_one("#port").focus()
        elif inside:
            self.query_one("#more").focus()

    @on(Button.Pressed, "#more")
    def _more_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.toggle_more()

    @on(Input.Submitted)
    @on(Button.Pressed, "#start")
    def submit(self) -> None:
        """Check the fields; post what they ask for, or say what is wrong with them."""
        request = self.checked()
        if request is not None:
            self.post_message(self.Submitted(request))

    @on(Select.Changed, "#swarm")
    def _swarm_chosen(self) -> None:
        self._told_change()
        if self.query_one("#swarm").has_focus and self._swarm.joining:
            self.query_one("#peers").focus()

    @on(Select.Changed)
    @on(Input.Changed)
    def _told_change(self) -> None:
        if not self.is_mounted:
            return
        self._problems.take_back()
        self.query_one(ModelField).show(self._models.title(self.model, self.revision))
        another = self._swarm.take_choice()
        self._fit_in()
        if another:
            self._take_from_swarm()
        self.query_one(MoreSettings).show(self.draft())
        self.post_message(self.Changed())

    def _take_from_swarm(self) -> None:
        """A swarm that was just chosen names its model, and a known one the port of old."""
        options = self.query_one("#petals_options", Input)
        if self._taken_revision and self._taken_revision == self.revision:
            # It was that of the swarm before.
            options.value = leave_revision(self._options)
        self._taken_revision = ""
        named = self._swarm.models
        if not named:
            return
        known = self._swarm.chosen
        if known is not None and known.own:
            # The address stays what others have been given.
            self.query_one("#port", Input).value = str(read_peer(known.own[0]).port)
        if not self.named_by_swarm:
            self._choose_another(named[0])
            self._about_model.insert(0, "Named by the swarm.")
        revision = self._swarm.revision_of(self.model)
        if revision and revision != self.revision:
            self._taken_revision = revision
            options.value = take_revision(self._options, revision)
            self._about_model.append(f"The swarm serves revision={revision}.")

    @on(DescendantFocus)
    def _say_what_it_is(self, event: DescendantFocus) -> None:
        self.query_one("#about", Static).update(ABOUT.get(event.widget.id or "", ""))

    def on_resize(self) -> None:
        """What fits depends on the room."""
        self._fit_in()

    def _fit_in(self) -> None:
        height = self.app.size.height
        opened = self.query_one(MoreSettings).opened
        dense = height < (_ROOMY if opened or self._swarm.joining else _USUAL)
        self.query_one("#about").set_class(opened, "-shown")
        self.set_class(dense, "-dense")
        # The foot follows the fields, and stays in sight where they do not all fit.
        foot = opened + (_FOOT_ROWS if dense else 2 * _FOOT_ROWS)
        self.query_one("#fields").styles.max_height = max(1, self.content_size.height - foot)

    @property
    def _swarm(self) -> SwarmChoice:
        return self.query_one(SwarmChoice)

    @property
    def _options(self) -> str:
        return self._text("petals_options")

    def _field(self, name: str) -> Field:
        return self.query_one(f"#field-{name}", Field)

    def _text(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()
