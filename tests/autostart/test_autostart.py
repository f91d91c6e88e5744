"""What is written for the login, that systemd understands it, and that it can be undone."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from torbiz_tui.autostart import Autostart, share_command
from torbiz_tui.autostart.systemd import UNIT, command_line
from torbiz_tui.cli import main
from torbiz_tui.errors import TorbizError

Capture = pytest.CaptureFixture[str]
START = ["/opt/my env/bin/python", "-m", "torbiz_tui.cli", "--home", "/h/100% $me", "share"]
STOP = [*START[:-1], "stop"]


class Systemctl:
    """Does with files what `systemctl --user` does, and fails where it is told to."""

    def __init__(self, home: Path, fails: str = "") -> None:
        self.folder = home / ".config" / "systemd" / "user"
        self.fails = fails
        self.called: list[str] = []

    def __call__(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        assert argv[:2] == ["systemctl", "--user"]
        self.called.append(argv[2])
        if argv[2] == self.fails:
            error = "Failed to connect to bus: No medium found\n"
            return subprocess.CompletedProcess(list(argv), 1, "", error)
        if argv[2] == "enable":
            link = self.folder / "default.target.wants" / argv[3]
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(self.folder / argv[3])
        return subprocess.CompletedProcess(list(argv), 0, "", "")


def on_linux(home: Path, fails: str = "") -> tuple[Autostart, Systemctl]:
    run = Systemctl(home, fails)
    return Autostart(home, platform="linux", config_home="", run=run), run


def switch_on(autostart: Autostart, start: Sequence[str] = START) -> None:
    autostart.switch_on(start, STOP, stop_grace_s=20.0, log=Path("/h/logs/autostart.log"))


def test_on_and_off_leave_nothing_behind(tmp_path: Path) -> None:
    autostart, run = on_linux(tmp_path)
    assert not autostart.state().on
    switch_on(autostart)
    state = autostart.state()
    assert state.on
    assert state.file == tmp_path / ".config/systemd/user" / UNIT
    assert state.command == command_line(START)
    assert run.called == ["show-environment", "daemon-reload", "enable"]
    assert autostart.switch_off()
    assert not autostart.state().on
    assert [file for file in tmp_path.rglob("*") if not file.is_dir()] == []
    assert not autostart.switch_off()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    autostart, _run = on_linux(tmp_path)
    program = tmp_path / "a b%d"
    program.symlink_to("/bin/true")
    start = [str(program), "--home", '/h/100% "$me"', "share", "--wait"]
    log = tmp_path / "autostart.log"
    autostart.switch_on(start, [str(program), "stop"], stop_grace_s=20.0, log=log)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(autostart.file)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_LOG_LEVEL": "warning"},
    )
    said = [line for line in done.stderr.splitlines() if UNIT in line]
    assert said == []


def test_a_container_without_systemd_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    autostart, _run = on_linux(tmp_path, fails="show-environment")
    with pytest.raises(TorbizError, match="Nothing on this machine starts programs") as caught:
        switch_on(autostart)
    assert caught.value.code == "no_autostart"
    assert "Failed to connect to bus" in caught.value.why
    assert list(tmp_path.iterdir()) == []


def test_a_unit_that_is_not_taken_is_removed_again(tmp_path: Path) -> None:
    autostart, _run = on_linux(tmp_path, fails="enable")
    with pytest.raises(TorbizError, match="did not take the unit"):
        switch_on(autostart)
    assert not autostart.file.exists()


def test_off_works_where_no_manager_answers(tmp_path: Path) -> None:
    autostart, run = on_linux(tmp_path)
    switch_on(autostart)
    run.fails = "daemon-reload"
    assert autostart.switch_off()
    assert not autostart.state().on


def test_a_mac_gets_an_agent(tmp_path: Path) -> None:
    autostart = Autostart(tmp_path, platform="darwin")
    switch_on(autostart)
    state = autostart.state()
    assert state.on
    assert state.command == command_line(START)
    written = plistlib.loads(state.file.read_bytes())
    assert written["ProgramArguments"] == START
    assert written["RunAtLoad"] is True
    assert state.file == tmp_path / "Library/LaunchAgents/torbiz-tui.share.plist"
    assert autostart.switch_off()
    assert not autostart.state().on


def test_another_system_is_refused(tmp_path: Path) -> None:
    autostart = Autostart(tmp_path, platform="freebsd14", run=Systemctl(tmp_path))
    with pytest.raises(TorbizError, match="Nothing on this machine") as caught:
        switch_on(autostart)
    assert "freebsd14" in caught.value.why


def test_a_line_feed_in_a_path_cannot_add_a_line(tmp_path: Path) -> None:
    autostart, run = on_linux(tmp_path)
    with pytest.raises(TorbizError, match="cannot be started at login"):
        switch_on(autostart, ["/h/x\nExecStartPre=/bin/evil"])
    assert run.called == []


def test_the_command_runs_this_program(tmp_path: Path) -> None:
    done = subprocess.run(
        share_command(tmp_path, ["config", "path"]),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert done.stdout.strip() == str(tmp_path / "config.yaml")


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person whose login has no systemd."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORBIZ_HOME", str(tmp_path / ".torbiz"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


def test_the_command_tells_what_it_is(
    login: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert main(["autostart", "status"]) == 0
    assert capsys.readouterr().out == "off\n"
    assert main(["autostart", "off"]) == 0
    assert "did not begin at login" in capsys.readouterr().err
    assert main(["autostart", "on"]) == 2
    assert "Set model in" in capsys.readouterr().err
    # At the next login there would be none.
    monkeypatch.setenv("TORBIZ_MODEL", "torbiz-demo")
    assert main(["autostart", "on"]) == 2
    assert "A login does not have the variable TORBIZ_MODEL" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="about a Linux without systemd")
def test_the_command_refuses_without_systemd(login: Path, capsys: Capture) -> None:
    assert main(["--demo", "autostart", "on"]) == 1
    told = capsys.readouterr().err
    assert "Nothing on this machine starts programs at login" in told
    assert "as in most containers" in told
    assert not (login / ".config").exists()


def test_the_command_keeps_tokens_out(
    login: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(
        "torbiz_tui.commands.autostart.Autostart", lambda: Autostart(login, platform="darwin")
    )
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("TORBIZ_SHARE_PORT", "4000")
    assert main(["--demo", "autostart", "on", "--json"]) == 0
    captured = capsys.readouterr()
    assert "`torbiz-tui --demo share` begins now" in captured.err
    assert "TORBIZ_SHARE_PORT" in captured.err
    assert "hub's token file" in captured.err
    assert '"on": true' in captured.out
    written = Autostart(login, platform="darwin").file.read_text("utf-8")
    assert "hf_secret" not in written
    assert "--demo" in written


def test_what_is_being_answered_may_finish_at_logout(
    login: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(list(argv), 0, "", "")

    autostart = Autostart(login, platform="linux", config_home="", run=run)
    monkeypatch.setattr("torbiz_tui.commands.autostart.Autostart", lambda: autostart)
    monkeypatch.setenv("TORBIZ_SHARE_DRAIN_S", "300")
    monkeypatch.setenv("TORBIZ_SHARE_STOP_GRACE_S", "20")
    assert main(["--demo", "autostart", "on"]) == 0
    assert "TimeoutStopSec=350" in autostart.file.read_text("utf-8").splitlines()
