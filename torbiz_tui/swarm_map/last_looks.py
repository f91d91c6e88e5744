"""The last look at each swarm, kept in the home: what is shown until there is a new one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths, write_json
from torbiz_tui.swarm_map.snapshot import BadSnapshotError, Snapshot, peers_of, read_snapshot

_KEPT = 8
_LOCK_S = 2.0
# A look at 200 servers takes about 100 kB.
_LONGEST = 400_000


class LastLooks:
    """Keeps looks as the monitor told them; one that cannot be kept or read is none.

    A private swarm is the same when the look is of the same model and one peer is, as for the known
    swarms.
    """

    def __init__(self, paths: Paths) -> None:
        self._file = paths.run / "swarm_looks.json"

    def find(self, model: str, prefix: str, peers: tuple[str, ...] | None) -> Snapshot | None:
        """The last look at this model, where these are initial peers (None: the public swarm)."""
        for entry in self._load():
            if _is_of(entry, model, prefix, peers):
                try:
                    return read_snapshot(entry["look"], model)
                except (BadSnapshotError, KeyError, AttributeError, TypeError):
                    return None
        return None

    def keep(
        self, model: str, prefix: str, peers: tuple[str, ...] | None, look: Mapping[str, Any]
    ) -> None:
        """Keep a `swarm` message of the monitor in place of the one before."""
        identities = None
        if peers is not None:
            served = [str(one.get("peer_id")) for one in look.get("servers", ())[:64]]
            identities = list(dict.fromkeys((*peers_of(peers), *served)))
        entry = {"model": model, "prefix": prefix, "peers": identities, "look": dict(look)}
        if len(json.dumps(entry)) > _LONGEST:
            return
        from filelock import FileLock

        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self._file.with_suffix(".lock"), timeout=_LOCK_S):
                others = [one for one in self._load() if not _is_of(one, model, prefix, peers)]
                write_json(self._file, {"looks": [entry, *others[: _KEPT - 1]]})
        except OSError as error:
            logger("swarm").warning("the look at the swarm is not kept: %s", error)

    def _load(self) -> list[dict[str, Any]]:
        try:
            if self._file.stat().st_size > 2 * _KEPT * _LONGEST:
                return []
            looks = json.loads(self._file.read_bytes())["looks"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []
        return [one for one in looks if isinstance(one, dict)] if isinstance(looks, list) else []


def _is_of(
    entry: Mapping[str, Any], model: str, prefix: str, peers: tuple[str, ...] | None
) -> bool:
    if (entry.get("model"), entry.get("prefix")) != (model, prefix):
        return False
    known = entry.get("peers")
    if peers is None or not isinstance(known, list):
        return peers is None and known is None
    return not set(peers_of(peers)).isdisjoint(map(str, known))
