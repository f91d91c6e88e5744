"""What is known of one model."""

from __future__ import annotations

from dataclasses import dataclass

from torbiz_tui.catalogue.architecture import MAIN, RELEASE, Architecture

DEMO_MODEL = "torbiz-demo"


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be hosted or asked.

    `source` is what Petals loads it from: a hub id or a folder. `dht_prefix` is empty where Petals
    derives it from the hub id. `parameters` is a count, None when unknown. `kind` is `chat`,
    `instruct` (follows a single instruction), `base`, or empty when unknown. `gated` says that the
    hub gives it only to who has accepted its licence. `channel` is the least that Petals must be
    (`release`, or `main`, its main branch).
    """

    name: str
    source: str
    model_type: str
    num_blocks: int
    torch_dtype: str = "auto"
    dht_prefix: str = ""
    demo: bool = False
    note: str = ""
    parameters: int | None = None
    kind: str = ""
    licence: str = ""
    gated: bool = False
    channel: str = RELEASE
    architecture: Architecture | None = None

    @property
    def demands(self) -> tuple[str, ...]:
        """What serving it asks for before it can begin: `licence`, `main`."""
        demands = (("licence", self.gated), ("main", self.channel == MAIN))
        return tuple(name for name, asked in demands if asked)


def with_channel(note: str, channel: str) -> str:
    """A note, and what Petals must be where the released one does not do."""
    return f"{note}, needs Petals' main branch" if channel == MAIN else note
