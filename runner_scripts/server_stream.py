"""The stream of inference steps to one server, as Petals' handler speaks it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

CHECK_STOP_S = 0.05
# A stop waits so long for the step's end: a session that stands between two tokens can go on.
STOP_GRACE_S = 0.1
CHECK_PEERS_S = 0.3
LIST_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
SECONDS_PER_TOKEN = 0.05


class StoppedError(Exception):
    """The answer was stopped while a server was waited for."""


class ServerGoneError(Exception):
    """The server cannot be reached, or does not answer any more."""


class SessionEndedError(Exception):
    """The server is there, but has ended the session, as it does after minutes without a step."""


async def wait_for(
    awaitable: Awaitable[Any],
    timeout_s: float,
    stop: threading.Event,
    check: Callable[[], Awaitable[None]] | None = None,
) -> Any:
    """Wait for a result, for a stop (StoppedError) or for the limit (ServerGoneError).

    `check` is awaited every 0.3 s and may raise: hivemind's streams do not end when their peer is
    killed, but the p2p daemon knows.
    """
    task = asyncio.ensure_future(awaitable)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    next_check = loop.time() + CHECK_PEERS_S
    stopped_at: float | None = None
    try:
        while True:
            await asyncio.wait({task}, timeout=CHECK_STOP_S)
            if task.done():
                return task.result()
            now = loop.time()
            if stop.is_set():
                stopped_at = stopped_at or now
                if now - stopped_at >= STOP_GRACE_S:
                    raise StoppedError
            if now > deadline:
                raise ServerGoneError(f"TimeoutError: no answer in {timeout_s:.0f} s")
            if check is not None and now > next_check:
                await check()
                next_check = loop.time() + CHECK_PEERS_S
    finally:
        task.cancel()


class ServerStream:
    """A session for some blocks on one server. Its coroutines run in hivemind's network thread."""

    def __init__(self, manager: Any, span: Any, max_length: int) -> None:
        data = importlib.import_module("petals.data_structures")
        self._manager = manager
        self.peer_id = span.peer_id
        self._uids = data.CHAIN_DELIMITER.join(manager.block_uids[span.start : span.end])
        self._max_length = max_length
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._responses: Any = None
        self._waiting = False
        self.session_id = str(uuid.uuid4())
        self.stepped = False

    async def open(self, stop: threading.Event) -> None:
        """Connect; nothing is allocated there before the first step."""
        handler = importlib.import_module("petals.server.handler").TransformerConnectionHandler
        stub = handler.get_stub(self._manager.state.p2p, self.peer_id)
        timeout_s = self._manager.config.connect_timeout
        if self._manager.state.rpc_info is None:  # how tensors are compressed; the same everywhere
            messages = importlib.import_module("hivemind.proto.runtime_pb2")
            serializer = importlib.import_module("hivemind.utils").MSGPackSerializer
            uid = self._uids.split()[0]
            info = await wait_for(stub.rpc_info(messages.ExpertUID(uid=uid)), timeout_s, stop)
            self._manager.state.rpc_info = serializer.loads(info.serialized_info)
        self._responses = await wait_for(stub.rpc_inference(self._read_requests()), timeout_s, stop)

    async def exchange(
        self, states: Any, step: dict[str, Any], wire: WireFormat, stop: threading.Event
    ) -> Any:
        """Send the states of new tokens and return what the blocks make of them.

        Raises StoppedError, ServerGoneError, SessionEndedError, or what the server reports.
        """
        metadata = {"session_id": self.session_id, **step}
        if not self.stepped:
            metadata |= self._manager.get_request_metadata(
                "rpc_inference", self._uids, peer_id=self.peer_id
            )
            metadata["max_length"] = self._max_length
        request = wire.request(self._uids, states, metadata, self._manager.state.rpc_info)
        self._requests.put_nowait(request)
        self.stepped = True
        self._waiting = True
        # A server needs longer for a whole conversation than for the next token.
        timeout_s = self._manager.config.request_timeout + states.shape[1] * SECONDS_PER_TOKEN
        try:
            response = await wait_for(
                anext(self._responses), timeout_s, stop, self._check_connection
            )
        except StopAsyncIteration as end:
            await self._check_connection()
            raise SessionEndedError("the server ended the session") from end
        self._waiting = False
        return wire.states(response, states)

    async def close(self) -> None:
        """End the session: politely if the server is idle, else by closing the stream.

        A server that sees the stream closed lets go of its cache at once, also while it computes.
        """
        responses, self._responses = self._responses, None
        if responses is None:
            return
        if self.stepped and not self._waiting:
            messages = importlib.import_module("hivemind.proto.runtime_pb2")
            self._requests.put_nowait(messages.ExpertRequest())
            # A server that is gone, or that reports an error now, has ended the session as well.
            with contextlib.suppress(Exception):
                await asyncio.wait_for(anext(responses, None), CLOSE_TIMEOUT_S)
        with contextlib.suppress(Exception):
            await responses.aclose()

    async def _read_requests(self) -> AsyncIterator[Any]:
        while True:
            request = await self._requests.get()
            yield request
            if not request.uid and not request.tensors:
                return

    async def _check_connection(self) -> None:
        peers = await asyncio.wait_for(self._manager.state.p2p.list_peers(), LIST_TIMEOUT_S)
        if self.peer_id not in {peer.peer_id for peer in peers}:
            raise ServerGoneError("the connection is gone")


class WireFormat:
    """Turns hidden states into Petals' messages and back."""

    def __init__(self) -> None:
        misc = importlib.import_module("petals.utils.misc")
        packaging = importlib.import_module("petals.utils.packaging")
        compression = importlib.import_module("hivemind.compression")
        self._serialize = compression.serialize_torch_tensor
        self._deserialize = compression.deserialize_torch_tensor
        self._dumps = importlib.import_module("hivemind.utils").MSGPackSerializer.dumps
        self._messages = importlib.import_module("hivemind.proto.runtime_pb2")
        # No deep prompts and no reordering of beams: the same empty tensors with every step.
        rest = (misc.DUMMY, misc.DUMMY_INT64)
        self._rest = [self._serialize(tensor) for tensor in rest]
        states = misc.DUMMY.clone()  # one tensor given twice would be sent once
        _tensors, self._structure = packaging.pack_args_kwargs(states, *rest)

    def request(self, uids: str, states: Any, metadata: dict[str, Any], info: Any) -> Any:
        """Return the message of a step."""
        schema = info["inference_schema"][0][0]
        metadata["args_structure"] = self._structure
        return self._messages.ExpertRequest(
            uid=uids,
            tensors=[self._serialize(states, schema.compression), *self._rest],
            metadata=self._dumps(metadata),
        )

    def states(self, response: Any, sent: Any) -> Any:
        """Return the hidden states of a response; raises ServerGoneError when they do not fit."""
        states = self._deserialize(response.tensors[0])
        if states.shape != sent.shape:
            raise ServerGoneError(f"sent {tuple(states.shape)} for {tuple(sent.shape)}")
        return states
