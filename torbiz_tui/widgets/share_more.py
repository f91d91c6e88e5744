"""The settings of Share that are rarely changed, out of sight until they are wanted."""

from __future__ import annotations

from collections.abc import Iterator

from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Button, Input, Select

from torbiz_tui.config_schema import SETTINGS
from torbiz_tui.config_values import Choice
from torbiz_tui.sharing.draft import ShareDraft
from torbiz_tui.widgets.field import Field

NAMES = (
    "port",
    "torch_dtype",
    "quantization",
    "cache_tokens",
    "public_name",
    "swarm_name",
    "throughput",
    "announce",
    "hub_token",
)
_TOKEN = "a token, for models that ask for a licence"  # noqa: S105 (what the empty field says)


class MoreSettings(Vertical):
    """A row that says what is set, and below it the fields when it is open."""

    DEFAULT_CSS = """
    MoreSettings { height: auto; }
    MoreSettings #more { width: 100%; text-align: left; content-align: left middle; padding: 0; margin: 0; }
    MoreSettings #more-fields { height: auto; display: none; }
    MoreSettings #more-fields Field { margin: 0; }
    MoreSettings #port, MoreSettings #cache_tokens, MoreSettings #throughput { width: 16; }
    MoreSettings #torch_dtype, MoreSettings #quantization { width: 16; }
    """

    def __init__(self, draft: ShareDraft, token_origin: str) -> None:
        super().__init__(id="more-settings")
        self._draft = draft
        self._token_origin = token_origin

    def compose(self) -> Iterator[Widget]:
        """The row, then the fields."""
        draft = self._draft
        yield Button(self._title(draft), id="more", compact=True)
        with Vertical(id="more-fields"):
            yield Field("port", "Port", _input("port", draft.port), hint="TCP; others dial it")
            yield Field(
                "torch_dtype",
                "Number format",
                _choice("torch_dtype", "share.torch_dtype", draft.torch_dtype),
                hint="auto takes that of the model",
            )
            yield Field(
                "quantization",
                "Quantization",
                _choice("quantization", "share.quantization", draft.quantization),
                hint="on an NVIDIA GPU alone",
            )
            yield Field(
                "cache_tokens",
                "Cache limit",
                _input("cache_tokens", draft.cache_tokens, "left to Petals"),
                hint="tokens of all sessions together",
            )
            yield Field(
                "public_name",
                "Public name",
                _input("public_name", draft.public_name, "none; others see it on the map"),
            )
            yield Field(
                "swarm_name",
                "Swarm's name",
                _input("swarm_name", draft.swarm_name, "what a private swarm is called here"),
            )
            yield Field(
                "throughput",
                "Throughput",
                _input("throughput", draft.throughput),
                hint="auto measures once, eval again",
            )
            yield Field(
                "announce",
                "Announce",
                _input(
                    "announce", draft.announce, "the addresses found; behind a NAT the outer one"
                ),
            )
            token = _input("hub_token", "", self._token_origin or _TOKEN)
            token.password = True
            yield Field("hub_token", "Hub token", token)

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

    def _title(self, draft: ShareDraft) -> str:
        opened = self.is_mounted and self.opened
        parts = [f"port {draft.port}"]
        parts += [value for value in (draft.torch_dtype,) if value != "auto"]
        parts += [value for value in (draft.quantization,) if value != "none"]
        if draft.cache_tokens.strip():
            parts.append(f"cache of {draft.cache_tokens.strip()} tokens")
        if draft.public_name.strip():
            parts.append(f"as {draft.public_name.strip()}")
        return f"{'▾' if opened else '▸'} More settings (Ctrl+O): {', '.join(parts)}"


def _input(name: str, value: str, placeholder: str = "") -> Input:
    return Input(value, placeholder=placeholder, id=name, compact=True)


def _choice(name: str, key: str, value: str) -> Select[str]:
    kind = SETTINGS[key].kind
    words = kind.words if isinstance(kind, Choice) else (value,)
    options = [(word, word) for word in words]
    return Select(options, value=value, allow_blank=False, id=name, compact=True)
