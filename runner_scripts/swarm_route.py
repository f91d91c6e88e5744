"""Which servers compute which blocks: Petals' routing, without servers that are known dead."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import importlib
import threading
import time
from collections.abc import Collection
from typing import Any

from chat_answer import Hop, Route
from chat_errors import ChatError, as_ranges, missing_blocks
from log_lines import runner_logger
from server_stream import StoppedError
from swarm_rejoining import Rejoining

PROBE_TIMEOUT_S = 1.5
REFRESH_TIMEOUT_S = 5.0
MAX_ADAPTERS_TOLD = 8

logger = runner_logger()


class SwarmRoute:
    """Finds servers for blocks.

    A crashed server stays announced for minutes. Whoever was found dead is left out at once, and
    comes back when it answers again. With an `adapter`, the manager knows only servers that host it.
    """

    def __init__(self, manager: Any, adapter: str = "") -> None:
        self._manager = manager
        self.adapter = adapter
        self._rejoining = Rejoining(manager)
        self._lock = threading.Lock()
        self._out: set[Any] = set()
        # What Petals leaves out at each look-up of the DHT, whoever else serves the block.
        manager.blocked_servers = set()

    def spans(
        self,
        first: int,
        end: int,
        *,
        tokens: int | None = None,
        avoid: Collection[Any] = (),
        log: bool = True,
    ) -> list[Any]:
        """Return spans with one server each that cover blocks `first` to `end`.

        Servers with a free cache for `tokens` come first, and those to `avoid` are left out.
        Raises ChatError (missing_blocks) when some blocks are not served.
        """
        manager = self._without(avoid) if avoid else self._manager
        try:
            spans: list[Any] = manager._make_sequence_with_min_latency(
                first, end, cache_tokens_needed=tokens
            )
        except Exception as error:
            missing = [block for block in _missing(manager) if first <= block < end]
            if missing:
                raise missing_blocks(
                    as_ranges(missing), len(self._manager), self.adapter
                ) from error
            raise
        spans[-1].end = min(spans[-1].end, end)
        if log:
            shown = [f"{span.start}:{span.end} via …{str(span.peer_id)[-6:]}" for span in spans]
            logger.info("Route found: %s", " => ".join(shown))
        return spans

    def ensure_known(self, stop: threading.Event) -> None:
        """Look the servers up if that was never done; raises StoppedError on `stop`."""
        if self._manager.state.sequence_info.last_updated_time is None:
            self.refresh(stop)

    def refresh(self, stop: threading.Event, timeout_s: float = REFRESH_TIMEOUT_S) -> None:
        """Look the servers up again, also those that were dead; raises StoppedError on `stop`."""
        self._run(self._probe_out(), stop, PROBE_TIMEOUT_S + 0.5)
        self._update()
        self._wait_until_updated(stop, timeout_s)

    def drop(self, peer: Any) -> None:
        """Leave a server out from now on: it is gone."""
        with self._lock:
            self._out.add(peer)
            self._manager.blocked_servers.add(peer)
        manager = self._manager
        with manager.lock_changes:
            information = manager.state.sequence_info
            for block in information.block_infos:
                block.servers.pop(peer, None)
            # The routing reads these spans, which Petals computes anew only with the next look-up.
            spans = information._sort_spans(information.block_infos)
            information.spans_by_priority, information.spans_containing_block = spans

    def look_up(self) -> Route:
        """Return what would answer now; servers that lost their connection are tried first."""
        never = threading.Event()
        self.ensure_known(never)
        if self._out and self._run(self._probe_out(), never, PROBE_TIMEOUT_S + 0.5):
            self._wait_until_updated(never, REFRESH_TIMEOUT_S)
        total = len(self._manager)
        joined = False
        while True:
            try:
                spans = self.spans(0, total, log=False)
            except ChatError as error:
                before, joined = joined, self._rejoining.look(PROBE_TIMEOUT_S)
                self._update()  # for the next look
                if joined and not before:
                    # Who asks now must not be told what was so while we were alone.
                    self._wait_until_updated(never, REFRESH_TIMEOUT_S)
                    continue
                ranges = tuple((first, end) for first, end in error.missing or ())
                return self._without_adapter(Route(total, missing=ranges, adapter=self.adapter))
            dead = self._run(self._find_dead(spans), never, 2 * PROBE_TIMEOUT_S) or []
            for peer in dead:
                logger.warning("The server …%s cannot be reached", str(peer)[-6:])
                self.drop(peer)
            if not dead:
                return Route(total, hops_of(spans), adapter=self.adapter)

    def _without_adapter(self, route: Route) -> Route:
        """Add which of the missing blocks have servers that only lack the adapter."""
        if not route.adapter:
            return route
        blocks = [block for first, end in route.missing for block in range(first, end)]
        try:
            served = self._served_without_adapter(blocks)
        except Exception as error:  # that they are missing has to be told all the same
            logger.warning("Servers without the adapter cannot be looked up: %r", error)
            return route
        ranges = as_ranges([block for block in blocks if block in served])
        return dataclasses.replace(
            route,
            without_adapter=tuple((first, end) for first, end in ranges),
            adapters=tuple(sorted(set().union(*served.values())))[:MAX_ADAPTERS_TOLD],
        )

    def _served_without_adapter(self, blocks: list[int]) -> dict[int, set[str]]:
        """Return the adapters that servers of these blocks host; a block without any is left out."""
        look_up = importlib.import_module("petals.utils.dht").get_remote_module_infos
        online = importlib.import_module("petals.data_structures").ServerState.ONLINE
        uids = [self._manager.block_uids[block] for block in blocks]
        future = look_up(self._manager.dht, uids, latest=True, return_future=True)
        served: dict[int, set[str]] = {}
        for block, info in zip(blocks, future.result(REFRESH_TIMEOUT_S), strict=True):
            for peer, server in info.servers.items():
                if server.state == online and peer not in self._out:
                    served.setdefault(block, set()).update(map(str, server.adapters))
        return served

    def _without(self, avoid: Collection[Any]) -> Any:
        """Return a manager that routes like ours and does not know these servers."""
        manager = copy.copy(self._manager)
        with manager.lock_changes:
            known = manager.state.sequence_info
            left = copy.copy(known)
            left.block_infos = tuple(
                dataclasses.replace(
                    block, servers={k: v for k, v in block.servers.items() if k not in avoid}
                )
                for block in known.block_infos
            )
            spans = left._sort_spans(left.block_infos)
            left.spans_by_priority, left.spans_containing_block = spans
            manager.state = dataclasses.replace(manager.state, sequence_info=left)
        return manager

    def _wait_until_updated(self, stop: threading.Event, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._manager.ready.wait(0.05) and time.monotonic() < deadline:
            if stop.is_set():
                raise StoppedError

    def _update(self) -> None:
        with self._manager._thread_start_lock:
            if not self._manager.is_alive():
                self._manager._thread.start()
        self._manager.update(wait=False)

    def _run(self, coroutine: Any, stop: threading.Event, timeout_s: float) -> Any:
        worker = importlib.import_module("hivemind.moe.client.remote_expert_worker")
        future = worker.RemoteExpertWorker.run_coroutine(coroutine, return_future=True)
        deadline = time.monotonic() + timeout_s
        while not future.done() and time.monotonic() < deadline:
            if stop.wait(0.02):
                future.cancel()
                raise StoppedError
        return future.result() if future.done() else future.cancel() and None

    async def _find_dead(self, spans: list[Any]) -> list[Any]:
        peers = await asyncio.wait_for(self._manager.state.p2p.list_peers(), PROBE_TIMEOUT_S)
        connected = {peer.peer_id for peer in peers}
        unknown = [span.peer_id for span in spans if span.peer_id not in connected]
        answers = await asyncio.gather(*map(self._answers, unknown))
        return [peer for peer, answered in zip(unknown, answers, strict=True) if not answered]

    async def _probe_out(self) -> bool:
        """Take those back that answer again, and tell whether there are any."""
        with self._lock:
            out = list(self._out)
        answers = await asyncio.gather(*map(self._answers, out))
        back = [peer for peer, answered in zip(out, answers, strict=True) if answered]
        for peer in back:
            logger.info("The server …%s answers again", str(peer)[-6:])
            with self._lock:
                self._out.discard(peer)
                self._manager.blocked_servers.discard(peer)
        if back:
            self._update()
        return bool(back)

    async def _answers(self, peer: Any) -> bool:
        handler = importlib.import_module("petals.server.handler").TransformerConnectionHandler
        messages = importlib.import_module("hivemind.proto.runtime_pb2")
        stub = handler.get_stub(self._manager.state.p2p, peer)
        try:
            await stub.rpc_info(messages.ExpertUID(), timeout=PROBE_TIMEOUT_S)
        except Exception as error:  # whatever keeps it from answering, it cannot be used
            logger.debug("…%s does not answer: %r", str(peer)[-6:], error)
            return False
        return True


def _missing(manager: Any) -> list[int]:
    with manager.lock_changes:
        served = manager.state.sequence_info.spans_containing_block
        return [index for index, spans in enumerate(served) if not spans]


def hops_of(spans: list[Any]) -> tuple[Hop, ...]:
    """Return spans as the protocol has them."""
    return tuple(
        Hop(span.start, span.end, str(span.peer_id), span.server_info.public_name or "")
        for span in spans
    )


def can_rewind(span: Any) -> bool:
    """Tell whether a span's server announces that it takes `start_from_position`.

    Petals' main branch does from 2.3.0.dev on; our server says so in its version's local part.
    """
    version = importlib.import_module("packaging.version")
    try:
        announced = version.Version(span.server_info.version or "0")
    except version.InvalidVersion:
        return False
    local = (announced.local or "").split(".")
    return "rewind" in local or announced >= version.Version("2.3.0.dev0")
