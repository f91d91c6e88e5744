"""Wrong calls, global options, the configuration commands, what cannot be helped."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.cli.fakes import Scene
from torbiz_tui import __version__
from torbiz_tui.cli import main
from torbiz_tui.config import example_text

Capture = pytest.CaptureFixture[str]
COMMANDS = (
    "setup",
    "doctor",
    "share",
    "status",
    "stop",
    "autostart",
    "invite",
    "swarms",
    "bootstrap",
    "reach",
    "ask",
    "api",
    "swarm",
    "logs",
    "models",
    "clean",
    "cache",
    "config",
)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["shar"], "'shar' is not known; did you mean share?"),
        (["config", "shwo"], "'shwo' is not known; did you mean show?"),
        (["ask", "--modl", "x"], "'--modl' is not understood; did you mean --model?"),
        (["status", "more"], "'more' is not understood."),
        (["share", "m", "--timeout", "3"], "give --wait too"),
        (["share", "m", "--wait", "--timeout", "0"], "give seconds, above 0"),
        (["logs", "-n", "-1"], "-n"),
        (["logs", "--grep", "["], "'[' is no regular expression."),
        (["logs", "ap"], "There is no log 'ap'; did you mean app?"),
        (["clean", "--yes"], "Name what to free: --image, --env, --models, --logs."),
        (["clean", "--imag"], "did you mean --image?"),
        (["--screen", "asks"], "did you mean ask?"),
        (["--screen", "ask", "status"], "leave out the command"),
        (["share", "--new-swarm", "--initial-peer", "x"], "not allowed with argument"),
        (["share", "m", "--port", "x"], "--port: share.port: 'x' is not accepted"),
        (["ask", "--temperature", "hot", "hi"], "accepted is a number from 0 to 10"),
        (["--environment", "podman", "status"], "auto, docker, native or wsl"),
        (["--home", "", "config", "path"], "--home '' is no path."),
        (["--home", "~nobody-of-that-name/x", "config", "path"], "is no path."),
        (["--config", "/nonexistent/c.yaml", "config", "check"], "there is no such file"),
        (["ask", ""], "The question is empty."),
        (["ask", "\udcff"], "not UTF-8"),
    ],
)
def test_a_wrong_call_is_refused_in_a_sentence(
    capsys: Capture, home: Path, arguments: list[str], sentence: str
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.startswith("torbiz-tui: ")
    assert not home.exists()


class _TerminalStream(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("elsewhere", "said"),
    [("stdin", "standard input"), ("stdout", "standard output"), ("stderr", "standard error")],
)
def test_the_app_needs_a_terminal(
    monkeypatch: pytest.MonkeyPatch, elsewhere: str, said: str
) -> None:
    streams: dict[str, io.StringIO] = {
        name: _TerminalStream() for name in ("stdin", "stdout", "stderr")
    }
    streams[elsewhere] = io.StringIO()
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert main(["--demo"]) == 2
    assert f"needs a terminal, and {said} is none" in streams["stderr"].getvalue()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(capsys: Capture, command: str) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:\n  torbiz-tui " in text
    assert "--demo" in text


def test_the_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"torbiz-tui {__version__}\n"


def test_global_options_stand_before_or_after_the_command(tmp_path: Path, capsys: Capture) -> None:
    other = tmp_path / "other"
    for arguments in (["--home", str(other), "config", "path"],
                      ["config", "--home", str(other), "path"],
                      ["config", "path", "--home", str(other)]):  # fmt: skip
        assert main(arguments) == 0
        assert capsys.readouterr().out == f"{other / 'config.yaml'}\n"


def test_config_show_says_where_values_come_from(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    home.mkdir()
    file = home / "config.yaml"
    file.write_text("petals:\n  index_url: https://me:secret@example.org/simple\n")
    monkeypatch.setenv("TORBIZ_SHARE_PORT", "4001")
    assert main(["--demo", "config", "show"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert rows["share.port"] == ["4001", "TORBIZ_SHARE_PORT"]
    assert rows["model"] == ["torbiz-demo", "--demo"]
    assert rows["ask.seed"] == ["null", "default"]
    assert rows["petals.index_url"] == ['"https://me:[redacted]@example.org/simple"', f"{file}:2"]


def test_config_check_tells_all_mistakes(home: Path, capsys: Capture) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("shrae:\nshare:\n  port: 0\n")
    assert main(["config", "check"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "torbiz-tui: The configuration has 2 mistakes:"
    assert [line.split(": ")[1] for line in lines[1:]] == ["shrae", "share.port"]


def test_a_wrong_option_is_not_blamed_on_the_configuration(capsys: Capture) -> None:
    assert main(["share", "torbiz-demo", "--blocks", "4:2"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "torbiz-tui: The command line has a mistake:"
    assert "--blocks" in lines[1]


def test_every_command_refuses_a_broken_configuration(home: Path, capsys: Capture) -> None:
    home.mkdir()
    (home / "config.yaml").write_text("model: [\n")
    for arguments in (["status"], ["stop"], ["ask", "hi"], ["share", "m"], ["doctor"], ["setup"]):
        assert main(arguments) == 2
        assert "config.yaml:2: this is not valid YAML" in capsys.readouterr().err


def test_config_init_writes_once(home: Path, capsys: Capture) -> None:
    assert main(["config", "init"]) == 0
    file = home / "config.yaml"
    assert capsys.readouterr().out == f"{file}\n"
    assert file.read_text("utf-8") == example_text()
    assert main(["config", "check"]) == 0
    file.write_text("model: mine\n")
    assert main(["config", "init"]) == 1
    assert file.read_text() == "model: mine\n"


def test_an_unknown_variable_is_told(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("TORBIZ_MODLE", "x")
    assert main(["config", "check"]) == 0
    assert "did you mean TORBIZ_MODEL?" in capsys.readouterr().err


def test_a_home_that_is_a_file_is_told(tmp_path: Path, scene: Scene, capsys: Capture) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--home", str(tmp_path / "file" / "home"), "ask", "--demo", "hi"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_unexpected_is_a_sentence_and_a_log_entry(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def fail(*_arguments: object) -> None:
        raise ZeroDivisionError("by\x1b[31m chance")

    monkeypatch.setattr("torbiz_tui.commands.running.build_services", fail)
    assert main(["status"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "torbiz-tui: Something unexpected happened: ZeroDivisionError: by chance",
        f"  The details are in {home / 'logs' / 'app.log'}.",
    ]
    assert "Traceback" in (home / "logs" / "app.log").read_text()
