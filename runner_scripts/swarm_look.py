"""Looks up in the DHT who serves the blocks of a model."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any

from log_lines import runner_logger
from swarm_probe import Probe
from swarm_records import AnnouncedModel, Server, read_models, read_servers
from swarm_rejoining import rejoin_if_alone

MODELS_KEY = "_petals.models"
WORKERS = 8
REJOIN_TIMEOUT_S = 2.0

logger = runner_logger()


class PrefixUnknownError(Exception):
    """Nobody has announced the model, and its blocks are not known otherwise; text for people."""


@dataclass(frozen=True)
class Target:
    """What is looked for; None where the swarm has to say it."""

    model: str
    prefix: str | None = None
    num_blocks: int | None = None


@dataclass(frozen=True)
class Found:
    """One look. `alone`: no peer of the swarm answers, and the servers are those of before."""

    prefix: str
    num_blocks: int
    servers: list[Server]
    alone: bool


class Looker:
    """A client of the DHT that keeps in mind whom it has seen."""

    def __init__(self, node: Any, peers: list[str], target: Target) -> None:
        self._node = node
        self._peers = peers
        self._target = target
        self._probe = Probe()
        self._seen: list[Server] = []
        self._alone = False

    @classmethod
    async def join(cls, node_class: Any, peers: list[str], target: Target) -> Looker:
        """Join the swarm through its peers; raises what hivemind raises."""
        node = await node_class.create(
            initial_peers=peers,
            client_mode=True,
            nat_port_map=False,
            num_workers=WORKERS,
            # Nothing is stored, neither here, where it would outlive a server, nor with others.
            cache_locally=False,
            cache_nearest=0,
            cache_on_store=False,
            cache_refresh_before_expiry=0,
        )
        return cls(node, peers, target)

    async def look(self) -> Found:
        """Look now. Raises PrefixUnknownError."""
        if not await self._rejoined():
            return self._found_alone()
        model = await self._model()
        keys = [f"{model.prefix}.{block}" for block in range(model.num_blocks)]
        values = await self._node.get_many(keys, math.inf)
        records = {
            block: found.value
            for block, key in enumerate(keys)
            if (found := values.get(key)) is not None
        }
        servers = read_servers(records, model.num_blocks)
        await self._probe.look(self._node.p2p, servers)
        if not servers and not self._knows_peers:
            return self._found_alone()
        self._seen = servers
        return Found(model.prefix, model.num_blocks, servers, alone=False)

    @property
    def _knows_peers(self) -> bool:
        return bool(self._node.protocol.routing_table.uid_to_peer_id)

    async def _rejoined(self) -> bool:
        """Tell whether some peer is there to ask; if not, its initial peers are asked again."""
        async with asyncio.timeout(REJOIN_TIMEOUT_S + 1):
            answered = await rejoin_if_alone(
                None, self._node, peers=self._peers, timeout_s=REJOIN_TIMEOUT_S
            )
        alone = answered == 0
        if alone and not self._alone:
            logger.warning("No peer of the swarm answers any more: its initial peers are asked")
        elif answered:
            logger.info("The swarm is joined again through %d of its initial peers", answered)
        self._alone = alone
        return not alone

    def _found_alone(self) -> Found:
        """Who was announced before is still to be shown, as one that does not answer."""
        known = self._known
        if known is None:
            raise PrefixUnknownError("No peer of the swarm answers.")
        now = time.time()
        self._seen = [
            dataclasses.replace(one, reachable=False)
            for one in self._seen
            if one.expires > now and one.state != "offline"
        ]
        return Found(known.prefix, known.num_blocks, self._seen, alone=True)

    @property
    def _known(self) -> AnnouncedModel | None:
        prefix, blocks = self._target.prefix, self._target.num_blocks
        return AnnouncedModel(prefix, blocks) if prefix and blocks else None

    async def _model(self) -> AnnouncedModel:
        if (known := self._known) is not None:
            return known
        found = await self._node.get(MODELS_KEY, latest=True)
        for model in read_models(found.value if found is not None else None):
            if self._is_target(model):
                self._target = dataclasses.replace(
                    self._target, prefix=model.prefix, num_blocks=model.num_blocks
                )
                return model
        raise PrefixUnknownError(
            f"No server of this swarm announces {self._target.model}, and how many blocks it has"
            " is not known."
        )

    def _is_target(self, model: AnnouncedModel) -> bool:
        if self._target.prefix is not None:
            return model.prefix == self._target.prefix
        return model.repository.rstrip("/").endswith(f"huggingface.co/{self._target.model}")
