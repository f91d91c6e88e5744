"""How much memory processes take together (Linux)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ (?P<offset>\S+) \S+ (?P<inode>\d+) *(?P<path>.*)$")
_SHARED = ("/dev/shm/", "/dev/zero", "/memfd:", "/SYSV")


@dataclass(frozen=True)
class Memory:
    """Bytes of memory: `private` is what was written, `files` what is mapped of programs."""

    private: int
    files: int

    @property
    def total(self) -> int:
        """Both."""
        return self.private + self.files


def memory_of(pids: Iterable[int]) -> Memory:
    """The memory of processes that were forked from each other, and of nobody else.

    What they share is counted once. A page of a file is theirs in full even where another program
    has mapped it too, unlike in PSS, so that it does not matter what else is running.
    """
    private = 0
    files: defaultdict[tuple[str, str], int] = defaultdict(int)
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps").read_text("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        own: defaultdict[tuple[str, str], int] = defaultdict(int)
        mapping, sizes = ("", ""), dict[str, int]()
        for line in text.splitlines():
            if (match := _MAPPING.match(line)) is not None:
                path = match["path"]
                of_file = match["inode"] != "0" and not path.startswith(_SHARED)
                mapping, sizes = ((path, match["offset"]) if of_file else ("", "")), {}
                continue
            name, _, value = line.partition(":")
            if not value.endswith(" kB"):
                continue
            sizes[name] = int(value[:-3]) * 1024
            if name == "Anonymous":
                # The last of what is needed; pages of a file that were written are anonymous too.
                pages = sizes["Rss"] - sizes["Anonymous"]
                share = sizes["Pss"] / sizes["Rss"] if sizes["Rss"] else 0.0
                if mapping[0]:
                    own[mapping] += pages
                    private += round(sizes["Anonymous"] * share)
                else:
                    private += sizes["Pss"]
        for mapping, size in own.items():
            files[mapping] = max(files[mapping], size)
    return Memory(private, sum(files.values()))


def passing_peak(pids: Iterable[int]) -> int:
    """Bytes that one of these processes had at its highest, beyond what it has now.

    The highest of a server is reached while it computes a long prompt, by the one that computes.
    """
    beyond = [0]
    for pid in pids:
        sizes = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        if "VmHWM" in sizes:
            highest, now = (int(sizes[name].split()[0]) for name in ("VmHWM", "VmRSS"))
            beyond.append((highest - now) * 1024)
    return max(beyond)
