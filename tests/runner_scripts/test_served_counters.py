"""What a server counts of its serving: over handlers that are forks, and over restarts of them."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from .runner_process import SCRIPTS

ALICE, BOB = "12D3KooWAliceAlice", "QmBobBobBob"
BLOCKS = 4


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def new_counters() -> Any:
    return importlib.import_module("served_counters").ServedCounters()


class Runtime:
    """Computes nothing."""

    def process_batch(self, _pool: Any, index: int, *_batch: Any) -> tuple[Any, int]:
        return "outputs", index


def container(handlers: int = 2, used: int = 0) -> Any:
    cache = SimpleNamespace(current_size_bytes=used, max_size_bytes=8000)
    backend = SimpleNamespace(memory_cache=cache, cache_bytes_per_token={"cpu": 2, "cuda:0": 1})
    return SimpleNamespace(
        runtime=Runtime(),
        conn_handlers=[None] * handlers,
        module_backends={f"block.{index}": backend for index in range(BLOCKS)},
    )


def states(sequences: int, length: int) -> Any:
    return SimpleNamespace(shape=(sequences, length, 64))


def test_tokens_count_once_they_have_passed_all_blocks() -> None:
    counters, serving = new_counters(), container(used=4000)
    counters.watch(serving)
    assert counters.look().rate == 0.0
    compute = serving.runtime.process_batch
    # A short prompt and a token go through all blocks at once, a long prompt through one by one.
    assert compute("pool", 7, states(1, 10), "hypo", ("info",) * BLOCKS, None) == ("outputs", 7)
    compute("pool", 8, states(1, 1), "hypo", ("info",) * BLOCKS, None)
    for _ in range(BLOCKS):
        compute("pool", 9, states(1, 200), "hypo", ("info",), None)
    # Two sequences of a training step, through half of the blocks.
    for _ in range(BLOCKS // 2):
        compute("pool", 10, states(2, 3), "adapter")
    served = counters.look()
    assert (served.prompt_tokens, served.generated_tokens) == (10 + 200 + 3, 1)
    assert served.rate > 0
    assert (served.cache_tokens, served.cache_tokens_size) == (500, 1000)
    # The server takes other blocks: what was served stays served.
    counters.watch(container())
    assert counters.look().prompt_tokens == 213


@pytest.mark.skipif(sys.platform == "win32", reason="handlers are forks")
def test_what_forked_handlers_count_is_seen_here() -> None:
    counters = new_counters()
    counters.watch(container())

    def handle(index: int) -> None:
        counters.begin_handler(index)
        counters.note("rpc_inference.open", ALICE)
        counters.note("rpc_inference.open", BOB)
        counters.note("rpc_inference.close", BOB)
        counters.note("rpc_info", BOB)

    fork = multiprocessing.get_context("fork")
    handlers = [fork.Process(target=handle, args=(index,)) for index in range(2)]
    for each in handlers:
        each.start()
    for each in handlers:
        each.join(30)
    served = counters.look()
    assert (served.open, served.requests, served.clients) == (2, 4, ("eAlice",))
    assert " 2 open of 4 requests, " in served.line()
    assert served.line().endswith(" 1 clients: eAlice")


def test_who_trains_is_a_client_for_a_while_and_a_new_handler_has_none() -> None:
    counters = new_counters()
    counters.watch(container())
    counters.note("rpc_forward", ALICE)  # this process is no handler
    assert counters.look().requests == 0
    counters.begin_handler(0)
    counters.note("rpc_forward_stream", ALICE)
    counters.note("rpc_inference.open", BOB)
    assert counters.look().clients == ("BobBob", "eAlice")
    counters.begin_handler(0)
    served = counters.look()
    assert (served.clients, served.open, served.requests) == ((), 0, 2)


def test_more_clients_than_there_is_room_for_are_still_requests() -> None:
    counters = new_counters()
    counters.watch(container())
    counters.begin_handler(0)
    for number in range(100):
        counters.note("rpc_inference.open", f"Qm{number:06}")
    served = counters.look()
    assert served.requests == 100
    assert 8 < len(served.clients) < 100
    assert served.line().endswith(": 000000 000001 000002 000003 000004 000005 000006 000007")


def test_the_swarm_in_words() -> None:
    coverage_line = importlib.import_module("swarm_coverage").coverage_line

    def block(**servers: str) -> Any:
        return SimpleNamespace(
            servers={peer: SimpleNamespace(state=state) for peer, state in servers.items()}
        )

    whole = [block(a="online"), block(a="online", b="online"), block(b="online", c="joining")]
    assert coverage_line(whole, "online") == "Swarm: 2 servers, whole"
    holes = [None, block(c="joining"), block(a="online"), block()]
    assert coverage_line(holes, "online") == "Swarm: 1 servers, nobody serves 0:2 3:4"
