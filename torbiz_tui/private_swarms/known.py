"""The private swarms that this home has been part of, kept in `state.json`.

The file is the app's memory: other keys in it are left as they are.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths, shown, write_json
from torbiz_tui.private_swarms.invite import MAX_MODELS, is_swarm_name, swarm_name
from torbiz_tui.private_swarms.peer_address import read_peer

MAX_SWARMS = 32
MAX_KEPT_PEERS = 16
_KEY = "swarms"
_MAX_BYTES = 4_000_000
_LOCK_S = 5.0


@dataclass(frozen=True)
class KnownModel:
    """A model of a swarm; `source` is the folder that it lies in here, empty for one of the hub."""

    name: str
    dht_prefix: str = ""
    source: str = ""


@dataclass(frozen=True)
class KnownSwarm:
    """A private swarm as it was when it was last seen (seconds since the epoch).

    `own` are the addresses that this machine served at, `peers` those of others. `started_here`:
    it began on this machine.
    """

    name: str
    models: tuple[KnownModel, ...] = ()
    peers: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    started_here: bool = False
    last_seen: float = 0.0

    @property
    def identities(self) -> frozenset[str]:
        """The peers by identity, this machine among them: what one swarm is told from another by."""
        return frozenset(read_peer(text).peer_id for text in (*self.peers, *self.own))


class KnownSwarms:
    """Reads and changes the list; every change is one atomic write under a lock."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.warnings: list[str] = []

    def all(self) -> list[KnownSwarm]:
        """The swarms, the one seen last first; what cannot be read is told in `warnings`."""
        found = [_read(entry) for entry in _entries(self._load())]
        return sorted((one for one in found if one), key=lambda one: -one.last_seen)

    def find(self, name: str) -> KnownSwarm | None:
        """The swarm of this name, or None."""
        return next((one for one in self.all() if one.name == name), None)

    def require(self, name: str) -> KnownSwarm:
        """The swarm of this name. Raises UsageError that names those there are."""
        swarms = self.all()
        for one in swarms:
            if one.name == name:
                return one
        names = ", ".join(one.name for one in swarms)
        raise UsageError(
            f"No swarm is known by the name {name!r}.",
            why=f"Known are: {names}." if names else "None is known yet.",
            remedy="Join one with --join CODE, or start one: share MODEL --new-swarm --swarm NAME.",
            code="swarm_unknown",
        )

    def remember(self, seen: KnownSwarm) -> KnownSwarm:
        """Add what was seen of a swarm to what is known of it; returns what is now kept.

        It is the same swarm when one peer is, whatever it is called. Raises TorbizError when
        nothing can be written.
        """
        kept: list[KnownSwarm] = []

        def change(swarms: list[KnownSwarm]) -> list[KnownSwarm]:
            same = next((one for one in swarms if one.identities & seen.identities), None)
            others = [one for one in swarms if one is not same]
            merged = _merged(same, seen) if same is not None else seen
            taken = {one.name for one in others}
            kept.append(replace(merged, name=_free_name(merged.name, taken)))
            others.sort(key=lambda one: -one.last_seen)
            return [kept[0], *others[: MAX_SWARMS - 1]]

        self._change(change)
        return kept[0]

    def forget(self, name: str) -> None:
        """Forget a swarm. Raises UsageError when there is none of this name."""
        self.require(name)
        self._change(lambda swarms: [one for one in swarms if one.name != name])

    def _change(self, change: Callable[[list[KnownSwarm]], list[KnownSwarm]]) -> None:
        try:
            with self._locked():
                state = self._load()
                swarms = [one for entry in _entries(state) if (one := _read(entry))]
                write_json(
                    self._paths.state_file,
                    {**state, _KEY: [_written(one) for one in change(swarms)]},
                )
        except OSError as error:
            raise TorbizError(
                "What is known of the swarm cannot be kept.",
                why=f"{self._paths.state_file}: {error.strerror or error}.",
                remedy="Free some disk space or mend the permissions.",
                code="state_not_written",
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        self._paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with FileLock(self._paths.run / "state.lock", timeout=_LOCK_S):
                yield
        except Timeout:
            raise TorbizError(
                "Another torbiz-tui holds the list of swarms.",
                remedy="Try again; end that program if it hangs.",
                code="busy",
            ) from None

    def _load(self) -> dict[str, Any]:
        file = self._paths.state_file
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise ValueError(f"it has {file.stat().st_size} bytes")
            state = json.loads(file.read_text("utf-8"))
            if not isinstance(state, dict):
                raise ValueError("it holds no object")
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            self._set_aside(file, f"{error}")
            return {}
        except OSError as error:
            raise TorbizError(
                f"{shown(file)} cannot be read.",
                why=f"{error.strerror}.",
                remedy="Mend its permissions.",
                code="state_not_read",
            ) from error
        return state

    def _set_aside(self, file: Path, why: str) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = file.with_name(f"{file.name}.damaged-{stamp}")
        try:
            file.replace(aside)
        except OSError as error:
            raise TorbizError(
                f"{shown(file)} is damaged, and cannot be set aside.",
                why=f"{why}; {error.strerror}.",
                code="state_damaged",
            ) from error
        text = f"{shown(file)} was damaged ({why}); it is kept as {aside.name}, and begun anew."
        self.warnings.append(text)
        logger("app").warning("%s", text)


def _merged(known: KnownSwarm, seen: KnownSwarm) -> KnownSwarm:
    models = {model.name: model for model in known.models}
    models |= {model.name: model for model in seen.models}
    own = seen.own or known.own
    gone = {read_peer(text).peer_id for text in seen.own}
    # Fresh addresses of a peer take the place of its old ones.
    gone |= {read_peer(text).peer_id for text in seen.peers}
    older = [text for text in known.peers if read_peer(text).peer_id not in gone]
    return KnownSwarm(
        seen.name or known.name,
        tuple(models.values())[-MAX_MODELS:],
        (*seen.peers, *older)[:MAX_KEPT_PEERS],
        own,
        known.started_here or seen.started_here,
        max(known.last_seen, seen.last_seen),
    )


def _free_name(name: str, taken: set[str]) -> str:
    wanted = name or "swarm"
    number = 2
    while wanted in taken:
        wanted = f"{(name or 'swarm')[:36]}-{number}"
        number += 1
    return wanted


def named_after(models: tuple[KnownModel, ...]) -> str:
    """The name of a swarm that nobody has named."""
    return swarm_name(models[0].name) if models else "swarm"


def _entries(state: Mapping[str, Any]) -> list[object]:
    entries = state.get(_KEY)
    return entries[:MAX_SWARMS] if isinstance(entries, list) else []


def _read(entry: object) -> KnownSwarm | None:
    """What was written; None, and a line in the log, for an entry that somebody has changed."""
    try:
        if not isinstance(entry, dict) or not is_swarm_name(str(entry["name"])):
            raise ValueError("it has no name")
        swarm = KnownSwarm(
            entry["name"],
            tuple(
                KnownModel(str(model["name"]), str(model["dht_prefix"]), str(model["source"]))
                for model in entry["models"]
            ),
            tuple(map(str, entry["peers"])),
            tuple(map(str, entry["own"])),
            entry["started_here"] is True,
            float(entry["last_seen"]),
        )
        _ = swarm.identities
    except (KeyError, TypeError, ValueError) as error:
        logger("app").warning("an entry of the known swarms is left out: %r", error)
        return None
    return swarm


def _written(swarm: KnownSwarm) -> dict[str, object]:
    return {
        "name": swarm.name,
        "models": [
            {"name": model.name, "dht_prefix": model.dht_prefix, "source": model.source}
            for model in swarm.models
        ],
        "peers": list(swarm.peers),
        "own": list(swarm.own),
        "started_here": swarm.started_here,
        "last_seen": round(swarm.last_seen, 3),
    }
