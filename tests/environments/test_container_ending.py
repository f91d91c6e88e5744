"""What is told of a container that has ended."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from torbiz_tui.environments.docker.ending import exit_report
from torbiz_tui.environments.docker.records import ContainerState


class ScriptedEngine:
    """An engine that holds one container's log."""

    facts = SimpleNamespace(podman=False)

    def __init__(self, *lines: str) -> None:
        self._lines = lines

    async def call(self, ask: Callable[[Any], Any], **_more: Any) -> Any:
        return ask(SimpleNamespace(api=self))

    def logs(self, _container: str, *, tail: int, stream: bool) -> bytes:
        assert not stream
        return "".join(f"{line}\n" for line in self._lines[-tail:]).encode()


async def test_what_tells_of_the_end_is_found_behind_hours_of_measuring() -> None:
    engine: Any = ScriptedEngine("It ran out of disk", *["[DEBUG] Serving: 0.0 tokens/s"] * 90)
    report = await exit_report(engine, ContainerState("c", "name", "exited", exit_code=1))
    assert report.last_lines == ("It ran out of disk",)
