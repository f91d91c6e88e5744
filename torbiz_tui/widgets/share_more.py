"""The settings of Share that are rarely changed, out of sight until they are wanted."""

from __future__ import annotations

from collections.abc import Iterator

from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.widget import Widget
from textual.widgets import Button, Input, Select

from torbiz_tui.config_schema import SETTINGS
from torbiz_tui.config_values import Choice
from torbiz_tui.sharing.changes import SWITCHES
from torbiz_tui.sharing.draft import ShareDraft, options_in
from torbiz_tui.widgets.field import Field

TEXTS = (
    "port",
    "reserve_percent",
    "hours",
    "pause_when_busy",
    "cache_tokens",
    "throughput",
    "public_name",
    "swarm_name",
    "announce",
    "petals_options",
)
CHOICES = ("torch_dtype", "quantization")
FLAGS = ("mains_only", "restart_on_crash")
# What is said of the field that has the keys, in their order; in a row of 80 columns.
ABOUT = {
    "port": "The TCP port that others dial; behind a router it has to be forwarded.",
    "reserve_percent": "Percent of the free memory that is left to other programs.",
    "hours": "Hours to serve at, such as 22:00-07:00; it pauses outside of them.",
    "mains_only": "What it does while this machine runs on its battery.",
    "pause_when_busy": "It pauses while other programs use more percent of the processors.",
    "restart_on_crash": "What becomes of a server that crashes; at most five starts an hour.",
    "torch_dtype": "Number format of the weights; auto takes that of the model.",
    "quantization": "Compress the weights; int8 and nf4 need an NVIDIA GPU.",
    "cache_tokens": "Tokens of all sessions together in the attention cache.",
    "throughput": "Tokens a second to announce; auto measures once, eval again.",
    "public_name": "What others see on the map.",
    "swarm_name": "What a private swarm is called here, and in its invite codes.",
    "announce": "Addresses to announce instead of those found: behind a NAT the outer one.",
    "petals_options": "Of its own command line, such as num_handlers=3; docs/petals-options.md.",
    "hub_token": "For models that ask for a licence; it is kept nowhere.",
}
NAMES = tuple(ABOUT)
_USUAL = ShareDraft("")
# Of label and value twice.
_TWO_FIELDS = 2 * (15 + 18)
_TOKEN = "a token, for models that ask for a licence"  # noqa: S105 (what the empty field says)


