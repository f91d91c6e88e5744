"""When a server says that it serves: as soon as the DHT has its blocks, and again every hour."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from torbiz_tui.sharing.stages import advance
from torbiz_tui.sharing.state import Phase, SharingState, Stage

from .runner_process import SCRIPTS

US = "QmOurselves"
ADDRESS = f"/ip4/192.0.2.1/tcp/31337/p2p/{US}"


class Told(logging.Handler):
    """The messages, one of which can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self._one_more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._one_more:
            self.messages.append(record.getMessage())
            self._one_more.notify_all()

    def wait_for(self, beginning: str, times: int = 1) -> str:
        def found() -> list[str]:
            return [text for text in self.messages if text.startswith(beginning)][times - 1 :]

        with self._one_more:
            assert self._one_more.wait_for(found, timeout=60), self.messages
        return found()[0]


class Server:
    """A server of two blocks, which the DHT knows once `announced` is set."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.announced = threading.Event()
        self.dht = SimpleNamespace(peer_id=US, get_visible_maddrs=lambda: [ADDRESS])
        self.module_container: Any = None
        self.serve("m.4", "m.5")

    def serve(self, *uids: str) -> None:
        ready = threading.Event()
        ready.set()
        info = SimpleNamespace(throughput=1021.6)
        self.module_container = SimpleNamespace(
            ready=ready, module_backends=dict.fromkeys(uids), server_info=info
        )


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, told: Told) -> Iterator[Server]:
    """The server whose blocks are being confirmed; looked for rarely after no time at all."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    made = Server()

    def infos(_dht: Any, uids: list[str], **_: Any) -> list[Any]:
        state = "online" if made.announced.is_set() else "joining"
        return [SimpleNamespace(servers={US: SimpleNamespace(state=state)}) for _uid in uids]

    structures = SimpleNamespace(
        ServerState=SimpleNamespace(ONLINE="online"),
        parse_uid=lambda uid: (uid.partition(".")[0], int(uid.partition(".")[2])),
    )
    monkeypatch.setitem(sys.modules, "petals.data_structures", structures)
    dht_records = SimpleNamespace(get_remote_module_infos=infos)
    monkeypatch.setitem(sys.modules, "petals.utils.dht", dht_records)
    confirming = importlib.import_module("confirming")
    monkeypatch.setattr(confirming, "start_telling_coverage", lambda *_: None)
    for name, seconds in (("USUAL_S", 0.0), ("LOOK_S", 0.01), ("LOOK_LATER_S", 0.01)):
        monkeypatch.setattr(confirming, name, seconds)
    monkeypatch.setattr(confirming, "TELL_AGAIN_S", 0.05)
    logger = logging.Logger("confirming", logging.DEBUG)
    logger.addHandler(told)
    monkeypatch.setattr(logger, "getChild", lambda _: logger)
    watches = SimpleNamespace(watch=lambda _: None, start_telling=lambda _: None)
    work = confirming.Confirming(made, watches, watches, logger)
    thread = threading.Thread(target=work.run, daemon=True)
    thread.start()
    yield made
    made.stop.set()
    thread.join(60)
    assert not thread.is_alive()


def test_blocks_that_the_dht_has_late_are_confirmed_all_the_same(
    server: Server, told: Told
) -> None:
    told.wait_for("Not confirmed in the DHT after 0 seconds: blocks 4:6")
    server.announced.set()
    told.wait_for("Confirmed in the DHT: blocks 4:6 are online")
    server.serve("m.0", "m.1", "m.2")
    told.wait_for("Confirmed in the DHT: blocks 0:3 are online")
    assert len([text for text in told.messages if text.startswith("Not confirmed")]) <= 2


def test_what_is_told_again_is_enough_for_who_reads_nothing_else(
    server: Server, told: Told
) -> None:
    server.announced.set()
    again = told.wait_for("Still serving:", times=2)
    line = f"Nov 27 10:00:00.123 [DEBUG] [confirming._tell_again:120] {again}"
    state = advance(SharingState(phase=Phase.STARTING, stage=Stage.LAUNCHING), line)
    assert (state.phase, state.stage, state.blocks) == (Phase.SERVING, Stage.SERVING, (4, 6))
    assert (state.addresses, state.throughput) == ((ADDRESS,), 1021.6)
    assert state.uptime_s is not None
    assert state.uptime_s < 120
    # It is no news the next time.
    assert advance(state, line) is state
