"""The programs that are compared: how they are started, and their keys."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

OURS = "torbiz-tui"
SIDE = Path(__file__).resolve().parent
PROGRAM = str(Path(sys.executable).with_name("torbiz-tui"))


Taken = tuple[tuple[str, bytes], ...]
Keys = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Viewer:
    """A log viewer.

    `keys` are pressed in turn, each with the bytes that show what it did (None where that cannot
    be told apart); `follow` goes back to the end. `search` is what is typed to find a text ({}),
    one piece after the other, each with what shows that it was taken in.
    """

    name: str
    argv: Callable[[Path], list[str]]
    keys: Keys
    follow: str
    search: Taken = ()
    again: str = ""
    largest: int = 10**12
    environ: dict[str, str] = field(default_factory=dict)


def viewers(toolong: Path | None) -> tuple[list[Viewer], list[str]]:
    """Those that are installed, ours first, and the names of the others with how to get them."""
    found = [
        Viewer(
            OURS,
            # The log is where the program looks for the server's.
            lambda file: [PROGRAM, "--home", str(file.parents[1]), "--screen", "logs"],
            (("k", b"G goes"), ("G", b"mfollowing")),
            "G",
            (("/", b"apitals"), ("{}", b"-4711"), ("\r", b"")),
        )
    ]
    missing: list[str] = []
    tl = shutil.which("tl") if toolong is None else str(toolong)
    if tl is not None and Path(tl).exists():
        keys: Keys = (("\x06", b"Previous"), ("\x1b", None))
        search: Taken = (("\x06", b"Previous"), ("{}", b"-4711"), ("\r", b""), ("\x1b[A", b""))
        found.append(Viewer("toolong", lambda file: [tl, str(file)], keys, "\x1b[F", search))
    else:
        missing.append("toolong (pip install toolong, then --toolong PATH/bin/tl)")
    if shutil.which("less") is not None:
        keys = (("\x03", None), ("F", b"Waiting for data"))
        found.append(
            Viewer(
                "less +F",
                lambda file: ["less", "+F", str(file)],
                keys,
                "F",
                (("\x03", b":"), ("?{}\r", b"")),
                environ={"LESS": "", "LESSSECURE": "1"},
            )
        )
    else:
        missing.append("less")
    if shutil.which("lnav") is not None:
        keys = (("/", b"earch for"), ("\x1d", None))
        search = (("/{}\r", b""),)
        found.append(
            Viewer("lnav", lambda file: ["lnav", "-N", str(file)], keys, "G", search, again="N")
        )
    else:
        missing.append("lnav")
    found.append(
        Viewer(
            "RichLog app",
            lambda file: [sys.executable, str(SIDE / "richlog_app.py"), str(file)],
            (("/", b"QXODDQX"), ("/", b"QXEVENQX")),
            "",
            # All of it is kept in memory, some kilobytes a line.
            largest=30_000_000,
        )
    )
    return found, missing
