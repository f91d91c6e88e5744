"""Two repairs of Petals' inference sessions: servers that vanish, and finalizers that deadlock."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

CHECK_PERIOD_S = 0.3
LIST_TIMEOUT_S = 5.0
SECONDS_PER_TOKEN = 0.05


def repair_sessions(p2p: Any) -> None:
    """Make inference steps fail as soon as the server's connection is gone; drop finalizers.

    A stream of hivemind's does not end when its peer is killed: a step would wait for the whole
    request timeout. The p2p daemon does know, so it is asked while a step waits.

    The finalizers close a session by waiting for the network thread. The garbage collector may
    run them in that very thread, which then waits for itself forever. Sessions are closed
    explicitly here.
    """
    module = importlib.import_module("petals.client.inference_session")
    session_class = module._ServerInferenceSession
    for finalized in (session_class, module.InferenceSession):
        if hasattr(finalized, "__del__"):
            del finalized.__del__

    async def step(self: Any, request: Any) -> Any:
        await self._inputs_queue.put(request)
        self.stepped = True
        answer = asyncio.ensure_future(anext(self._outputs_stream))
        loop = asyncio.get_running_loop()
        # A server needs longer for a whole conversation than for the next token.
        tokens = self.history.shape[1] - self._position
        timeout_s = self.config.request_timeout + tokens * SECONDS_PER_TOKEN
        deadline = loop.time() + timeout_s
        try:
            while True:
                await asyncio.wait({answer}, timeout=CHECK_PERIOD_S)
                if answer.done():
                    return answer.result()
                if loop.time() > deadline:
                    raise TimeoutError(f"no answer in {timeout_s:.0f} s")
                peers = await asyncio.wait_for(p2p.list_peers(), LIST_TIMEOUT_S)
                connected = {peer.peer_id for peer in peers}
                if not answer.done() and self.span.peer_id not in connected:
                    raise ConnectionError("the server's connection is gone")
        finally:
            answer.cancel()

    session_class._step = step
