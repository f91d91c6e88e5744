"""`share --wait` and `cache` with a real server whose model comes from the hub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.hub.conftest import MODEL
from tests.hub.hub_server import HubModel, HubServer
from tests.hub.test_downloads import SECRET, TOKEN

_COMMAND = "from torbiz_tui.cli import main; raise SystemExit(main())"


class Program:
    """The command line, with a home folder and a hub; a process for each call."""

    def __init__(self, home: Path, hub: HubServer) -> None:
        self._home = home
        self._environment = os.environ | {
            "TORBIZ_HOME": str(home),
            "TORBIZ_DOCKER_MODEL_CACHE": str(home / "huggingface"),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home / "hub-home"),
            "HF_HUB_OFFLINE": "0",
        }
        self._environment.pop("HF_TOKEN", None)
        self._port = str(free_port())

    def call(self, *arguments: str, token: str = "") -> subprocess.CompletedProcess[str]:
        named = {"HF_TOKEN": token} if token else {}
        return subprocess.run(
            [sys.executable, "-c", _COMMAND, *arguments],
            env=self._environment | named,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=180,
            check=False,
        )

    def share(self, model: str, *options: str, token: str = "") -> subprocess.CompletedProcess[str]:
        fixed = ("--environment", "native", "--new-swarm", "--wait", "--port", self._port)
        return self.call("share", model, *fixed, *options, token=token)


@pytest.fixture
def program(tmp_path: Path, hub: HubServer) -> Program:
    return Program(tmp_path / "home", hub)


@pytest.fixture
def hosting(tmp_path: Path, program: Program, petals_python: Path) -> Iterator[Program]:
    """The same with Petals; what is shared is stopped."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "env").symlink_to(petals_python.parents[1], target_is_directory=True)
    yield program
    program.call("stop", "--now", "--environment", "native")


def test_a_hub_out_of_reach_is_said_at_once_and_once(program: Program, hub: HubServer) -> None:
    hub.close()
    told = program.share(MODEL)
    assert told.returncode == 1
    assert told.stderr.splitlines() == [
        f"torbiz-tui: The model hub cannot be reached, and {MODEL} is not in the cache.",
        "  Check the network (HF_ENDPOINT, proxies), then try again.",
    ]


@pytest.mark.parametrize(
    ("model", "token", "words"),
    [
        ("acme/gated", "", "no token was given"),
        ("acme/gated", TOKEN, "the account of your token has no access"),
        ("acme/gated", SECRET, "The hub does not accept your token"),
        (MODEL, SECRET, "The hub does not accept your token"),
        ("acme/none", TOKEN, "There is no model acme/none on the hub"),
    ],
)
def test_refusals_are_told_apart_before_anything_starts(
    program: Program, hub: HubServer, model_folder: Path, model: str, token: str, words: str
) -> None:
    hub.add(HubModel("acme/gated", model_folder, gated=True))
    result = program.share(model, token=token)
    assert result.returncode == 2
    assert words in result.stderr
    assert SECRET not in result.stderr
    assert "[redacted]" not in result.stderr


def test_a_download_is_told_while_it_goes_and_its_cache_is_cleaned(
    hosting: Program, hub: HubServer
) -> None:
    hub.trouble.bytes_per_s = 150_000
    result = hosting.share(MODEL, "--blocks", "0:8", "--throughput", "1")
    assert result.returncode == 0, result.stderr
    assert "Downloading: " in result.stderr
    assert " of 1.5 MB" in result.stderr
    assert " left" in result.stderr
    refused = hosting.call("cache", "clean", MODEL, "--yes", "--environment", "native")
    assert "is being shared" in refused.stderr
    hosting.call("stop", "--now", "--environment", "native")
    cleaned = hosting.call("cache", "clean", MODEL, "--yes", "--environment", "native")
    assert cleaned.returncode == 0
    assert cleaned.stdout == "Freed 2 MB.\n"


def test_a_failed_download_is_the_error_of_share(
    hosting: Program, hub: HubServer, model_folder: Path
) -> None:
    for file in model_folder.glob("*.safetensors"):
        hub.trouble.corrupted[file.name] = 9
    result = hosting.share(MODEL, "--blocks", "2", "--throughput", "1")
    assert result.returncode == 1
    assert "arrived corrupted, twice." in result.stderr
    assert "another checksum" in result.stderr
    assert "try another network" in result.stderr
