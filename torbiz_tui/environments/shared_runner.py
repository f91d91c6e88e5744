"""The chat runner that programs share: joined over its socket, or started first."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from torbiz_tui.environments.base import ExitReport, RunnerProcess
from torbiz_tui.environments.chat_records import ChatRecords, ChatRunnerRecord
from torbiz_tui.environments.processes import (
    Child,
    encode_message,
    kill_group,
    last_lines,
    open_log,
    read_messages,
    signal_name,
    start_detached,
    start_mark,
    wait_gone,
)
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.rotation import keep_bounded
from torbiz_tui.logs.run_start import begin_run
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths

_POLL_S = 0.03
_CONNECT_S = 5.0
# Importing can keep the runner from answering; that it answers at all is what is waited for.
_FIRST_WORD_S = 3.0
_SEND_S = 10.0
_START_S = 30.0
_LOCK_S = 60.0
_GONE_S = 5.0
_CHUNK = 64 * 1024


class SharedRunner(RunnerProcess):
    """A connection to a chat runner that other programs may use as well."""

    def __init__(
        self,
        record: ChatRunnerRecord,
        log_file: Path,
        users: IO[bytes],
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        first: bytes,
        child: Child | None,
    ) -> None:
        self.record = record
        self._log_file = log_file
        self._users = users
        self._reader, self._writer = streams
        self._first = first
        self._child = child
        self._bounding = asyncio.create_task(keep_bounded(log_file), name=f"bound {log_file.name}")

    async def send(self, message: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(_SEND_S):
                self._writer.write(encode_message(message))
                await self._writer.drain()
        except TimeoutError:
            raise TorbizError(
                f"The chat runner has taken nothing for {_SEND_S:.0f} s.",
                remedy="Ask again; its log (petals_inference.log) has the details.",
                code="timeout",
            ) from None
        except OSError as error:
            raise TorbizError("The runner has ended.", code="runner_died") from error

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        try:
            async for message in read_messages(self._reader, self._first):
                yield message
        except OSError as error:
            logger("inference").warning("the connection to the chat runner broke: %s", error)

    async def wait(self) -> ExitReport | None:
        if await wait_gone(self.record.pid, self.record.start_mark, _GONE_S):
            return await self._report()
        return None

    async def stop(self, grace_s: float = 5.0) -> ExitReport:
        with contextlib.suppress(TorbizError):
            await self.send({"type": "shutdown"})
        killed = not await wait_gone(self.record.pid, self.record.start_mark, grace_s)
        if killed:
            logger("inference").warning("the runner did not end within %.1f s: killed", grace_s)
            kill_group(self.record.pid)
            await wait_gone(self.record.pid, self.record.start_mark, _GONE_S)
        await self.close()
        return await self._report(killed=killed)

    async def close(self) -> None:
        self._bounding.cancel()
        self._users.close()
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()

    async def _report(self, *, killed: bool = False) -> ExitReport:
        # What it started may have survived it where the system does not end it (macOS).
        kill_group(self.record.pid)
        code = None
        if self._child is not None:
            # It counts as gone while its threads still end, and has no code until then.
            for _ in range(int(_GONE_S / _POLL_S)):
                if (code := self._child.poll()) is not None:
                    break
                await asyncio.sleep(_POLL_S)
        return ExitReport(
            code=code if code is not None and code >= 0 else None,
            signal=signal_name(-code) if code is not None and code < 0 else None,
            killed=killed,
            last_lines=last_lines(self._log_file, self.record.log_start),
        )


class SharedRunners:
    """Joins, starts and ends the chat runners of one home folder."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._records = ChatRecords(paths)
        # Those that this program has started: only their parent learns how they ended.
        self._children: dict[int, Child] = {}
        # Started here and not heard of yet: who asked for it may have given up meanwhile.
        self._beginning: set[int] = set()

    async def reach(
        self,
        key: str,
        model: str,
        argv: Sequence[str],
        environ: Mapping[str, str],
        log_file: Path,
    ) -> SharedRunner:
        """Join the living runner with this key, or start `argv` with where it is to listen.

        `model` is what people call it. Raises TorbizError when none can be started.
        """
        runner = await self._join(key, log_file)
        if runner is not None:
            return runner
        async with self._locked():
            record = self._records.find(key)
            if record is not None and record.pid in self._beginning:
                child = self._children[record.pid]
                return await self._first_connection(record, child, log_file)
            return await self._join(key, log_file) or await self._start(
                key, model, argv, environ, log_file
            )

    async def _join(self, key: str, log_file: Path) -> SharedRunner | None:
        record = self._records.find(key)
        users = self._records.use(key) if record is not None else None
        if record is None or users is None:
            return None
        joined, writer = False, None
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_unix_connection(record.socket)
            first = await _first_bytes(reader)
            if first is None:
                # It was just ending.
                return None
            joined = True
            child = self._children.get(record.pid)
            return SharedRunner(record, log_file, users, (reader, writer), first, child)
        except (OSError, TimeoutError) as error:
            logger("inference").info("pid %d cannot be joined: %r", record.pid, error)
            return None
        finally:
            if not joined:
                users.close()
                if writer is not None:
                    # Also when nobody waits any more: it would keep the runner for as long as we live.
                    writer.close()

    async def _start(
        self,
        key: str,
        model: str,
        argv: Sequence[str],
        environ: Mapping[str, str],
        log_file: Path,
    ) -> SharedRunner:
        self._records.forget_dead()
        self._reap()
        socket = self._records.new_socket()
        command = [*argv, "--listen", str(socket)]

        def launch() -> tuple[Child, ChatRunnerRecord]:
            # In one go, so that a cancelled start leaves no runner that nobody remembers.
            with open_log(log_file) as log:
                start = begin_run(log, f"The chat runner for {model} starts")
                child = start_detached(command, environ, cwd=self._paths.home, log=log)
            self._children[child.pid] = child
            record = ChatRunnerRecord(
                key,
                child.pid,
                start_mark(child.pid) or "",
                model,
                str(socket),
                time.time(),
                start.offset,
                start.heading,
            )
            try:
                self._records.write(record)
            except OSError:
                kill_group(child.pid)
                raise
            return child, record

        try:
            child, record = await asyncio.to_thread(launch)
        except OSError as error:
            raise TorbizError(
                "The chat runner could not be started.",
                why=f"{error.strerror or error}.",
                remedy="Free some disk space or mend the permissions, then try again.",
                code="runner_not_started",
            ) from error
        self._beginning.add(child.pid)
        logger("inference").info("started pid %d for %s", child.pid, model)
        return await self._first_connection(record, child, log_file)

    async def _first_connection(
        self, record: ChatRunnerRecord, child: Child, log_file: Path
    ) -> SharedRunner:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _START_S
        why = f"It does not listen after {_START_S:.0f} s."
        while loop.time() < deadline:
            if Path(record.socket).exists():
                runner = await self._join(record.key, log_file)
                if runner is not None:
                    self._beginning.discard(child.pid)
                    return runner
            if child.poll() is not None:
                why = f"It ended at once, with exit code {child.returncode}."
                break
            await asyncio.sleep(_POLL_S)
        self._beginning.discard(child.pid)
        kill_group(child.pid)
        said = last_lines(log_file, record.log_start)
        error = TorbizError(
            "The chat runner could not be started.",
            why=why,
            remedy="Its log (petals_inference.log) has the details; Setup (F1) can mend the stack.",
            code="runner_not_started",
            details=said[-4:],
        )
        from torbiz_tui.troubleshooting.recognising import with_known
        from torbiz_tui.troubleshooting.symptom import Place, Severity

        raise with_known(error, said, Place.CHAT, Severity.ERROR)

    async def end_unused(self) -> list[ChatRunnerRecord]:
        """End the runners that no program uses; the others are returned."""
        used: list[ChatRunnerRecord] = []
        if not self._paths.run.is_dir():
            return used
        async with self._locked():
            for record in self._records.living():
                with self._records.unused(record.key) as unused:
                    if unused:
                        await _end(record)
                    else:
                        used.append(record)
            self._records.forget_dead()
        self._reap()
        return used

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[pid]
                self._beginning.discard(pid)

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        """Hold the lock of whoever starts or ends one. Raises TorbizError after a minute."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._records.lock_file)
        deadline = asyncio.get_running_loop().time() + _LOCK_S
        while True:
            try:
                lock.acquire(timeout=0)
                break
            except Timeout:
                if asyncio.get_running_loop().time() >= deadline:
                    raise TorbizError(
                        "Another torbiz-tui has been starting a chat runner for a minute.",
                        remedy="Try again; end that program if it hangs.",
                        code="busy",
                    ) from None
                await asyncio.sleep(_POLL_S)
        try:
            yield
        finally:
            lock.release()


async def _first_bytes(reader: asyncio.StreamReader) -> bytes | None:
    """What it says first; empty when that takes long, None when it has closed the connection."""
    try:
        async with asyncio.timeout(_FIRST_WORD_S):
            return await reader.read(_CHUNK) or None
    except TimeoutError:
        return b""


async def _end(record: ChatRunnerRecord) -> None:
    logger("inference").info("ending the chat runner %d", record.pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
    if not await wait_gone(record.pid, record.start_mark, _GONE_S):
        kill_group(record.pid)
        await wait_gone(record.pid, record.start_mark, _GONE_S)
