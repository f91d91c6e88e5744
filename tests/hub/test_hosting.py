"""A server whose blocks come from the hub: what its log tells, and how it ends when they do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.conftest import MODEL
from tests.hub.hub_server import HubModel, HubServer
from tests.runner_scripts.runner_process import ServerProcess


class HubServerProcess:
    """Starts servers of models of a hub, with caches of their own."""

    def __init__(self, python: Path, hub: HubServer, folder: Path) -> None:
        self._python, self._hub = python, hub
        self.cache = folder / "cache"
        self._home = folder / "hub-home"
        self.started: list[ServerProcess] = []

    def start(self, model: str, *options: str, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
        monkeypatch.setenv("HF_ENDPOINT", self._hub.url)
        monkeypatch.setenv("HF_HOME", str(self._home))
        process = ServerProcess(
            self._python,
            Path(model),
            *("--new-swarm", "--cache-dir", str(self.cache), *options),
            online=True,
        )
        self.started.append(process)
        return process


@pytest.fixture
def servers(petals_python: Path, hub: HubServer, tmp_path: Path) -> Iterator[HubServerProcess]:
    made = HubServerProcess(petals_python, hub, tmp_path)
    yield made
    for process in made.started:
        process.destroy()


@pytest.mark.parametrize(
    ("blocks", "revision"),
    [("6:8", "main"), ("2", "v1.0")],
    ids=["given", "chosen by Petals, of a revision"],
)
def test_a_server_downloads_its_blocks_and_serves_them(
    servers: HubServerProcess,
    hub: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    blocks: str,
    revision: str,
) -> None:
    hub.models[MODEL].revisions = (revision,)
    options = ["--petals-option", f"revision={revision}"] if revision != "main" else []
    server = servers.start(MODEL, "--blocks", blocks, *options, monkeypatch=monkeypatch)
    server.wait_serving()
    told = server.wait_log("Downloading: ")
    assert "bytes/s" in told
    bodies = hub.bodies()
    assert 0 < len(bodies) < 4
    assert len(set(bodies)) == len(bodies)


def test_a_gated_model_ends_the_start_at_once(
    servers: HubServerProcess,
    hub: HubServer,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.add(HubModel("acme/gated", model_folder, gated=True))
    server = servers.start("acme/gated", monkeypatch=monkeypatch)
    assert server.wait(180) == 1
    server.wait_log("Download failed (token_missing): acme/gated is a gated model")
    assert not any("retry" in line for line in server.log)


def test_a_file_that_fails_ends_the_start_and_is_not_retried_for_ever(
    servers: HubServerProcess, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 5):
        hub.trouble.corrupted[f"model-0000{number}-of-00004.safetensors"] = 9
    server = servers.start(MODEL, "--blocks", "2", monkeypatch=monkeypatch)
    assert server.wait(180) == 1
    server.wait_log("Download failed (download_corrupted): ")
    assert not any("Traceback" in line for line in server.log)


def test_pickled_weights_of_a_folder_are_refused_too(
    servers: HubServerProcess, pickled_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers.start(str(pickled_folder), monkeypatch=monkeypatch)
    assert server.wait(180) == 1
    server.wait_log("Download failed (pickled_weights): ")
