"""The private swarms that this home has been part of, kept in `state.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torbiz_tui.errors import UsageError
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.invite import MAX_MODELS, is_swarm_name, swarm_name
from torbiz_tui.private_swarms.peer_address import read_peer
from torbiz_tui.state_file import StateFile

MAX_SWARMS = 32
MAX_KEPT_PEERS = 16
NO_NAME = "swarm"
"""The name of a swarm that neither a person nor a model has named."""
# A peer that was away for so long, while the swarm was there, is dialled no more.
UNSEEN_S = 30 * 24 * 3600.0
_KEY = "swarms"


@dataclass(frozen=True)
class KnownModel:
    """A model of a swarm; `source` is the folder that it lies in here, empty for one of the hub.

    `revision` is the branch, tag or commit of the hub that is served, empty for main.
    """

    name: str
    dht_prefix: str = ""
    source: str = ""
    revision: str = ""


@dataclass(frozen=True)
class KnownSwarm:
    """A private swarm as it was when it was last seen (seconds since the epoch).

    `own` are the addresses that this machine served at, `peers` those of others. `started_here`:
    it began on this machine. `seen_at` says when the peers were last there, by identity.
    """

    name: str
    models: tuple[KnownModel, ...] = ()
    peers: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    started_here: bool = False
    last_seen: float = 0.0
    seen_at: Mapping[str, float] = field(default_factory=dict, compare=False)

    @property
    def identities(self) -> frozenset[str]:
        """The peers by identity, this machine among them: what one swarm is told from another by."""
        return frozenset(read_peer(text).peer_id for text in (*self.peers, *self.own))


class KnownSwarms:
    """Reads and changes the list; every change is one atomic write under a lock."""

    def __init__(self, paths: Paths) -> None:
        self._file = StateFile(paths)

    @property
    def warnings(self) -> list[str]:
        """What had to be set aside."""
        return self._file.warnings

    def all(self) -> list[KnownSwarm]:
        """The swarms, the one seen last first; what cannot be read is told in `warnings`."""
        found = [_read(entry) for entry in _entries(self._file.read(_KEY))]
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
            merged = _merged(same or KnownSwarm(seen.name), seen)
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
        def changed(entries: object) -> list[dict[str, object]]:
            swarms = [one for entry in _entries(entries) if (one := _read(entry))]
            return [_written(one) for one in change(swarms)]

        self._file.change(_KEY, changed)


def _merged(known: KnownSwarm, seen: KnownSwarm) -> KnownSwarm:
    models = {model.name: model for model in known.models}
    for model in seen.models:
        before = models.get(model.name)
        if before is not None and not (model.revision or seen.own):
            # Who only asks need not say which it is.
            model = replace(model, revision=before.revision)
        models[model.name] = model
    own = seen.own or known.own
    gone = {read_peer(text).peer_id for text in seen.own}
    # Fresh addresses of a peer take the place of its old ones.
    gone |= {read_peer(text).peer_id for text in seen.peers}
    older = [text for text in known.peers if read_peer(text).peer_id not in gone]
    times = {read_peer(text).peer_id: known.last_seen for text in older} | dict(known.seen_at)
    if seen.peers:
        oldest = known.last_seen - UNSEEN_S
        older = [text for text in older if times[read_peer(text).peer_id] >= oldest]
    times |= {read_peer(text).peer_id: seen.last_seen for text in seen.peers}
    peers = (*seen.peers, *older)[:MAX_KEPT_PEERS]
    return KnownSwarm(
        seen.name or known.name,
        tuple(models.values())[-MAX_MODELS:],
        peers,
        own,
        known.started_here or seen.started_here,
        max(known.last_seen, seen.last_seen),
        {one: times[one] for one in (read_peer(text).peer_id for text in peers)},
    )


def _free_name(name: str, taken: set[str]) -> str:
    wanted = name or NO_NAME
    number = 2
    while wanted in taken:
        wanted = f"{(name or NO_NAME)[:36]}-{number}"
        number += 1
    return wanted


def named_after(models: tuple[KnownModel, ...]) -> str:
    """The name of a swarm that nobody has named."""
    return swarm_name(models[0].name) if models else NO_NAME


def _entries(entries: object) -> list[object]:
    return entries[:MAX_SWARMS] if isinstance(entries, list) else []


def _read(entry: object) -> KnownSwarm | None:
    """What was written; None, and a line in the log, for an entry that somebody has changed."""
    try:
        if not isinstance(entry, dict) or not is_swarm_name(str(entry["name"])):
            raise ValueError("it has no name")
        swarm = KnownSwarm(
            entry["name"],
            tuple(
                KnownModel(
                    str(model["name"]),
                    str(model["dht_prefix"]),
                    str(model["source"]),
                    # Entries of earlier versions have none.
                    str(model.get("revision", "")),
                )
                for model in entry["models"]
            ),
            tuple(map(str, entry["peers"])),
            tuple(map(str, entry["own"])),
            entry["started_here"] is True,
            float(entry["last_seen"]),
            # Entries of earlier versions have none.
            {str(one): float(at) for one, at in entry.get("seen_at", {}).items()},
        )
        _ = swarm.identities
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        logger("app").warning("an entry of the known swarms is left out: %r", error)
        return None
    return swarm


def _written(swarm: KnownSwarm) -> dict[str, object]:
    return {
        "name": swarm.name,
        "models": [
            {
                "name": model.name,
                "dht_prefix": model.dht_prefix,
                "source": model.source,
                "revision": model.revision,
            }
            for model in swarm.models
        ],
        "peers": list(swarm.peers),
        "own": list(swarm.own),
        "started_here": swarm.started_here,
        "last_seen": round(swarm.last_seen, 3),
        "seen_at": {one: round(at, 3) for one, at in swarm.seen_at.items()},
    }
