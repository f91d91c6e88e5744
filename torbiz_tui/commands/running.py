"""Running a command on the services: an event loop, and an orderly end of it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from torbiz_tui.assembly import Services, build_services
from torbiz_tui.config import Config
from torbiz_tui.paths import Paths


def heeded(*numbers: signal.Signals) -> list[signal.Signals]:
    """Those of the signals that who started us has not had ignored, as `nohup` does with SIGHUP."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def run_closing(config: Config, paths: Paths, body: Callable[[Services], Awaitable[int]]) -> int:
    """Run `body`, close the services, return its exit code.

    A SIGINT raises KeyboardInterrupt, a SIGTERM or SIGHUP SystemExit, after the closing.
    """
    ended_by: list[int] = []

    async def run() -> int:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()

        def end(number: int) -> None:
            # A second one must not disturb the closing.
            if not ended_by:
                ended_by.append(number)
                task.cancel()

        for number in heeded(signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, end, number)
        services = build_services(config, paths)
        try:
            return await body(services)
        finally:
            await services.close()

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        # The shell's convention for a process that a signal ended.
        raise SystemExit(128 + ended_by[0] if ended_by else 1) from None
