"""The text of the configuration file, or why there is none."""

from __future__ import annotations

import stat
from pathlib import Path

from torbiz_tui.config_errors import Problem

_MAX_BYTES = 1_000_000


def read_text(file: Path, problems: list[Problem], *, must_exist: bool) -> str:
    """The text of the file, empty when there is none to read; what is wrong goes into `problems`."""
    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            problems.append(Problem(str(file), "", "this is a folder, not a file."))
            return ""
        if not stat.S_ISREG(mode):
            problems.append(Problem(str(file), "", "this is not a regular file."))
            return ""
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if file.is_symlink():
            problems.append(
                Problem(str(file), "", f"links to {file.readlink()}, which is not there.")
            )
        elif must_exist:
            problems.append(Problem(str(file), "", "there is no such file."))
        return ""
    except OSError as error:
        problems.append(Problem(str(file), "", f"cannot be read: {error.strerror or error}."))
        return ""
    if len(data) > _MAX_BYTES:
        problems.append(Problem(str(file), "", "is larger than 1 MB, so it is no configuration."))
        return ""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(f"{file}:{line}", "", "is not UTF-8 text."))
        return ""
