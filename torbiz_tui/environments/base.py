"""The environment driver: where Petals runs, and how a process gets there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torbiz_tui.setup.step import Step


@dataclass(frozen=True)
class ServerSpec:
    """What to host and how; the arguments of `run_petals_seeder.py`.

    `source` is a hub id or a local folder; `model` the name that a person uses for it. `blocks` is
    `auto`, a number, or `A:B` (A included, B not). An empty `initial_peers` without `new_swarm`
    means the public swarm. Tokens are not part of it: they travel in the environment.
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


@dataclass(frozen=True)
class ServerRecord:
    """The hosted server as it is remembered between runs of the app.

    `start_mark` says when the process with number `pid` was started, in the system's own terms: a
    process that got the same number later has another mark.
    `log_offset` is the byte in `log_file` at which this server's output begins.
    """

    environment: str
    pid: int
    start_mark: str
    started_at: float
    spec: ServerSpec
    log_file: Path
    log_offset: int


@dataclass(frozen=True)
class ExitReport:
    """How the hosted server ended; `code` and `signal` are None when nobody saw it.

    `asked`: somebody had asked it to stop; `killed`: it was killed because it did not.
    """

    code: int | None = None
    signal: str | None = None
    asked: bool = False
    out_of_memory: bool = False
    killed: bool = False
    ended_at: float | None = None
    last_lines: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The end in plain words."""
        if self.out_of_memory:
            return "It ran out of memory and the system killed it."
        if self.killed:
            return "It did not stop in time and was killed."
        if self.signal is not None:
            return f"It was ended by {self.signal}."
        if self.code is None:
            return "It is gone; nobody saw how it ended."
        return "It ended normally." if self.code == 0 else f"It ended with exit code {self.code}."


@dataclass(frozen=True)
class ResourceSample:
    """What the hosted server uses: CPU in percent of one core, resident memory in bytes."""

    cpu_percent: float
    memory_bytes: int
    processes: int


class RunnerProcess(ABC):
    """A runner script that talks JSON lines over its standard streams."""

    @abstractmethod
    async def send(self, message: Mapping[str, Any]) -> None:
        """Write one message. Raises TorbizError (code `runner_died`) when nobody reads."""

    @abstractmethod
    def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Its messages in order; ends when the process has ended."""

    @abstractmethod
    async def wait(self) -> ExitReport:
        """Wait for its end."""

    @abstractmethod
    async def stop(self, grace_s: float = 5.0) -> ExitReport:
        """End it: ask, wait `grace_s` seconds, kill; nothing of it is left afterwards."""


@dataclass(frozen=True)
class RunnerCommand:
    """A runner script and its arguments; `secrets` go into its environment, never into argv."""

    script: str
    arguments: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    log_name: str = "petals_inference.log"


class EnvironmentDriver(ABC):
    """One place where Petals can run."""

    name: str

    @abstractmethod
    def setup_steps(self) -> Sequence[Step]:
        """The steps that make this environment ready."""

    @abstractmethod
    async def start_server(self, spec: ServerSpec, secrets: Mapping[str, str]) -> ServerRecord:
        """Start the one hosted server, detached from this program.

        Raises TorbizError: already sharing, port taken, environment not ready.
        """

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

    @abstractmethod
    async def stop_server(self, record: ServerRecord, grace_s: float) -> ExitReport:
        """Stop it gracefully, kill it after `grace_s` seconds; nothing is left running."""

    @abstractmethod
    async def forget_server(self, record: ServerRecord) -> None:
        """Remove what was remembered of a server that has ended."""

    @abstractmethod
    async def sample(self, record: ServerRecord) -> ResourceSample | None:
        """What it uses now; None when it has ended."""

    @abstractmethod
    async def spawn(self, command: RunnerCommand) -> RunnerProcess:
        """Start a runner script. Raises TorbizError when the environment is not ready."""


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
