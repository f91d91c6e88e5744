"""What the programs have in common that are a light node of a swarm, without torch and Petals.

They tell events on stdout, JSON lines, and end with their input, with `{"type":"shutdown"}`, or
with a stop signal. Exit codes: 0 ended as asked, 1 error, 2 bad usage.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import process_signals
from argument_types import OneSentenceParser
from chat_errors import explain_connect_error
from json_lines import ProtocolWriter, read_lines
from log_lines import runner_logger

STOP_DEADLINE_S = 3.0

Joined = TypeVar("Joined")

logger = runner_logger()


class FatalError(Exception):
    """The program cannot go on; the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def options_parser(description: str | None) -> OneSentenceParser:
    """A parser whose help is the program's own text, as it stands there."""
    return OneSentenceParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


class LightProgram(ABC):
    """Does its work until that is done, or it is told to stop; made in the loop it runs in."""

    def __init__(self, writer: ProtocolWriter) -> None:
        self._writer = writer
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @abstractmethod
    async def work(self) -> None:
        """All that the program does. Raises FatalError."""

    def take(self, kind: str) -> None:
        """Do what a line of the input asks for, besides to end; in the thread that reads."""
        logger.warning("Skipped a line of the type %.40r", kind)

    def stop(self) -> None:
        """End soon; from any thread, also from a signal's handler."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def run(self) -> int:
        """Return the exit code."""
        work = asyncio.ensure_future(self.work())
        stop = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return 0
        try:
            work.result()
        except FatalError as error:
            logger.error("%s", error)
            self.tell_error(error.code, str(error), fatal=True)
            return 1
        return 0

    def read_input(self) -> None:
        """Take lines until the end of the input or a shutdown, which stops; in a thread."""
        for line in read_lines(0):
            try:
                kind = json.loads(line)["type"]
            except (ValueError, TypeError, KeyError, RecursionError):
                logger.warning("Skipped a line that is not a JSON object with a type")
                continue
            if kind == "shutdown":
                break
            self.take(kind)
        self.stop()

    def tell(self, kind: str, **facts: Any) -> None:
        """Write an event."""
        self._writer.write({"type": kind, **facts})

    def tell_error(self, code: str, message: str, *, fatal: bool) -> None:
        """Write an error."""
        self.tell("error", code=code, message=message, fatal=fatal)

    def import_node_class(self) -> Any:
        """Return the class of DHT nodes, and tell the stage. Raises FatalError."""
        self.tell("status", stage="importing")
        try:
            from light_hivemind import import_dht_node

            return import_dht_node()
        except Exception as error:
            traceback.print_exc()
            raise FatalError("internal", f"hivemind cannot be imported: {error}") from error

    async def join(
        self, joining: Awaitable[Joined], peers: list[str], timeout_s: float, late: str
    ) -> Joined:
        """Wait for a node that joins through these peers; `late` says that it took too long.

        Raises FatalError.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await joining
        except TimeoutError:
            raise FatalError("connection_failed", late) from None
        except Exception as error:
            known = explain_connect_error(error, peers)
            if known.code == "internal":
                traceback.print_exc()
            raise FatalError(known.code, str(known)) from error


def run_program(make: Callable[[ProtocolWriter], LightProgram], *, reads_input: bool = True) -> int:
    """Run the program to its end, and leave with its exit code."""
    process_signals.tell_of_crashes()
    writer = ProtocolWriter.take_stdout()
    process_signals.tie_children_to_this_process()
    return asyncio.run(_run(make, writer, reads_input=reads_input))


async def _run(
    make: Callable[[ProtocolWriter], LightProgram], writer: ProtocolWriter, *, reads_input: bool
) -> int:
    program = make(writer)
    writer.on_broken = program.stop
    process_signals.install_stop_handlers(lambda _signum: program.stop(), STOP_DEADLINE_S)
    if reads_input:
        threading.Thread(target=program.read_input, name="stdin", daemon=True).start()
    code = await program.run()
    sys.stderr.flush()
    # Cancelling what hivemind has in progress prints tracebacks and takes its time.
    process_signals.end_now(code)
    return code
