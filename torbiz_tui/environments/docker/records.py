"""What the engine tells of a container: how it is, whose it is, and what it hosts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from torbiz_tui.environments.base import ServerRecord, ServerSpec
from torbiz_tui.environments.docker.holdings import Owner
from torbiz_tui.environments.docker.image import LABEL_ROLE, LABEL_SPEC
from torbiz_tui.logs.sanitizing import sanitize_line

if TYPE_CHECKING:
    from torbiz_tui.config import ShareConfig

ROLE_SEEDER = "seeder"
LABEL_HOME = "torbiz-tui.home"
SEEDER = "run_petals_seeder.py"
# What Torbiz Desktop builds; its containers have no label.
_DESKTOP_IMAGE = "torbiz-petals-macos"
# The words of Docker and of Podman.
_LIVING = ("running", "paused", "restarting", "stopping")
_NEVER_RAN = ("created", "configured", "initialized")


@dataclass(frozen=True)
class ContainerState:
    """One look at a container. `status` is the engine's word, `removed` when there is none.

    Times are seconds since the epoch; `exit_code` is None while it runs and where nobody saw it.
    """

    id: str
    name: str
    status: str
    image: str = ""
    owner: Owner = Owner.OTHER
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    memory_limit: int | None = None
    error: str = ""

    @property
    def paused(self) -> bool:
        """Whether its processes are frozen."""
        return self.status == "paused"

    @property
    def running(self) -> bool:
        """Whether it has processes, also frozen ones."""
        return self.status in _LIVING

    @property
    def never_ran(self) -> bool:
        """Whether it was made and not started, as after a start that was cut off."""
        return self.status in _NEVER_RAN


def state_of(data: Mapping[str, Any]) -> ContainerState:
    """Read the engine's answer to `GET /containers/…/json`."""
    state, config = data.get("State") or {}, data.get("Config") or {}
    host = data.get("HostConfig") or {}
    status = sanitize_line(str(state.get("Status") or "")).lower()
    if not status:
        status = "paused" if state.get("Paused") else "running" if state.get("Running") else ""
    ended = status not in _LIVING and status not in _NEVER_RAN
    return ContainerState(
        id=str(data["Id"]),
        name=sanitize_line(str(data.get("Name") or "").removeprefix("/")),
        status=status,
        image=sanitize_line(str(config.get("Image") or "")),
        owner=_owner(config),
        created_at=seconds(data.get("Created")),
        started_at=seconds(state.get("StartedAt")),
        finished_at=seconds(state.get("FinishedAt")),
        exit_code=int(state.get("ExitCode") or 0) if ended else None,
        out_of_memory=bool(state.get("OOMKilled")),
        memory_limit=int(host.get("Memory") or 0) or None,
        error=sanitize_line(str(state.get("Error") or ""))[:300],
    )


def _owner(config: Mapping[str, Any]) -> Owner:
    if (config.get("Labels") or {}).get(LABEL_ROLE) == ROLE_SEEDER:
        return Owner.OURS
    image = str(config.get("Image") or "").removeprefix("localhost/")
    if image.partition(":")[0] == _DESKTOP_IMAGE or _seeder_arguments(config) is not None:
        return Owner.NAMED
    return Owner.OTHER


def record_of(
    data: Mapping[str, Any], environment: str, configured: ShareConfig | None = None
) -> ServerRecord:
    """The hosted server in a container, ours or one that Torbiz Desktop has started.

    `configured` as in `ServerSpec.from_json`.
    """
    state = state_of(data)
    return ServerRecord(
        environment=environment,
        id=state.id,
        started_at=state.started_at or state.created_at or 0.0,
        spec=_spec(data.get("Config") or {}, configured),
        container=state.name,
    )


def _spec(config: Mapping[str, Any], configured: ShareConfig | None) -> ServerSpec:
    label = (config.get("Labels") or {}).get(LABEL_SPEC)
    if label:
        with contextlib.suppress(ValueError, TypeError):
            return ServerSpec.from_json(_printable(json.loads(label)), configured)
    return _spec_from_arguments(_seeder_arguments(config) or [])


def _printable(value: Any) -> Any:
    """The same without what could act upon a terminal: anybody may label a container."""
    if isinstance(value, str):
        return sanitize_line(value)
    if isinstance(value, list):
        return [_printable(one) for one in value]
    return (
        {key: _printable(one) for key, one in value.items()} if isinstance(value, dict) else value
    )


def _seeder_arguments(config: Mapping[str, Any]) -> list[str] | None:
    """What stands after the seeder's name in the container's command."""
    command = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    for at, word in enumerate(command):
        if PurePosixPath(str(word)).name == SEEDER:
            return [str(one) for one in command[at + 1 :]]
        if SEEDER in str(word):  # a shell's `-c "python3 …"`
            return str(word).partition(SEEDER)[2].split()
    return None


def _spec_from_arguments(arguments: Sequence[str]) -> ServerSpec:
    """What can be told from the command line; a token in it is left alone."""
    values: dict[str, list[str]] = {}
    at = 0
    while at < len(arguments):
        option, equals, value = arguments[at].partition("=")
        at += 1
        if not option.startswith("--"):
            continue
        if not equals and at < len(arguments) and not arguments[at].startswith("--"):
            value = arguments[at]
            at += 1
        values.setdefault(option, []).append(sanitize_line(value))

    def last(*options: str) -> str:
        return next((values[option][-1] for option in options if option in values), "")

    source = last("--model-name", "--model")
    port = last("--port")
    return ServerSpec(
        model=source or "an unknown model",
        source=source,
        num_blocks=0,
        dht_prefix=last("--dht-prefix"),
        blocks=last("--blocks", "--block-indices", "--num-blocks") or "auto",
        port=int(port) if port.isdigit() else ServerSpec.port,
        new_swarm="--new-swarm" in values,
        initial_peers=tuple(values.get("--initial-peer", ())),
        public_name=last("--public-name"),
    )


def seconds(stamp: object) -> float | None:
    """Seconds since the epoch of an engine's time; None for the year 1, which means never."""
    try:
        found = datetime.fromisoformat(str(stamp))
    except ValueError:
        return None
    return found.timestamp() if found.year > 1 else None