class MoreSettings(Vertical):
    """A row that says what is set, and below it the fields when it is open."""

    DEFAULT_CSS = """
    MoreSettings { height: auto; }
    MoreSettings #more { width: 100%; text-align: left; content-align: left middle; padding: 0; margin: 0;
        text-overflow: ellipsis; text-wrap: nowrap;
    }
    MoreSettings #more-fields { height: auto; display: none; }
    MoreSettings #more-fields Field { margin: 0; }
    MoreSettings .pair { height: auto; max-width: 90; }
    MoreSettings .pair > Field { width: 1fr; }
    MoreSettings .pair Input, MoreSettings .pair Select { width: 18; }
    MoreSettings .pair.-stacked { layout: vertical; max-width: 100%; }
    MoreSettings .pair.-stacked > Field { width: 100%; }
    MoreSettings.-tight .pair { layout: vertical; max-width: 100%; }
    MoreSettings.-tight .pair > Field { width: 100%; }
    """

    def __init__(self, draft: ShareDraft, token_origin: str) -> None:
        super().__init__(id="more-settings")
        self._draft = draft
        self._token_origin = token_origin

    def compose(self) -> Iterator[Widget]:
        """The row, then the fields: those that are changed most come first."""
        draft = self._draft
        yield Button(self._title(draft), id="more", compact=True)
        with Vertical(id="more-fields"):
            with Horizontal(classes="pair"):
                yield Field("port", "Port", _input("port", draft.port))
                yield Field(
                    "reserve_percent",
                    "Kept back (%)",
                    _input("reserve_percent", draft.reserve_percent),
                )
            with Horizontal(classes="pair"):
                yield Field("hours", "Hours", _input("hours", draft.hours, "always"))
                yield Field("mains_only", "On battery", _flag("mains_only", draft.mains_only))
            with Horizontal(classes="pair"):
                yield Field(
                    "pause_when_busy",
                    "Pause at load",
                    _input("pause_when_busy", draft.pause_when_busy, "never"),
                )
                yield Field(
                    "restart_on_crash",
                    "After a crash",
                    _flag("restart_on_crash", draft.restart_on_crash),
                )
            with Horizontal(classes="pair"):
                yield Field(
                    "torch_dtype",
                    "Number format",
                    _choice("torch_dtype", "share.torch_dtype", draft.torch_dtype),
                )
                yield Field(
                    "quantization",
                    "Quantization",
                    _choice("quantization", "share.quantization", draft.quantization),
                )
            with Horizontal(classes="pair"):
                yield Field(
                    "cache_tokens",
                    "Cache limit",
                    _input("cache_tokens", draft.cache_tokens, "left to Petals"),
                )
                yield Field("throughput", "Throughput", _input("throughput", draft.throughput))
            yield Field(
                "public_name", "Public name", _input("public_name", draft.public_name, "none")
            )
            yield Field(
                "swarm_name",
                "Swarm's name",
                _input("swarm_name", draft.swarm_name, "that of the model"),
            )
            yield Field(
                "announce", "Announce", _input("announce", draft.announce, "the addresses found")
            )
            yield Field(
                "petals_options",
                "Petals options",
                _input("petals_options", draft.petals_options, "NAME=VALUE, with blanks between"),
            )
            token = _input("hub_token", "", self._token_origin or _TOKEN)
            token.password = True
            yield Field("hub_token", "Hub token", token)

    def on_resize(self, event: Resize) -> None:
        """Two fields stand beside each other where their values are not cut off."""
        self.set_class(event.size.width < _TWO_FIELDS, "-tight")

    @property
    def opened(self) -> bool:
        """Whether the fields are there."""
        return bool(self.query_one("#more-fields").display)

    def open(self, *, opened: bool = True) -> None:
        """Show the fields, or take them out of sight; what they say stays."""
        self.query_one("#more-fields").display = opened
        self.show(self._draft)

    def show(self, draft: ShareDraft) -> None:
        """Say in the row what is set."""
        self._draft = draft
        self.query_one("#more", Button).label = self._title(draft)

    def make_room(self) -> None:
        """Give the whole width to a field that says what is wrong with it."""
        for pair in self.query(".pair"):
            pair.set_class(bool(pair.query("Field.-wrong")), "-stacked")

    def fill(self, draft: ShareDraft) -> None:
        """Fill in the fields; the token stays as it is."""
        for name in TEXTS:
            self.query_one(f"#{name}", Input).value = getattr(draft, name)
        for name in (*CHOICES, *FLAGS):
            self.query_one(f"#{name}", Select).value = getattr(draft, name)

    def said(self, name: str) -> str:
        """What a field says that is no switch."""
        if name in CHOICES:
            return str(self.query_one(f"#{name}", Select).value)
        return self.query_one(f"#{name}", Input).value.strip()

    def switched(self, name: str) -> bool:
        """What a switch says."""
        return self.query_one(f"#{name}", Select).value is True

    def _title(self, draft: ShareDraft) -> str:
        opened = self.is_mounted and self.opened
        parts = [f"port {draft.port}"]
        parts += [value for value in (draft.torch_dtype,) if value != "auto"]
        parts += [value for value in (draft.quantization,) if value != "none"]
        if draft.cache_tokens.strip():
            parts.append(f"cache of {draft.cache_tokens.strip()} tokens")
        if options := options_in(draft.petals_options):
            parts.append(f"{len(options)} Petals option{'s' * (len(options) > 1)}")
        if draft.public_name.strip():
            parts.append(f"as {draft.public_name.strip()}")
        if draft.hours.strip():
            parts.append(f"at {draft.hours.strip()}")
        if draft.mains_only:
            parts.append("not on battery")
        if draft.pause_when_busy.strip():
            parts.append(f"load up to {draft.pause_when_busy.strip()}%")
        if not draft.restart_on_crash:
            parts.append("no restart after a crash")
        if (reserve := draft.reserve_percent.strip()) != _USUAL.reserve_percent:
            parts.append(f"{reserve}% kept back")
        if (throughput := draft.throughput.strip()) != _USUAL.throughput:
            parts.append(f"throughput {throughput}")
        if draft.announce.strip():
            parts.append("addresses announced")
        if draft.swarm_name.strip():
            parts.append(f"swarm {draft.swarm_name.strip()}")
        return f"{'▾' if opened else '▸'} More settings (Ctrl+O): {', '.join(parts)}"


def _input(name: str, value: str, placeholder: str = "") -> Input:
    return Input(value, placeholder=placeholder, id=name, compact=True)


def _choice(name: str, key: str, value: str) -> Select[str]:
    kind = SETTINGS[key].kind
    words = kind.words if isinstance(kind, Choice) else (value,)
    options = [(word, word) for word in words]
    return Select(options, value=value, allow_blank=False, id=name, compact=True)


def _flag(name: str, value: bool) -> Select[bool]:
    options = [(word, is_on) for is_on, word in SWITCHES[name].items()]
    return Select(options, value=value, allow_blank=False, id=name, compact=True)
