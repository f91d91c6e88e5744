"""The unit with which systemd's user manager shares from login to logout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

UNIT = "torbiz-tui-share.service"
_WANTED_BY = "default.target"


def unit_folder(home: Path, config_home: str = "") -> Path:
    """Where the person's units are; `config_home` is `$XDG_CONFIG_HOME`."""
    return (Path(config_home) if config_home else home / ".config") / "systemd" / "user"


def wants_link(folder: Path) -> Path:
    """The link that `systemctl --user enable` makes."""
    return folder / f"{_WANTED_BY}.wants" / UNIT


def unit_text(start: Sequence[str], stop: Sequence[str], stop_timeout_s: float) -> str:
    """The unit: `start` hosts in the background and returns, `stop` ends that gracefully.

    A start that fails, because there is no network yet, say, is tried five times in an hour.
    """
    return f"""\
# Written by `torbiz-tui autostart on`; `torbiz-tui autostart off` removes it.
[Unit]
Description=torbiz-tui: share blocks of a model
StartLimitIntervalSec=3600
StartLimitBurst=5

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={command_line(start)}
ExecStop={command_line(stop)}
Restart=on-failure
RestartSec=60
TimeoutStartSec=infinity
TimeoutStopSec={stop_timeout_s:.0f}

[Install]
WantedBy={_WANTED_BY}
"""


def command_line(argv: Sequence[str]) -> str:
    """A command as systemd reads it: quoted, its specifiers and variables taken literally."""
    program, *arguments = argv
    # In the program's own name systemd takes a dollar sign literally.
    return " ".join([_quoted(program), *(_quoted(part).replace("$", "$$") for part in arguments)])


def _quoted(part: str) -> str:
    text = part.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'
