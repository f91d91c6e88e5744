"""The environment driver: where Petals runs, and how a process gets there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from torbiz_tui.setup.step import Reporter, Step

if TYPE_CHECKING:
    from torbiz_tui.config import ShareConfig

_RUNS_WHEN = (
    "hours",
    "mains_only",
    "pause_when_busy",
    "reserve_percent",
    "restart_on_crash",
)


@dataclass(frozen=True)
class ServerSpec:
    """What to host and how; the arguments of `run_petals_seeder.py`.

    `source` is a hub id or a local folder; `model` the name that a person uses for it. `blocks` is
    `auto`, a number, or `A:B` (A included, B not). An empty `initial_peers` without `new_swarm`
    means the public swarm; `known_peers` were in the private one before, and are called once they
    are back. Tokens are not part of it: they travel in the environment. `fit_note` says how many
    blocks fit, `fit_warning` that these may not. `swarm_name` is what a private swarm is called
    here. `allow_pickled` takes weights that can run code, where there are no others.
    `petals_options` are further options of Petals' own command line, `name=value` each, sorted.
    `hours`, `mains_only`, `pause_when_busy` and `restart_on_crash` say when it runs, and
    `reserve_percent` what was kept back when its blocks were chosen, all as keys of `share` do.
    """

    model: str
    source: str
    num_blocks: int
    dht_prefix: str = ""
    blocks: str = "auto"
    device: str = "auto"
    torch_dtype: str = "auto"
    quantization: str = "none"
    throughput: str = "auto"
    port: int = 31337
    new_swarm: bool = False
    initial_peers: tuple[str, ...] = ()
    host_maddrs: tuple[str, ...] = ()
    announce_maddrs: tuple[str, ...] = ()
    public_name: str = ""
    attn_cache_tokens: int | None = None
    update_period_s: int | None = None
    fit_note: str = ""
    fit_warning: str = ""
    swarm_name: str = ""
    allow_pickled: bool = False
    petals_options: tuple[str, ...] = ()
    hours: str = ""
    mains_only: bool = False
    pause_when_busy: int | None = None
    reserve_percent: int = 20
    restart_on_crash: bool = True
    known_peers: tuple[str, ...] = ()

    @property
    def revision(self) -> str:
        """The branch, tag or commit of the model at the hub; empty for main."""
        named = (text.partition("=") for text in self.petals_options)
        return next((value for name, _, value in named if name == "revision"), "")

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults, for a file or a label; and always when it runs."""
        return {
            entry.name: value
            for entry in fields(self)
            if (value := getattr(self, entry.name)) != entry.default or entry.name in _RUNS_WHEN
        }

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], configured: ShareConfig | None = None
    ) -> ServerSpec:
        """The spec that `to_json` gave; what this version does not know is left out.

        Earlier versions did not write when a server runs: they started it as `configured` says.
        Raises TypeError or ValueError for anything else.
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"not a server's description: {data!r}")
        known = {entry.name for entry in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in data.items()
            if name in known
        }
        if configured is not None:
            values = {name: getattr(configured, name) for name in _RUNS_WHEN} | values
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class ServerRecord:
    """The hosted server as it is known between runs of the app.

    `id` tells it from every other server, also from a later one in the same place. `pid` is its
    process on this machine and `container` its container's name, where it has the one or the other.
    """

    environment: str
    id: str
    started_at: float
    spec: ServerSpec
    pid: int | None = None
    container: str = ""


@dataclass(frozen=True)
class ServerCondition:
    """What keeps a living server from working, or this program from seeing it.

    `lost` says in words why nobody knows how it is (its engine does not answer); empty while it is
    known.
    """

    paused: bool = False
    lost: str = ""


@dataclass(frozen=True)
class ExitReport:
    """How the hosted server ended; `code` and `signal` are None when nobody saw it.

    `asked`: somebody had asked it to stop; `killed`: it was killed because it did not;
    `host_stopped`: what it ran in was stopped, such as the container engine; `rebooted`: the machine
    was started anew since; `memory_limit`: the
    bytes that it was allowed, where it was limited; `error`: what the engine says of its end.
    """

    code: int | None = None
    signal: str | None = None
    asked: bool = False
    out_of_memory: bool = False
    killed: bool = False
    ended_at: float | None = None
    last_lines: tuple[str, ...] = ()
    host_stopped: bool = False
    rebooted: bool = False
    memory_limit: int | None = None
    error: str = ""

    def sentence(self) -> str:
        """The end in plain words."""
        if self.out_of_memory:
            return self._memory_sentence()
        if self.host_stopped:
            return "Docker was stopped, and the server with it."
        if self.rebooted:
            return "The machine was restarted since, and the server is gone with what it was doing."
        if self.killed:
            return "It did not stop in time and was killed."
        if self.error:
            return f"It could not run: {self.error.rstrip('.')}."
        if self.signal is not None:
            return f"It was ended by {self.signal}."
        if self.code is None:
            return "It is gone; nobody saw how it ended."
        return "It ended normally." if self.code == 0 else f"It ended with exit code {self.code}."

    def _memory_sentence(self) -> str:
        if self.memory_limit is None:
            return "It ran out of memory and the system killed it."
        return (
            f"It needed more than the {self.memory_limit / 2**20:.0f} MiB of memory that it may"
            " use, and the system killed it."
        )


@dataclass(frozen=True)
class ResourceSample:
    """What the hosted server uses: CPU in percent of one core, resident memory in bytes.

    The network bytes count from its start; None where they cannot be told from those of others
    (a container in the machine's own network). `paused`: it is frozen.
    """

    cpu_percent: float
    memory_bytes: int
    processes: int
    network_rx_bytes: int | None = None
    network_tx_bytes: int | None = None
    paused: bool = False


class RunnerProcess(ABC):
    """A runner script that talks JSON lines, over its standard streams or a socket."""

    @abstractmethod
    async def send(self, message: Mapping[str, Any]) -> None:
        """Write one message. Raises TorbizError (code `runner_died`) when nobody reads."""

    @abstractmethod
    def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Its messages in order; ends when the process, or the connection to it, has ended."""

    @abstractmethod
    async def wait(self) -> ExitReport | None:
        """Wait for its end; None when it lives on and only the connection to it has ended."""

    @abstractmethod
    async def stop(self, grace_s: float = 5.0) -> ExitReport:
        """End it for everybody: ask, wait `grace_s` seconds, kill; nothing of it is left."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of it: one that only this program uses ends, one that others may share stays."""


@dataclass(frozen=True)
class RunnerCommand:
    """A runner script and its arguments; `secrets` go into its environment, never into argv.

    `title` is what people call what it runs, such as a model's name.
    """

    script: str
    arguments: tuple[str, ...] = ()
    title: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    log_name: str = "petals_inference.log"


class EnvironmentDriver(ABC):
    """One place where Petals can run."""

    name: str

    @abstractmethod
    def setup_steps(self) -> Sequence[Step]:
        """The steps that make this environment ready."""

    async def machine_memory(self) -> int | None:
        """The bytes of memory of what servers run on, which may be a virtual machine.

        None where that is this machine itself, and where nobody tells.
        """
        return None

    async def prepare_server(self, spec: ServerSpec, report: Reporter) -> None:  # noqa: B027 (few need anything)
        """Bring what this server needs besides what Setup brings, while another one may run.

        It reports only where something has to be brought; cancelling ends it at once, and leaves
        nothing half done. Raises TorbizError when it cannot be had.
        """

    @abstractmethod
    async def start_server(
        self, spec: ServerSpec, secrets: Mapping[str, str], *, replace: bool = False
    ) -> ServerRecord:
        """Start the one hosted server, detached from this program.

        `replace` removes what stands in the way and is not ours (a container of the same name).
        Raises TorbizError: already sharing, port taken, environment not ready, name taken (code
        `container_name_taken`).
        """

    @abstractmethod
    async def command_text(self, spec: ServerSpec) -> str:
        """The command that does the same, for a person to read or to type; it holds no token."""

    @abstractmethod
    async def find_server(self) -> ServerRecord | None:
        """The server that was started earlier, also when it has ended since; None if none was."""

    @abstractmethod
    async def is_running(self, record: ServerRecord) -> bool:
        """Whether that server (not another process of the same number) is alive."""

    @abstractmethod
    def server_lines(self, record: ServerRecord) -> AsyncIterator[list[str]]:
        """Its log lines from its very start on, then as they come, until it has ended.

        An empty batch says once that all that had been logged before has been read.
        """

    @abstractmethod
    async def wait_server(self, record: ServerRecord) -> ExitReport:
        """Wait until it has ended."""

    async def drain_server(self, record: ServerRecord) -> bool:  # noqa: ARG002
        """Ask it to take nothing new, to finish what it is answering, and to stop then.

        It answers for some minutes at most. False where that cannot be asked.
        """
        return False

    @abstractmethod
    async def stop_server(self, record: ServerRecord, grace_s: float) -> ExitReport:
        """Stop it gracefully, kill it after `grace_s` seconds; nothing is left running."""

    @abstractmethod
    async def forget_server(self, record: ServerRecord) -> None:
        """Remove what was remembered of a server that has ended."""

    @abstractmethod
    def samples(self, record: ServerRecord) -> AsyncIterator[ResourceSample]:
        """What it uses, about once a second until it has ended."""

    def conditions(self, record: ServerRecord) -> AsyncIterator[ServerCondition]:  # noqa: ARG002
        """Its condition at first and whenever it changes, until it has ended."""
        return _always_well()

    @abstractmethod
    async def spawn(self, command: RunnerCommand) -> RunnerProcess:
        """Start a runner script. Raises TorbizError when the environment is not ready."""

    @abstractmethod
    async def chat_runner(self, command: RunnerCommand, key: str) -> RunnerProcess:
        """The chat runner that all programs of this home share by this key.

        A living one is joined; otherwise one is started that outlives this program. The command
        is completed with where it listens. Raises TorbizError when the environment is not ready,
        or when it cannot be started.
        """


async def _always_well() -> AsyncIterator[ServerCondition]:
    yield ServerCondition()


@dataclass(frozen=True)
class Environment:
    """The pair that a platform uses: where it hosts, and where it asks from."""

    hosting: EnvironmentDriver
    inference: EnvironmentDriver

    @property
    def name(self) -> str:
        """The name for people: `native`, or `docker + native`."""
        if self.hosting.name == self.inference.name:
            return self.hosting.name
        return f"{self.hosting.name} + {self.inference.name}"
