"""Starting the supervisor of a native server: remembered before anybody may give up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.native_record import NativeRecord, record_to_json
from torbiz_tui.environments.processes import (
    Child,
    kill_group,
    open_log,
    start_detached,
    start_mark,
)
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.run_start import begin_run
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import write_json


async def launch(
    argv: Sequence[str],
    spec: ServerSpec,
    environ: Mapping[str, str],
    *,
    home: Path,
    log_file: Path,
    record_file: Path,
    children: dict[int, Child],
) -> NativeRecord:
    """Start `argv` in `home`, detached, with its output in the log; write the record.

    The process is put into `children`. A start that is cancelled is undone. Raises TorbizError when
    a file cannot be written.
    """

    def start() -> NativeRecord:
        with open_log(log_file) as log:
            begins = begin_run(log, f"The server of {spec.model} starts")
            process = start_detached(argv, environ, cwd=home, log=log)
        children[process.pid] = process
        record = NativeRecord.of(
            process.pid,
            start_mark(process.pid) or "",
            time.time(),
            spec,
            (log_file, begins.offset),
            begins.heading,
        )
        _remember(record, record_file)
        return record

    starting = asyncio.create_task(asyncio.to_thread(start))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # What is being started is remembered first, or nobody could end it.
        await asyncio.wait([starting])
        if starting.exception() is None:
            _undo(starting.result(), record_file)
        raise


def _remember(record: NativeRecord, file: Path) -> None:
    try:
        write_json(file, record_to_json(record))
    except OSError as error:
        # A server that nobody remembers could not be stopped by anybody.
        kill_group(record.pid)
        raise TorbizError(
            f"The file {file} cannot be written, so nothing was started.",
            why=f"{error.strerror}.",
            remedy="Free some disk space or mend the permissions, then try again.",
            code="run_not_writable",
        ) from error


def _undo(record: NativeRecord, file: Path) -> None:
    """The supervisor sees to all that it has started."""
    logger("sharing").info("the start of pid %d was cut off", record.pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, signal.SIGTERM)
    file.unlink(missing_ok=True)
