"""Copying to the clipboard of this machine, with tools that a test puts into the way."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from torbiz_tui import clipboard
from torbiz_tui.clipboard import copy_locally

HOSTILE = "$(touch pwned); `id`\n'quoted' \"twice\" \u00fc\u6f22 \\ %s\n"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, on a machine without a display."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    return folder


def put_tool(folder: Path, name: str, body: str) -> None:
    """A tool that does what `body` says, for the shell of this machine."""
    tool = folder / name
    tool.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{body}\n", encoding="utf-8")
    tool.chmod(0o755)


@pytest.mark.parametrize(
    ("variables", "name", "arguments"),
    [
        ({"WAYLAND_DISPLAY": "wayland-0"}, "wl-copy", ""),
        ({"DISPLAY": ":0"}, "xclip", "-selection clipboard -in"),
        ({"DISPLAY": ":0"}, "xsel", "--clipboard --input"),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "xclip", "-selection"),
    ],
)
async def test_the_tool_gets_the_text_as_it_is(
    tools: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    name: str,
    arguments: str,
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    put_tool(tools, name, f'echo "$@" > {tools}/arguments; cat > {tools}/copied')
    assert await copy_locally(HOSTILE)
    assert (tools / "copied").read_text("utf-8") == HOSTILE
    assert arguments in (tools / "arguments").read_text("utf-8")


async def test_on_macos_and_in_wsl(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSL_DISTRO_NAME", "Ubuntu")
    put_tool(tools, "clip.exe", f"cat > {tools}/copied")
    assert await copy_locally(HOSTILE)
    assert (tools / "copied").read_bytes().decode("utf-16") == HOSTILE
    monkeypatch.delenv("WSL_DISTRO_NAME")
    monkeypatch.setattr(sys, "platform", "darwin")
    put_tool(tools, "pbcopy", f"cat > {tools}/copied")
    assert await copy_locally("from a Mac")
    assert (tools / "copied").read_text("utf-8") == "from a Mac"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22", "WSL_DISTRO_NAME": "Ubuntu"},
    ],
)
async def test_without_a_display_no_tool_is_started(
    tools: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    for name in ("wl-copy", "xclip", "xsel", "clip.exe"):
        put_tool(tools, name, f"touch {tools}/started; cat > /dev/null")
    assert not await copy_locally("text")
    assert not (tools / "started").exists()


async def test_without_a_tool(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert not await copy_locally("text")


async def test_the_next_tool_is_tried_when_one_fails(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.setenv("DISPLAY", ":0")
    put_tool(tools, "wl-copy", "cat > /dev/null; exit 1")
    (tools / "xclip").write_text("not a program", encoding="utf-8")
    (tools / "xclip").chmod(0o755)
    put_tool(tools, "xsel", f"cat > {tools}/copied")
    assert await copy_locally("text")
    assert (tools / "copied").read_text("utf-8") == "text"


async def test_a_tool_that_hangs_is_ended(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(clipboard, "_LIMIT_S", 0.3)
    put_tool(tools, "xclip", "exec sleep 60")
    before = psutil.Process().children(recursive=True)
    assert not await copy_locally("x" * 1_000_000)
    assert psutil.Process().children(recursive=True) == before


async def test_a_tool_that_stays_to_serve_the_text_holds_nothing_up(
    tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    put_tool(tools, "xclip", f"cat > {tools}/copied; sleep 20 & echo $! > {tools}/pid")
    began = time.monotonic()
    assert await copy_locally("text")
    assert time.monotonic() - began < 10
    os.kill(int((tools / "pid").read_text("utf-8")), 9)


async def test_giving_up_ends_the_tool(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    os.mkfifo(tools / "started")
    put_tool(tools, "xclip", f"echo $$ > {tools}/started; exec sleep 60")
    copying = asyncio.create_task(copy_locally("text"))
    pid = (await asyncio.to_thread((tools / "started").read_text, "utf-8")).strip()
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert not psutil.pid_exists(int(pid))
