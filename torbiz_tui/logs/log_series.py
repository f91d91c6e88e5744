"""A log with what was rotated away: several files that read as one."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from torbiz_tui.logs.log_file import LogFile, RawLine

_LISTED_AGAIN = 5


class Change(Enum):
    """What became of a log since it was last looked at."""

    NOTHING = "nothing"
    GREW = "grew"
    """Lines were added at the end, or the last one went on."""
    ROTATED = "rotated"
    """A new file was begun; the old one is still there."""
    TRUNCATED = "truncated"
    """Lines that were known are gone."""


class LogSeries:
    """`app.log.2`, `app.log.1`, `app.log`: oldest first, kept while the log is rotated again.

    `parts` are open files with growing part numbers; the path may lead to nothing yet. When the
    log is rotated, also several times since the last look, what was known stays in its part and
    new parts follow. When it is copied and truncated the copy takes the part's place. When it is
    just truncated the part is gone, and so is a part whose file was deleted, but for the last one.
    """

    def __init__(self, path: Path, *, older: bool = True) -> None:
        """Open what is there; `older` false leaves out what was rotated away before."""
        self.path = path
        self.parts: tuple[LogFile, ...] = ()
        self.version = 0
        """Grows when lines came before others that were known, or went."""
        self.problem = ""
        """Why the log cannot be read, in the system's words; empty when it can."""
        self._next_part = 1
        self._indexed = False
        self._on_change: Callable[[], None] | None = None
        self._ignored: frozenset[tuple[int, ...]] = frozenset()
        if older:
            self._add(self._new_siblings())
        else:
            self._ignored = frozenset(_key(status) for _, status in _siblings(path))
        self._open_current()

    @property
    def current(self) -> LogFile | None:
        """The file that is written to; the last one that was, while there is none."""
        return self.parts[-1] if self.parts else None

    @property
    def size(self) -> int:
        """The bytes of all parts."""
        return sum(part.size for part in self.parts)

    def start_index(self, on_change: Callable[[], None] | None = None) -> None:
        """Count the lines of all parts in the background, also of those that come later.

        `on_change` is called in that thread, ten times a second at most.
        """
        self._indexed = True
        self._on_change = on_change
        for part in self.parts:
            part.start_index(on_change)

    def look(self, *, read_from: int = 0) -> Change:
        """See what became of the log. Cheap enough for every frame.

        Parts from the number `read_from` on are kept although their files were deleted, if it is
        given.
        """
        before = self.parts
        here = bool(before) and before[-1].is_at(self.path)
        empty = before[-1].stamp if before and not before[-1].size else None
        change = Change.NOTHING
        # One that was renamed may still be written to.
        for part in before:
            if part.look() and not part.truncated:
                change = Change.GREW
        gone = [part for part in before if part.truncated]
        for part in gone:
            change = Change.TRUNCATED
            if part is before[-1]:
                self._replace_truncated(part)
            else:
                self._remove(part)
        reopen = here and before[-1].truncated
        if empty and before[-1].stamp != empty and self._missed_before(before[-1], here=here):
            # It was written, copied and truncated while nobody looked.
            self._remove(before[-1])
            reopen = True
        if (reopen or not here) and self._open_current():
            change = Change.ROTATED if before and change is not Change.TRUNCATED else change
            if change is Change.NOTHING:
                change = Change.GREW
        if self._drop_deleted(read_from):
            change = Change.TRUNCATED
        return change

    def part(self, number: int) -> LogFile | None:
        """The part with that number, if it is still there."""
        return next((part for part in self.parts if part.part == number), None)

    def whole(self, line: RawLine, limit: int) -> bytes:
        """All bytes of a line that was cut, `limit` at most."""
        part = self.part(line.part)
        return line.data[:limit] if part is None else part.whole(line, limit)

    def part_after(self, number: int) -> LogFile | None:
        """The first part with a higher number."""
        return next((part for part in self.parts if part.part > number), None)

    def has_moved_on(self, number: int) -> bool:
        """Whether something was written to a part with a higher number."""
        return any(part.size for part in self.parts if part.part > number)

    def close(self) -> None:
        """Close all files."""
        for part in self.parts:
            part.close()
        self.parts = ()

    def _open_current(self) -> bool:
        """Add the file that the path leads to, and those rotated away since the last look."""
        try:
            current = LogFile(self.path)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            self.problem = "" if missing else error.strerror or str(error)
            # It may have come and been rotated away since the last look.
            added = self._new_siblings()
            self._add(added)
            return bool(added)
        self.problem = ""
        added = self._new_siblings(current)
        self._add([*added, current])
        return True

    def _missed_before(self, last: LogFile, *, here: bool) -> bool:
        """Whether something was rotated away before the last part that is not known."""
        known = {part.identity for part in self.parts}
        listed = _siblings(self.path)
        identities = [(status.st_dev, status.st_ino) for _, status in listed]
        if not here:
            end = identities.index(last.identity) if last.identity in identities else 0
            listed = listed[:end]
        return any(
            (status.st_dev, status.st_ino) not in known and _key(status) not in self._ignored
            for _, status in listed
        )

    def _remove(self, gone: LogFile) -> None:
        gone.close()
        self.parts = tuple(part for part in self.parts if part is not gone)
        self.version += 1

    def _replace_truncated(self, part: LogFile) -> None:
        """Take the copy that was made of a file before it was emptied, if there is one."""
        older = [one for one in self.parts if one.part < part.part]
        newer = [one for one in self.parts if one.part > part.part]
        size, last = part.size, part.last_bytes
        part.close()
        found = self._new_siblings()
        copies = (
            at
            for at, one in enumerate(found)
            if one.size >= size and one.read(size - len(last), len(last)) == last
        )
        at = next(copies, None) if last else None
        if at is None:
            self.parts = (*older, *newer)
            self.version += 1
        else:
            # Places in it stay what they were.
            found[at].part = part.part
            self._index(found[at])
            self.parts = (*older, found[at], *newer)
            found = found[at + 1 :]
        self._add(found)

    def _new_siblings(self, current: LogFile | None = None) -> list[LogFile]:
        """Files that were rotated away and are not parts yet, oldest first."""
        known = {part.identity for part in self.parts if part is not current}
        if current is not None:
            known.add(current.identity)
        found: list[LogFile] = []
        for file, status in _siblings(self.path):
            if (status.st_dev, status.st_ino) in known or _key(status) in self._ignored:
                continue
            try:
                one = LogFile(file)
            except OSError as error:
                self.problem = f"{file.name}: {error.strerror or error}"
                continue
            # It may have been renamed since it was listed.
            if one.identity not in known:
                known.add(one.identity)
                found.append(one)
        return found

    def _add(self, files: list[LogFile]) -> None:
        for file in files:
            file.part = self._next_part
            self._next_part += 1
            self._index(file)
        self.parts = (*self.parts, *files)

    def _index(self, file: LogFile) -> None:
        if self._indexed:
            file.start_index(self._on_change)

    def _drop_deleted(self, read_from: int) -> bool:
        # Its space is given back only when nobody has it open.
        gone = [part for part in self.parts[:-2] if not part.linked]
        gone = [part for part in gone if not (read_from and part.part >= read_from)]
        for part in gone:
            self._remove(part)
        return bool(gone)


def _siblings(path: Path) -> list[tuple[Path, os.stat_result]]:
    """What was rotated away from a log (`app.log.2`, `app.log.1`), the oldest first."""
    for _ in range(_LISTED_AGAIN):
        try:
            return _listed(path)
        except FileNotFoundError:
            # It is being rotated right now, or there is no folder.
            continue
        except OSError:
            return []
    return []


def _listed(path: Path) -> list[tuple[Path, os.stat_result]]:
    numbered = re.compile(re.escape(path.name) + r"\.(\d{1,6})")
    found: list[tuple[int, Path, os.stat_result]] = []
    for file in path.parent.iterdir():
        number = numbered.fullmatch(file.name)
        if number is not None:
            status = file.stat()
            if stat.S_ISREG(status.st_mode):
                found.append((int(number[1]), file, status))
    found.sort(key=lambda one: one[0], reverse=True)
    return [(file, status) for _, file, status in found]


def _key(status: os.stat_result) -> tuple[int, ...]:
    # An inode's number is given again once its file is deleted.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
