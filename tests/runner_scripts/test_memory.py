"""The memory of a server: what the fit predicts, and what a prompt leaves behind."""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from tests.process_memory import memory_of
from torbiz_tui.catalogue.architecture import read_architecture
from torbiz_tui.fit import choose_place, needs_of
from torbiz_tui.hardware import Hardware

from .conftest import TinyModel, start_chat
from .runner_process import SCRIPTS, ServerProcess
from .talking import talk, user


@pytest.mark.swarm
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory on Linux only")
def test_a_server_takes_what_the_fit_predicts(
    petals_python: Path, server: ServerProcess, tiny_model: TinyModel
) -> None:
    """The machine's own cores decide how many handlers there are."""
    chat = start_chat(petals_python, tiny_model, server.address)
    try:
        talk(chat, user("How much do you take? " * 60), conversation="memory")
    finally:
        chat.destroy()
    config = json.loads((tiny_model.folder / "config.json").read_text("utf-8"))
    place = choose_place(Hardware(os.cpu_count() or 2, 2**40, 2**40), "cpu")
    needs = needs_of(read_architecture("tiny", config), "cpu", handlers=place.handlers)
    taken = memory_of(process.pid for process in server.family()).total
    assert needs.held(8) == pytest.approx(taken, rel=0.15)


@dataclass
class Batch:
    """Hidden states, as far as their shape."""

    shape: tuple[int, int, int]
    fails: bool = False


def test_memory_is_given_back_after_long_prompts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[int] = []

    class Runtime:
        computed = 0

        def process_batch(self, _pool: object, _index: int, batch: Batch) -> int:
            Runtime.computed = batch.shape[0] * batch.shape[1]
            if batch.fails:
                raise MemoryError
            return self.computed

    class Libc:
        def __init__(self, _name: None) -> None:
            self.malloc_trim = lambda _padding: given_back.append(Runtime.computed)

    module = ModuleType("hivemind.moe.server.runtime")
    module.Runtime = Runtime  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hivemind.moe.server.runtime", module)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr("ctypes.CDLL", Libc)
    importlib.import_module("memory_release").release_after_prompts()
    runtime = Runtime()
    for shape in ((1, 1, 64), (1, 127, 64), (1, 128, 64), (2, 100, 64), (1, 2000, 64)):
        assert runtime.process_batch(None, 0, Batch(shape)) == shape[0] * shape[1]
    with pytest.raises(MemoryError):
        runtime.process_batch(None, 0, Batch((1, 500, 64), fails=True))
    assert given_back == [128, 200, 2000, 500]
