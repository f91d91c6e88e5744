"""What the commands print: data to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from torbiz_tui.errors import TorbizError

PROGRAM = "torbiz-tui"


class OutputClosedError(Exception):
    """Nobody reads stdout any more, as after `torbiz-tui logs | head`."""


def write(text: str) -> None:
    """Print data as it is, at once.

    Raises OutputClosedError when nobody reads it, TorbizError when it cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        raise OutputClosedError from None
    except OSError as error:
        silence(sys.stdout)
        raise TorbizError(
            "The output cannot be written.", why=f"{error.strerror}.", code="output_failed"
        ) from error


def write_line(text: str = "") -> None:
    """Print a line of data."""
    write(f"{text}\n")


def write_json(value: Mapping[str, object]) -> None:
    """Print one JSON object on a line."""
    import json

    write_line(json.dumps(value, ensure_ascii=False))


def write_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows with their columns aligned; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        write_line("  ".join([*cells, row[-1]]).rstrip())


def disk_size(size: int) -> str:
    """Bytes as disks are sold: `1.28 GB`, `340 MB`, `12 kB`, `0`."""
    if size >= 10**9:
        return f"{size / 1e9:.2f} GB"
    if size >= 10**6:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e3:.0f} kB" if size else "0"


def tell(text: str) -> None:
    """Print a diagnostic line; it is made safe for the terminal, and holds no tokens."""
    from torbiz_tui.logs.redaction import redact
    from torbiz_tui.logs.sanitizing import sanitize_line

    # Without anyone to read diagnostics the command itself still goes on.
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{redact(sanitize_line(text))}\n")
        sys.stderr.flush()


def tell_error(error: TorbizError) -> None:
    """Print an error: what happened, then indented why, what to do, and the evidence."""
    first, *others = error.lines()
    tell(f"{PROGRAM}: {first}")
    for line in others:
        tell(line if line.startswith(" ") else f"  {line}")


def someone_watches() -> bool:
    """Whether diagnostics go to a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def someone_reads() -> bool:
    """Whether data goes to a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def silence(stream: TextIO) -> None:
    """Let what is still in the buffer of a stream that fails go nowhere, also at the exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
