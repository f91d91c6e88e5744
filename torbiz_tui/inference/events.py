"""What a chat is made of: turns, options, routes, and the events that an answer comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torbiz_tui.download import Download

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "cancelled"]

DOWNLOADING = "downloading"
STAGE_TITLES = {
    DOWNLOADING: "Downloading",
    "importing": "Loading Petals",
    "tokenizer": "Loading the tokenizer",
    "loading": "Loading the model's weights",
    "connecting": "Connecting to the swarm",
    "routing": "Finding servers",
    "ready": "Ready",
}


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class GenerateOptions:
    """How to answer; temperature 0 is greedy, `seed` None is a different answer each time.

    The answer ends before the first of the `stop` texts, which is not part of it. `adapter` is the
    LoRA adapter that the servers use, empty for none.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    adapter: str = ""


@dataclass(frozen=True)
class Hop:
    """A server on the way through the blocks: it computes `first` to `end` (not included)."""

    first: int
    end: int
    peer: str
    name: str = ""

    def __str__(self) -> str:
        """Blocks and server for people: `0–7 via alice (…vYA3Rn)`."""
        blocks = blocks_text(((self.first, self.end),))
        short = "…" + self.peer[-6:]
        return f"{blocks} via {f'{self.name} ({short})' if self.name else short}"


@dataclass(frozen=True)
class Route:
    """Which servers would answer now; `missing` are [first, end) ranges that nobody serves.

    `local`: the model is loaded in this machine's memory, and no swarm is asked. With an `adapter`
    only servers that host it count; `without_adapter` are those of the missing blocks that have
    servers without it, and `adapters` what these host in its place.
    """

    num_blocks: int
    hops: tuple[Hop, ...] = ()
    missing: tuple[tuple[int, int], ...] = ()
    local: bool = False
    adapter: str = ""
    without_adapter: tuple[tuple[int, int], ...] = ()
    adapters: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether a question can be answered."""
        return self.local or not self.missing

    def __str__(self) -> str:
        """The route in a line for people."""
        if self.local:
            return f"all {self.num_blocks} blocks on this machine"
        if self.missing and self.without_adapter:
            blocks = f"blocks {blocks_text(self.missing)} of {self.num_blocks}"
            return f"no server hosts the adapter {self.adapter} for {blocks}"
        if self.missing:
            return f"nobody serves blocks {blocks_text(self.missing)} of {self.num_blocks}"
        return " → ".join(map(str, self.hops))


def blocks_text(ranges: tuple[tuple[int, int], ...]) -> str:
    """Ranges [first, end) as people count them: `8–15, 20`."""
    parts = [f"{first}–{end - 1}" if end - first > 1 else f"{first}" for first, end in ranges]
    return ", ".join(parts)


@dataclass(frozen=True)
class StageChanged:
    """The runner is warming up: `stage` is a key of STAGE_TITLES, empty when none runs.

    `download` is how far it is, while files of the model are downloaded.
    """

    stage: str
    download: Download | None = None

    @property
    def title(self) -> str:
        """The stage in words; empty when none runs."""
        return STAGE_TITLES.get(self.stage, self.stage)

    @property
    def text(self) -> str:
        """The same, with how far it is: `Downloading: 1.2 of 3.4 GB`."""
        if self.download is None or not (told := self.download.text):
            return self.title
        return f"{self.title}: {told}"


@dataclass(frozen=True)
class RouteChanged:
    """The servers that would answer are others now."""

    route: Route


@dataclass(frozen=True)
class AnswerStarted:
    """The question is on its way; the counts are tokens.

    `reused_tokens` were still in the session's cache. `dropped_messages` of the oldest ones after
    the system prompt did not fit into a session any more, and the model does not see them.
    """

    prompt_tokens: int
    reused_tokens: int
    dropped_messages: int
    route: Route


@dataclass(frozen=True)
class TokenReceived:
    """The next piece of the answer, sanitized."""

    text: str


@dataclass(frozen=True)
class Recovering:
    """A server was lost; another is looked for to compute blocks `first` to `end`."""

    first: int
    end: int


@dataclass(frozen=True)
class Recovered:
    """The answer goes on with other servers, after so many seconds."""

    seconds: float
    route: Route


@dataclass(frozen=True)
class AnswerDone:
    """The answer is complete; times in seconds. `route` is what computed its last token."""

    finish_reason: FinishReason
    prompt_tokens: int
    reused_tokens: int
    completion_tokens: int
    first_token_s: float
    tokens_per_s: float
    route: Route | None = None


ChatEvent = (
    StageChanged
    | RouteChanged
    | AnswerStarted
    | TokenReceived
    | Recovering
    | Recovered
    | AnswerDone
)
