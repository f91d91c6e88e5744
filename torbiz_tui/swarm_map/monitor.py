"""Watching a swarm: runs the monitor, reads its looks, starts it again when it fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torbiz_tui.catalogue import ModelInfo, known_models, resolve_model
from torbiz_tui.config import Config
from torbiz_tui.environments.base import EnvironmentDriver, RunnerCommand, RunnerProcess
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.naming import called_in_swarm
from torbiz_tui.private_swarms.peer_address import read_peer, whole_peers
from torbiz_tui.swarm_map.last_looks import LastLooks
from torbiz_tui.swarm_map.snapshot import BadSnapshotError, Snapshot, read_snapshot

PERIOD_S = 5.0
# The monitor bounds itself: joining 30 s, a look 30 s. Longer silence means that it hangs.
_SILENCE_S = 75.0
_STOP_GRACE_S = 4.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_PUBLIC = "the public swarm"

FindPeers = Callable[[ModelInfo], Awaitable[tuple[str, ...] | None]]
"""Answers with the initial peers of the swarm that serves the model; None is the public swarm.

Raises NotServedError when there is no swarm to ask.
"""

STAGE_TITLES = {
    "importing": "Starting the monitor",
    "connecting": "Connecting to the swarm",
    "looking": "Looking up the blocks",
}


@dataclass(frozen=True)
class Looking:
    """The monitor is not as far as to tell something; `stage` is a key of STAGE_TITLES.

    `where` says in words which swarm is asked, `last` how it was when it was last looked at.
    """

    stage: str
    where: str = field(default="", compare=False)
    last: Snapshot | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Trouble:
    """The swarm could not be looked at; `again_in_s` seconds later it is tried again.

    It is 0 where the monitor itself goes on.
    """

    error: TorbizError
    again_in_s: float = 0.0


SwarmEvent = Looking | Snapshot | Trouble


def monitor_command(
    model: ModelInfo, peers: tuple[str, ...] | None, period_s: float = PERIOD_S
) -> RunnerCommand:
    """How the monitor of a model is called; None for `peers` is the public swarm."""
    arguments = ["--model-name", model.source, "--num-blocks", str(model.num_blocks)]
    arguments += ["--period", f"{period_s:g}"]
    if model.dht_prefix:
        arguments += ["--dht-prefix", model.dht_prefix]
    elif model.model_type:
        arguments += ["--model-type", model.model_type]
    for peer in peers or ():
        arguments += ["--initial-peer", peer]
    return RunnerCommand(
        "run_swarm_monitor.py",
        tuple(arguments),
        title=f"The monitor of {model.name}",
        log_name="swarm_monitor.log",
    )


class SwarmMonitor:
    """Starts a monitor for whoever watches; each watcher has its own."""

    def __init__(
        self, driver: EnvironmentDriver, paths: Paths, config: Config, find_peers: FindPeers
    ) -> None:
        self._driver = driver
        self._paths = paths
        self._config = config
        self._find_peers = find_peers
        self._looks = LastLooks(paths)

    def at(
        self, peers: tuple[str, ...] | None, model: str = "", dht_prefix: str = ""
    ) -> SwarmMonitor:
        """The same for a swarm with these initial peers; None is the public one.

        `dht_prefix` is what that swarm calls the blocks of `model`, where it has its own name.
        """

        async def find(_model: ModelInfo) -> tuple[str, ...] | None:
            return peers

        swarm = replace(self._config.swarm, dht_prefix=dht_prefix)
        config = replace(self._config, model=model, swarm=swarm)
        return SwarmMonitor(self._driver, self._paths, config, find)

    async def watch(
        self, model: str, period_s: float = PERIOD_S
    ) -> AsyncGenerator[SwarmEvent, None]:
        """Looks at the swarm of a model every `period_s` seconds, until the iteration is closed.

        What goes wrong is a `Trouble`, after which it goes on. Raises UsageError when there is no
        such model.
        """
        info = called_in_swarm(await self._facts(model), model, self._config)
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async with contextlib.aclosing(self._run(info, period_s)) as events:
                    async for event in events:
                        if isinstance(event, Snapshot):
                            pause = _FIRST_PAUSE_S
                        yield event
            except TorbizError as error:
                yield Trouble(error, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _facts(self, model: str) -> ModelInfo:
        """The model's facts; of a published one they are known without asking the hub."""
        known = await asyncio.to_thread(known_models, self._paths)
        for published in known:
            if model == published.name == published.source:
                return published
        channel = self._config.petals.channel
        return await resolve_model(model, self._paths, channel=channel)

    async def _run(self, info: ModelInfo, period_s: float) -> AsyncGenerator[SwarmEvent, None]:
        """One monitor to its end, which is always an error."""
        peers = await self._find_peers(info)
        known = info.name, info.dht_prefix, peers
        last = await asyncio.to_thread(self._looks.find, *known)
        where = _where(peers)
        looked: Mapping[str, Any] | None = None
        process = await self._driver.spawn(monitor_command(info, peers, period_s))
        try:
            yield Looking("importing", where, last)
            messages = process.messages()
            while (message := await _next(messages, period_s + _SILENCE_S)) is not None:
                event = _read(message, info.name, public=peers is None)
                if isinstance(event, Trouble) and message.get("fatal"):
                    raise event.error
                if isinstance(event, Snapshot) and not event.alone:
                    looked = message
                if isinstance(event, Looking):
                    event = replace(event, where=where, last=last)
                if event is not None:
                    yield event
            raise await _ended(process)
        finally:
            await process.stop(_STOP_GRACE_S)
            if looked is not None:
                await asyncio.to_thread(self._looks.keep, *known, looked)


