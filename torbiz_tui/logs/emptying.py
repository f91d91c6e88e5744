"""Freeing what the logs take, while programs may be writing to them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from torbiz_tui.folder_sizes import Removal, disk_bytes


def empty_logs(folder: Path, stop: threading.Event, *, keep: Sequence[str] = ()) -> Removal:
    """Remove rotated logs and empty the others, but for those whose names begin as in `keep`.

    A log stays as an empty file, since a program that has it open goes on writing to it.
    """
    done = Removal()
    for file in sorted(folder.glob("*.log*")):
        if stop.is_set():
            break
        if file.name.startswith(tuple(keep)) or file.is_symlink() or not file.is_file():
            continue
        try:
            before = file.stat()
            if file.suffix == ".log":
                os.truncate(file, 0)
            else:
                file.unlink()
            done.bytes += disk_bytes(before)
        except OSError as error:
            done.errors.append(error)
    return done
