"""The bootstrap node: how its runner is called, and what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torbiz_tui.config import Config
from torbiz_tui.environments.base import EnvironmentDriver, RunnerCommand
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths, write_json
from torbiz_tui.private_swarms.known import MAX_KEPT_PEERS
from torbiz_tui.private_swarms.peer_address import whole_peers

LOG = "bootstrap.log"
# The runner bounds its start itself, at 60 s.
_START_S = 75.0
_STOP_GRACE_S = 4.0


@dataclass(frozen=True)
class Stage:
    """How far the start is: `importing` or `connecting`."""

    name: str


@dataclass(frozen=True)
class Ready:
    """It can be joined at these addresses."""

    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Peers:
    """How many peers it knows now, and where some of them are reached."""

    count: int
    addresses: tuple[str, ...] = ()


BootstrapEvent = Stage | Ready | Peers


def identity_file(paths: Paths, name: str) -> Path:
    """The key of the node of a swarm, by which others know it."""
    return paths.run / (f"bootstrap-{name}.identity" if name else "bootstrap.identity")


def last_port(paths: Paths, name: str) -> int | None:
    """The port at which the node of this swarm was reached last, None when that is not known."""
    try:
        port = json.loads(_memory(paths, name).read_text("utf-8"))["port"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return port if isinstance(port, int) and 0 < port <= 65_535 else None


def remember_port(paths: Paths, name: str, port: int) -> None:
    """Keep the port, so that the address stays. Raises OSError."""
    write_json(_memory(paths, name), {"port": port})


def _memory(paths: Paths, name: str) -> Path:
    return identity_file(paths, name).with_suffix(".json")


def bootstrap_command(
    config: Config, paths: Paths, name: str, port: int, known_peers: Sequence[str] = ()
) -> RunnerCommand:
    """How the runner is called; of `known_peers` those that are still there are joined."""
    arguments = ["--port", str(port), "--identity", str(identity_file(paths, name))]
    if config.demo:
        arguments += ["--host-maddr", f"/ip4/127.0.0.1/tcp/{port}"]
    for option, values in (
        ("--announce-maddr", config.share.announce_maddrs),
        ("--initial-peer", config.swarm.initial_peers),
        ("--known-peer", known_peers),
    ):
        for value in values:
            arguments += [option, value]
    return RunnerCommand(
        "run_bootstrap.py", tuple(arguments), title="The bootstrap node", log_name=LOG
    )


async def run_bootstrap(
    driver: EnvironmentDriver, command: RunnerCommand
) -> AsyncGenerator[BootstrapEvent, None]:
    """What the node says, until it ends or the iteration is closed, which ends it.

    Raises TorbizError when it cannot start or has ended by itself.
    """
    process = await driver.spawn(command)
    try:
        messages = process.messages()
        deadline: float | None = asyncio.get_running_loop().time() + _START_S
        while (message := await _next(messages, deadline)) is not None:
            event = _read(message)
            if isinstance(event, Ready):
                deadline = None
            if event is not None:
                yield event
        report = await process.wait()
        raise TorbizError(
            "The bootstrap node has ended.",
            why=report.sentence() if report is not None else "",
            remedy=f"Start it again; its log ({LOG}) has the details.",
            code="bootstrap_ended",
            details=report.last_lines[-4:] if report is not None else (),
        )
    finally:
        await process.stop(_STOP_GRACE_S)


async def _next(
    messages: AsyncIterator[dict[str, Any]], deadline: float | None
) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(messages, None)
    except TimeoutError:
        raise TorbizError(
            f"The bootstrap node has not started after {_START_S:.0f} s.",
            remedy=f"Its log ({LOG}) has the details.",
            code="timeout",
        ) from None


def _read(message: Mapping[str, Any]) -> BootstrapEvent | None:
    match message:
        case {"type": "status", "stage": ("importing" | "connecting") as stage}:
            return Stage(stage)
        case {"type": "ready", "addresses": [*addresses]}:
            return Ready(whole_peers(map(str, addresses)))
        case {"type": "peers", "count": int(count), "addresses": [*addresses]}:
            return Peers(count, whole_peers(map(str, addresses))[:MAX_KEPT_PEERS])
        case {"type": "error"}:
            code = sanitize_line(str(message.get("code")))[:40]
            what = sanitize_line(str(message.get("message")))[:500]
            raise TorbizError(what, remedy=_REMEDIES.get(code, ""), code=code)
    logger("sharing").warning("the bootstrap node says %r", str(message)[:200])
    return None


_REMEDIES = {
    "port_taken": "A server of this machine may have it; give the node another one with --port.",
    "connection_failed": "Check the address of the peer, and the network of this machine.",
}
