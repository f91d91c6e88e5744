"""Which chat runners live: a record each, and a lock that tells whether a program uses one."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from torbiz_tui.environments.processes import start_mark
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.run_start import RunStart
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths, write_json

# The address of a Unix socket has 104 bytes on macOS, 108 on Linux, one of them for its end.
_LONGEST_SOCKET = 100
_LONGEST_PARENT = _LONGEST_SOCKET - len("/torbiz-0123456789ab/chat-01234567.sock")


@dataclass(frozen=True)
class ChatRunnerRecord:
    """A chat runner that was started: its process by number and start, and where it listens.

    `started_at` is in seconds since the epoch; its lines begin at byte `log_offset` of its log,
    behind the line `log_heading`.
    """

    key: str
    pid: int
    start_mark: str
    model: str
    socket: str
    started_at: float
    log_offset: int = 0
    log_heading: str = ""

    @property
    def log_start(self) -> RunStart:
        """Where its lines begin in its log."""
        return RunStart(self.log_offset, self.log_heading)

    @property
    def alive(self) -> bool:
        """Whether that process, not another of the same number, lives."""
        return start_mark(self.pid) == self.start_mark


class ChatRecords:
    """The records of one home folder."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    @property
    def lock_file(self) -> Path:
        """What whoever starts or ends a chat runner holds."""
        return self._paths.run / "chat.lock"

    def _record_file(self, key: str) -> Path:
        return self._paths.run / f"chat-{key}.json"

    def _users_file(self, key: str) -> Path:
        return self._paths.run / f"chat-{key}.users"

    def living(self) -> list[ChatRunnerRecord]:
        """The chat runners that live."""
        return [record for record in self._all() if record.alive]

    def find(self, key: str) -> ChatRunnerRecord | None:
        """The living chat runner with this key."""
        record = _read(self._record_file(key))
        return record if record is not None and record.alive else None

    def write(self, record: ChatRunnerRecord) -> None:
        """Remember a chat runner. Raises OSError."""
        write_json(self._record_file(record.key), asdict(record))

    def forget_dead(self) -> None:
        """Remove what chat runners that have ended left behind."""
        for record in self._all():
            if not record.alive:
                for file in (
                    self._record_file(record.key),
                    self._users_file(record.key),
                    Path(record.socket),
                ):
                    with suppress(OSError):
                        file.unlink(missing_ok=True)

    def _all(self) -> Iterator[ChatRunnerRecord]:
        for file in sorted(self._paths.run.glob("chat-*.json")):
            record = _read(file)
            if record is not None:
                yield record

    def use(self, key: str) -> IO[bytes] | None:
        """Count as a program that uses this chat runner, until the file is closed.

        None while somebody is ending it.
        """
        return self._locked(key, fcntl.LOCK_SH)

    @contextmanager
    def unused(self, key: str) -> Iterator[bool]:
        """Whether no program uses it; if so, none begins to as long as the context lasts."""
        lock = self._locked(key, fcntl.LOCK_EX)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.close()

    def _locked(self, key: str, kind: int) -> IO[bytes] | None:
        file = self._users_file(key).open("ab")
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def new_socket(self) -> Path:
        """A place for a chat runner to listen at that no other one has had.

        It is outside the home when that has too long a path for a socket's address. Raises
        TorbizError when somebody else could write there.
        """
        name = f"chat-{secrets.token_hex(4)}.sock"
        file = self._paths.run / name
        if len(os.fsencode(file)) <= _LONGEST_SOCKET:
            return file
        home = hashlib.sha256(os.fsencode(self._paths.home)).hexdigest()[:12]
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        parent = next(
            folder
            for folder in (runtime, tempfile.gettempdir(), "/tmp")  # noqa: S108 (made safe below)
            if Path(folder).is_dir() and len(os.fsencode(folder)) <= _LONGEST_PARENT and folder
        )
        folder = Path(parent) / f"torbiz-{home}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            status = folder.lstat()
        except OSError as error:
            raise TorbizError(
                f"The folder {folder} cannot be made.",
                why=f"{error.strerror}; the path of {self._paths.home} is too long for a socket.",
                remedy="Choose a shorter one with --home or TORBIZ_HOME.",
                code="home_too_long",
            ) from error
        ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if not ours or stat.S_IMODE(status.st_mode) & 0o077:
            raise TorbizError(
                f"The folder {folder} is not yours alone, so no chat runner listens there.",
                why=f"The path of {self._paths.home} is too long for a socket.",
                remedy="Remove that folder, or choose a shorter home with --home or TORBIZ_HOME.",
                code="home_too_long",
            )
        return folder / name


def _read(file: Path) -> ChatRunnerRecord | None:
    try:
        return ChatRunnerRecord(**json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        logger("inference").warning("%s cannot be read: %s", file, error)
        return None
