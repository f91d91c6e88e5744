"""The form in which a person says what to share; it keeps what was typed and says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Select, Static

from torbiz_tui.errors import TorbizError, UsageError

if TYPE_CHECKING:
    from torbiz_tui.catalogue import ModelInfo
    from torbiz_tui.sharing.request import ShareRequest

_OTHER = "\0other"
_DEVICES = ("auto", "cpu", "cuda", "mps")
_BLOCKS = re.compile(r"^(?:auto|[1-9]\d*|\d+:\d+)$")
_LAST_PORT = 65_535
_FIELD_OF_CODE = {
    "no_model": "model",
    "model_not_found": "model",
    "model_gated": "model",
    "model_unsupported": "model",
    "hub_unreachable": "model",
    "port_taken": "port",
}


class Field(Vertical):
    """A label, its control, and room for what is wrong with it."""

    DEFAULT_CSS = """
    Field { height: auto; }
    Field > Horizontal { height: auto; }
    Field Label { width: 10; color: $text-muted; }
    Field .hint { width: auto; margin: 0 0 0 2; color: $text-muted; }
    Field .problem { height: auto; margin: 0 0 0 10; color: $text-error; display: none; }
    Field .problem.-shown { display: block; }
    """

    def __init__(self, name: str, label: str, *controls: Widget, hint: str = "") -> None:
        super().__init__(id=f"field-{name}")
        self._label = label
        self._controls = controls
        self._hint = hint

    def compose(self) -> ComposeResult:
        """One line, and the problem below it."""
        with Horizontal():
            yield Label(self._label)
            yield from self._controls
            if self._hint:
                yield Label(self._hint, classes="hint", markup=False)
        yield Static(classes="problem", markup=False)

    def show_problem(self, text: str) -> None:
        """Say what is wrong; an empty text takes it away."""
        problem = self.query_one(".problem", Static)
        problem.update(f"✗ {text}" if text else "")
        problem.set_class(bool(text), "-shown")


class ShareForm(VerticalScroll, can_focus=False):
    """Model, blocks, device, port and swarm."""

    DEFAULT_CSS = """
    ShareForm { height: 1fr; padding: 1 2; scrollbar-size-vertical: 1; }
    ShareForm Input { width: 1fr; max-width: 60; }
    ShareForm Select { width: 1fr; max-width: 60; }
    ShareForm #blocks, ShareForm #port { width: 12; }
    ShareForm #device { width: 14; }
    ShareForm Field { margin: 0 0 1 0; }
    ShareForm #intro { margin: 0 0 1 0; color: $text-muted; }
    ShareForm #field-other, ShareForm #field-peers { display: none; }
    ShareForm #field-other.-shown, ShareForm #field-peers.-shown { display: block; }
    ShareForm Button { padding: 0 1; margin: 0 0 0 10; }
    """

    class Submitted(Message):
        """The form is right, and this is what it asks for."""

        def __init__(self, request: ShareRequest) -> None:
            super().__init__()
            self.request = request

    def __init__(self, request: ShareRequest) -> None:
        super().__init__(id="form")
        self._base = request
        self._models: Sequence[ModelInfo] = ()
        self._touched = False

    def compose(self) -> Iterator[Widget]:
        """The fields, prefilled."""
        yield Static(
            "Lend this machine: it serves blocks of a model to those who ask it.", id="intro"
        )
        base = self._base
        other: Select[str] = Select(
            [(base.model or "Choose a model", base.model), ("Another model…", _OTHER)],
            value=base.model,
            allow_blank=False,
            id="model",
            compact=True,
        )
        yield Field("model", "Model", other)
        yield Field(
            "other", "", Input(placeholder="Hugging Face id, or a folder", id="other", compact=True)
        )
        yield Field(
            "blocks",
            "Blocks",
            Input(base.blocks, id="blocks", compact=True),
            hint="auto, a number, or a range such as 0:8",
        )
        # A configuration may name one of several GPUs: cuda:1.
        devices = [(name, name) for name in dict.fromkeys((*_DEVICES, base.device))]
        yield Field(
            "device",
            "Device",
            Select(devices, value=base.device, allow_blank=False, id="device", compact=True),
        )
        yield Field("port", "Port", Input(str(base.port), id="port", compact=True))
        swarms = [
            ("a new private swarm", "new"),
            ("join a private swarm by its address", "join"),
            ("the public swarm", "public"),
        ]
        swarm = "join" if base.initial_peers else "new" if base.new_swarm else "public"
        yield Field(
            "swarm",
            "Swarm",
            Select(swarms, value=swarm, allow_blank=False, id="swarm", compact=True),
        )
        yield Field(
            "peers",
            "Address",
            Input(
                " ".join(base.initial_peers),
                placeholder="/ip4/…/tcp/…/p2p/…  (several: with blanks between)",
                id="peers",
                compact=True,
            ),
        )
        yield Button("Start sharing", variant="primary", id="start", compact=True)

    def set_models(self, models: Sequence[ModelInfo]) -> None:
        """Offer these models; what was chosen stays chosen."""
        self._models = models
        self._offer(self.query_one("#model", Select).value)

    def choose(self, model: str, blocks: str) -> None:
        """Fill in a model, by its name or its source, and the blocks of it."""
        named = (known.name for known in self._models if model in (known.name, known.source))
        self._offer(next(named, model))
        self.query_one("#blocks", Input).value = blocks
        for field in self.query(Field):
            field.show_problem("")

    def choose_swarm(self, swarm: str) -> None:
        """Fill in the swarm: `new`, `join` or `public`."""
        self.query_one("#swarm", Select).value = swarm

    def _offer(self, chosen: object) -> None:
        models = self._models
        select: Select[str] = self.query_one("#model", Select)
        options = [(self._title(model), model.name) for model in models]
        names = [model.name for model in models]
        if isinstance(chosen, str) and chosen not in ("", _OTHER, *names):
            options.insert(0, (chosen, chosen))
            names.insert(0, chosen)
        select.set_options([*options, ("Another model…", _OTHER)])
        keep = chosen if chosen == _OTHER or chosen in names else (names or [_OTHER])[0]
        if isinstance(keep, str):
            # By way of another value: the same one would leave the old label standing.
            with self.prevent(Select.Changed):
                select.value = _OTHER
            select.value = keep

    def _title(self, model: ModelInfo) -> str:
        note = "demo" if model.demo else model.note
        return f"{model.name}  ({model.num_blocks} blocks{', ' + note if note else ''})"

    @on(Select.Changed)
    def _choice_changed(self) -> None:
        other = self._choice("model") == _OTHER
        self.query_one("#field-other").set_class(other, "-shown")
        self.query_one("#field-peers").set_class(self._choice("swarm") == "join", "-shown")

    @on(Input.Submitted)
    @on(Button.Pressed, "#start")
    def submit(self) -> None:
        """Check the fields; post what they ask for, or say what is wrong with them."""
        request = self.checked()
        if request is not None:
            self.post_message(self.Submitted(request))

    def checked(self) -> ShareRequest | None:
        """The request, or None with the problems shown next to their fields."""
        problems = self._problems()
        for field in self.query(Field):
            name = (field.id or "").removeprefix("field-")
            field.show_problem(problems.get(name, ""))
        if problems:
            first = next(iter(problems))
            self.query_one(f"#{first}").focus()
            return None
        swarm = self._choice("swarm")
        return replace(
            self._base,
            model=self._model(),
            blocks=self._text("blocks").lower(),
            device=self._choice("device"),
            port=int(self._text("port")),
            new_swarm=swarm == "new",
            initial_peers=self._peers() if swarm == "join" else (),
            # Only the configured swarm was meant to stay on this machine.
            loopback=self._base.loopback and swarm == "new",
        )

    def _problems(self) -> dict[str, str]:
        problems: dict[str, str] = {}
        if not self._model():
            field = "other" if self._choice("model") == _OTHER else "model"
            problems[field] = "Name a model: a Hugging Face id such as owner/name, or a folder."
        if problem := self._blocks_problem():
            problems["blocks"] = problem
        port = self._text("port")
        if not port.isdecimal() or not 1 <= int(port) <= _LAST_PORT:
            problems["port"] = "A number from 1 to 65535."
        if self._choice("swarm") == "join":
            if not self._peers():
                problems["peers"] = "Give the address that a member of the swarm has sent you."
            elif wrong := [peer for peer in self._peers() if not peer.startswith("/")]:
                problems["peers"] = f"{wrong[0]} is no address; they begin with /ip4/ or /dns4/."
        return problems

    def _blocks_problem(self) -> str:
        blocks = self._text("blocks").lower()
        if not _BLOCKS.match(blocks):
            return "auto, a number such as 4, or a range such as 0:8 (8 not included)."
        known = next((model for model in self._models if model.name == self._model()), None)
        if known is not None:
            from torbiz_tui.sharing.request import check_blocks

            try:
                check_blocks(blocks, known)
            except UsageError as error:
                return f"{error.what} {error.remedy}"
        elif ":" in blocks and int(blocks.split(":")[0]) >= int(blocks.split(":")[1]):
            return "The first block must be below the end: 0:8 is blocks 0 to 7."
        return ""

    @property
    def model(self) -> str:
        """The model that is chosen; empty when none is."""
        return self._model()

    def _model(self) -> str:
        chosen = self._choice("model")
        return self._text("other") if chosen == _OTHER else chosen

    def _choice(self, name: str) -> str:
        value = self.query_one(f"#{name}", Select).value
        return value if isinstance(value, str) else ""

    def _text(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()

    def _peers(self) -> tuple[str, ...]:
        return tuple(self._text("peers").replace(",", " ").split())

    def show_error(self, error: TorbizError) -> bool:
        """Show an error of the service at the field that it is about; False when it is of none."""
        name = _FIELD_OF_CODE.get(error.code)
        if name is None:
            return False
        if name == "model" and self._choice("model") == _OTHER:
            name = "other"
        self.query_one(f"#field-{name}", Field).show_problem(str(error))
        self.query_one(f"#{name}").focus()
        return True
