"""Switching on and off what this machine starts at login."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.autostart import launchd, systemd
from torbiz_tui.errors import TorbizError

_CALL_TIMEOUT_S = 20.0
# The time that the stopping itself takes, beside what the server gets for it.
_STOP_MARGIN_S = 30.0

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class AutostartState:
    """Whether sharing begins at login, the file that says so, and its command as written there."""

    on: bool
    file: Path
    command: str = ""


def share_command(home: Path, options: Sequence[str]) -> list[str]:
    """A call of this program on a home folder; `options` is the rest of its command line."""
    return [sys.executable, "-P", "-m", "torbiz_tui.cli", "--home", str(home), *options]


def run_program(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program of the system. Raises OSError or subprocess.TimeoutExpired."""
    return subprocess.run(
        list(argv),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_CALL_TIMEOUT_S,
    )


class Autostart:
    """What this person's login starts: one entry, on or off.

    `home` is the person's home folder, `platform` as in `sys.platform`.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        platform: str = sys.platform,
        config_home: str | None = None,
        run: Run = run_program,
    ) -> None:
        self._home = home or Path.home()
        self._platform = platform
        if config_home is None:
            config_home = os.environ.get("XDG_CONFIG_HOME", "")
        self._units = systemd.unit_folder(self._home, config_home)
        self._run = run

    @property
    def _mac(self) -> bool:
        return self._platform == "darwin"

    @property
    def file(self) -> Path:
        """The file of the entry."""
        return launchd.agent_file(self._home) if self._mac else self._units / systemd.UNIT

    def state(self) -> AutostartState:
        """The entry as it is; reads files alone."""
        try:
            written = self.file.read_bytes()
        except OSError:
            return AutostartState(False, self.file)
        if self._mac:
            return AutostartState(True, self.file, _agent_command(written))
        # A link to a file that is elsewhere counts too, as for systemd.
        enabled = os.path.lexists(systemd.wants_link(self._units))
        started = re.search(r"^ExecStart=(.*)$", written.decode("utf-8", "replace"), re.MULTILINE)
        return AutostartState(enabled, self.file, started[1] if started else "")

    def switch_on(
        self, start: Sequence[str], stop: Sequence[str], *, stop_grace_s: float, log: Path
    ) -> AutostartState:
        """Have `start` run at every login from the next one on, and `stop` at logout (systemd).

        `log` takes what they say where the system keeps no journal. Raises TorbizError where
        nothing starts programs at login (`no_autostart`), or the file cannot be written.
        """
        for part in (*start, *stop):
            if not part.isprintable():
                raise TorbizError(
                    "This command cannot be started at login.",
                    why=f"{part!r} has characters that are not printable.",
                    remedy="Rename that file or folder.",
                    code="no_autostart",
                )
        if self._mac:
            self._write(launchd.agent_bytes(start, log))
            return self.state()
        self._require_systemd()
        self._write(
            systemd.unit_text(start, stop, stop_grace_s + _STOP_MARGIN_S).encode("utf-8"),
        )
        for arguments in (["daemon-reload"], ["enable", systemd.UNIT]):
            done = self._systemctl(arguments)
            if done.returncode != 0:
                self.switch_off()
                raise TorbizError(
                    "systemd did not take the unit, so sharing does not begin at login.",
                    why=_first_line(done.stderr),
                    remedy=f"`systemctl --user {' '.join(arguments)}` says more.",
                    code="no_autostart",
                )
        return self.state()

    def switch_off(self) -> bool:
        """Remove the entry; False when there was none. A server that runs goes on.

        Works also where no manager answers now. Raises TorbizError when the file stays.
        """
        link = systemd.wants_link(self._units)
        was_there = self.file.exists() or (not self._mac and os.path.lexists(link))
        try:
            if not self._mac:
                link.unlink(missing_ok=True)
            self.file.unlink(missing_ok=True)
        except OSError as error:
            raise TorbizError(
                f"The file {error.filename or self.file} cannot be removed.",
                why=f"{error.strerror or error}.",
                remedy="Remove it by hand.",
                code="autostart_not_writable",
            ) from error
        if was_there and not self._mac:
            # That it does not answer is no failure: at the next login there is nothing to start.
            self._systemctl(["daemon-reload"])
        return was_there

    def _write(self, data: bytes) -> None:
        temporary = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(self.file)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise TorbizError(
                f"The file {self.file} cannot be written.",
                why=f"{error.strerror or error}.",
                remedy="Mend the permissions of its folder, then try again.",
                code="autostart_not_writable",
            ) from error

    def _require_systemd(self) -> None:
        reason = ""
        if not self._platform.startswith("linux"):
            reason = f"{self._platform} has neither systemd nor launchd."
        elif self._run is run_program and shutil.which("systemctl") is None:
            reason = "There is no systemd here, as in most containers."
        else:
            done = self._systemctl(["show-environment"])
            if done.returncode != 0:
                reason = f"systemd's user manager does not answer: {_first_line(done.stderr)}"
        if reason:
            raise TorbizError(
                "Nothing on this machine starts programs at login.",
                why=reason,
                remedy="Have `torbiz-tui share` run by what starts programs here, such as cron's"
                " @reboot or the container's command.",
                code="no_autostart",
            )

    def _systemctl(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        argv = ["systemctl", "--user", *arguments]
        try:
            return self._run(argv)
        except (OSError, subprocess.TimeoutExpired) as error:
            return subprocess.CompletedProcess(argv, 1, "", str(error))


def _agent_command(written: bytes) -> str:
    try:
        parts = plistlib.loads(written)["ProgramArguments"]
    except (ValueError, KeyError, TypeError, plistlib.InvalidFileException):
        return ""
    return systemd.command_line([str(part) for part in parts])


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "it does not say why")
    return line if line.endswith(".") else f"{line}."
