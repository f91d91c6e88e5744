"""The one thread that touches `history.db`, so that no disk ever holds up the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.history_schema import history_error, open_database
from torbiz_tui.logs.writing import logger
from torbiz_tui.threads import outcome_of

if TYPE_CHECKING:
    import sqlite3

T = TypeVar("T")

_GATHER_S = 0.02
_CLOSE_S = 10.0

Piece = tuple[int, str]
Job = Callable[["sqlite3.Connection"], T]


class HistoryThread:
    """Runs jobs on the file in the order in which they were given, and writes pieces in between.

    The pieces of an answer are gathered for 20 ms and written in one transaction, so a piece
    outlives a kill of the program a moment after it came, and a fast answer does not cost a
    transaction a token.
    """

    def __init__(
        self,
        file: Path,
        *,
        write_pieces: Callable[[sqlite3.Connection, Iterable[Piece]], None],
        opened: Job[None],
        housekeeping: Job[None],
        housekeeping_after_s: float,
    ) -> None:
        self._file = file
        self._write_pieces = write_pieces
        self._opened = opened
        self._housekeeping = housekeeping
        self._housekeeping_after_s = housekeeping_after_s
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._pieces: deque[Piece] = deque()
        self._unwritten: list[Piece] = []
        self._flush_at: float | None = None
        self._housekeeping_at: float | None = None
        self._flush_asked = False
        self._thread: threading.Thread | None = None
        self._closed = False
        self._db: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self.failure: TorbizError | None = None
        """Why the pieces that came last are not on the disk; None when they are."""

    def call(self, job: Job[T]) -> asyncio.Future[T]:
        """Queue a job and answer with its outcome; it runs also when nobody waits for that."""

        def run() -> T:
            self._write_waiting()
            return self._run_on_file(job)

        return self._submit(run)

    def set_aside(self) -> asyncio.Future[Path]:
        """Queue that the file is renamed, with its journal; the next job makes a new one."""

        def rename() -> Path:
            self._let_go()
            aside = self._file.with_name(f"{self._file.name}.{time.strftime('%Y%m%d-%H%M%S')}")
            try:
                self._file.rename(aside)
                for suffix in ("-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        Path(f"{self._file}{suffix}").rename(f"{aside}{suffix}")
            except OSError as error:
                raise history_error(error, self._file) from error
            return aside

        return self._submit(rename)

    def _submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        run, outcome = outcome_of(work)
        try:
            self._put(run)
        except TorbizError as error:
            outcome.set_exception(error)
        return outcome

    def append(self, turn_id: int, text: str) -> None:
        """Write a piece of an answer within some 20 ms; it fails into `failure`."""
        self._pieces.append((turn_id, text))
        if not self._flush_asked:
            self._flush_asked = True
            try:
                self._put(self._plan_flush)
            except TorbizError as error:
                self.failure = error

    async def close(self) -> None:
        """Write what waits, and let go of the file."""
        self._closed = True
        thread = self._thread
        if thread is None:
            return
        self._jobs.put(None)
        deadline = time.monotonic() + _CLOSE_S
        while thread.is_alive():
            if time.monotonic() > deadline:
                logger("inference").error("the history was not closed within %.0f s", _CLOSE_S)
                return
            await asyncio.to_thread(thread.join, 0.5)

    def _put(self, work: Callable[[], None]) -> None:
        if self._closed:
            raise TorbizError("The history is closed.", code="history_closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="history", daemon=True)
            self._thread.start()
        self._jobs.put(work)

    def _loop(self) -> None:
        while True:
            try:
                work = self._jobs.get(timeout=self._idle_s())
            except queue.Empty:
                self._do_what_is_due()
                continue
            if work is None:
                break
            work()
            # A steady stream of jobs must not put the pieces off.
            self._do_what_is_due()
        self._write_waiting()
        self._let_go()

    def _idle_s(self) -> float | None:
        due = [at for at in (self._flush_at, self._housekeeping_at) if at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._flush_at is not None and self._flush_at <= now:
            self._write_waiting()
        if self._housekeeping_at is not None and self._housekeeping_at <= now:
            self._housekeeping_at = None
            try:
                self._run_on_file(self._housekeeping)
            except Exception as error:  # noqa: BLE001 (nobody waits for it, and the thread goes on)
                logger("inference").warning("the history was not tidied up: %s", error)

    def _plan_flush(self) -> None:
        self._flush_at = time.monotonic() + _GATHER_S

    def _write_waiting(self) -> None:
        self._flush_at = None
        # In this order: a piece that comes in between asks for a flush of its own.
        self._flush_asked = False
        while self._pieces:
            self._unwritten.append(self._pieces.popleft())
        if not self._unwritten:
            return
        try:
            self._run_on_file(lambda db: self._write_pieces(db, self._unwritten))
        except Exception as error:  # noqa: BLE001 (kept in `failure`, and the thread goes on)
            if self.failure is None:
                logger("inference").error("the answer is not stored: %s", error)
            self.failure = (
                error if isinstance(error, TorbizError) else history_error(error, self._file)
            )
            return
        self._unwritten.clear()
        self.failure = None

    def forget_pieces(self, turn_id: int) -> None:
        """Drop what could not be written of an answer that is now stored whole (in a job)."""
        self._unwritten = [piece for piece in self._unwritten if piece[0] != turn_id]
        if not self._unwritten:
            self.failure = None

    def _run_on_file(self, job: Job[T]) -> T:
        import sqlite3

        try:
            return job(self._connection())
        except (sqlite3.Error, OSError) as error:
            # What is wrong with the file may be mended meanwhile: the next job opens it anew.
            self._let_go()
            raise history_error(error, self._file) from error

    def _connection(self) -> sqlite3.Connection:
        if self._db is not None and self._identity() != self._inode:
            logger("inference").warning("the history %s was replaced: opening it anew", self._file)
            self._let_go()
        if self._db is None:
            self._db = open_database(self._file)
            self._inode = self._identity()
            self._recover(self._db)
            self._housekeeping_at = time.monotonic() + self._housekeeping_after_s
        return self._db

    def _recover(self, db: sqlite3.Connection) -> None:
        import sqlite3

        try:
            self._opened(db)
        except sqlite3.Error as error:
            # With a full disk what is there can still be read; the next opening tries again.
            logger("inference").warning("interrupted answers were not put together: %s", error)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _let_go(self) -> None:
        import sqlite3

        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except sqlite3.Error as error:
                logger("inference").warning("the history was not closed well: %s", error)