def looking_for(model: str, where: str) -> str:
    """What is being done, without a dot; `where` as `Looking` says it, empty while not known."""
    if where == _PUBLIC:
        return f"Looking for {model} in {where}"
    return f"Looking for the swarm of {model}" + (f" at {where}" if where else "")


def _where(peers: tuple[str, ...] | None) -> str:
    """Which swarm is asked, for people."""
    if peers is None:
        return _PUBLIC
    places = list(
        dict.fromkeys(f"{one.host}:{one.port}" for one in map(read_peer, whole_peers(peers)))
    )
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{places[0]}{more}" if places else "the private swarm"


async def _next(messages: AsyncIterator[dict[str, Any]], limit_s: float) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(limit_s):
            return await anext(messages, None)
    except TimeoutError:
        raise TorbizError(
            f"The swarm's monitor has said nothing for {limit_s:.0f} s.",
            remedy="It is started again; its log (swarm_monitor.log) has the details.",
            code="timeout",
        ) from None


def _read(message: Mapping[str, Any], model: str, *, public: bool) -> SwarmEvent | None:
    match message["type"]:
        case "status":
            stage = message.get("stage")
            return Looking(stage) if stage in STAGE_TITLES else None
        case "swarm":
            try:
                return read_snapshot(message, model)
            except BadSnapshotError as error:
                logger("swarm").warning("the monitor says %s", error)
                return None
        case "error":
            what = sanitize_line(str(message.get("message") or "The monitor reported an error."))
            code = sanitize_line(str(message.get("code") or "internal"))[:40]
            remedy = _REMEDIES.get(code, "")
            if public and code == "connection_failed":
                # Nobody has typed an address.
                remedy = "Check the network of this machine."
            return Trouble(TorbizError(what[:500], remedy=remedy, code=code))
    return None


_REMEDIES = {
    "connection_failed": "Check the address of the peer, and the network of this machine.",
    "model_unknown": "Check the model's name, or share it (`torbiz-tui share`).",
}


async def _ended(process: RunnerProcess) -> TorbizError:
    report = await process.wait()
    return TorbizError(
        "The swarm's monitor has ended.",
        why=report.sentence() if report is not None else "",
        remedy="It is started again.",
        code="monitor_died",
        details=report.last_lines[-4:] if report is not None else (),
    )
