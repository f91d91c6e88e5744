"""Which models can be served: read from their own configs, refused with the reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from torbiz_tui.catalogue import (
    DEMO_MODEL,
    check_model_files,
    demo_info,
    known_models,
    resolve_model,
)
from torbiz_tui.errors import UsageError
from torbiz_tui.paths import Paths, demo_model

LLAMA = {"model_type": "llama", "num_hidden_layers": 22, "torch_dtype": "bfloat16"}
LLAMA_3_1 = LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's protocol that fetches one small file."""

    configs = {"good/llama": LLAMA, "new/llama-3.1": LLAMA_3_1, "other/gpt": {"model_type": "gpt2"}}

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        repo = "/".join(self.path.split("/")[1:3])
        if repo == "gated/llama":
            self._refuse(403, "GatedRepo")
        elif repo == "empty/repo":
            self._refuse(404, "EntryNotFound")
        elif repo not in self.configs:
            self._refuse(404, "RepoNotFound")
        else:
            data = json.dumps(self.configs[repo]).encode()
            self.send_response(200)
            self.send_header("ETag", f'"{abs(hash(repo))}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Be quiet."""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def resolve_elsewhere(name: str, endpoint: str, home: Path) -> str:
    """The outcome in a process of its own: the hub's library reads its settings once."""
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from torbiz_tui.catalogue import resolve_model\n"
        "from torbiz_tui.errors import TorbizError\n"
        "from torbiz_tui.paths import Paths\n"
        "try:\n"
        "    info = asyncio.run(resolve_model(sys.argv[1], Paths(Path(sys.argv[2]))))\n"
        "    print(info.model_type, info.num_blocks)\n"
        "except TorbizError as error:\n"
        "    print(error.code, error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, name, str(home)],
        env=os.environ
        | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), "HF_TOKEN": "hf_" + "x" * 30},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("good/llama", "llama 22"),
        ("no/such", "model_not_found There is no model no/such on the hub"),
        ("gated/llama", "model_gated gated/llama is gated"),
        ("empty/repo", "model_unsupported empty/repo has no config.json"),
        ("other/gpt", "model_unsupported Petals cannot serve other/gpt."),
        ("new/llama-3.1", "model_unsupported new/llama-3.1 needs the main branch"),
    ],
)
def test_models_of_the_hub(hub: str, tmp_path: Path, name: str, outcome: str) -> None:
    said = resolve_elsewhere(name, hub, tmp_path)
    assert said.startswith(outcome)
    assert "hf_xxx" not in said


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    # Nobody listens on port 9 of loopback.
    said = resolve_elsewhere("good/llama", "http://127.0.0.1:9", tmp_path)
    assert said.startswith("hub_unreachable The model hub ")
    assert "Check the network" in said


async def test_the_demo_is_whole_and_has_eight_blocks(tmp_path: Path) -> None:
    info = await resolve_model(DEMO_MODEL, Paths(tmp_path))
    assert info == demo_info()
    assert info.num_blocks >= 8
    assert info.parameters is not None
    assert 1_000_000 < info.parameters < 4_000_000
    assert check_model_files(demo_model()) == ""


async def test_local_folders(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    folder = paths.models / "my.llama"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(LLAMA))
    by_name = await resolve_model("my.llama", paths)
    by_path = await resolve_model(str(folder), paths)
    assert by_name == by_path
    assert by_name.dht_prefix == "my-llama-hf"
    assert [model.name for model in known_models(paths)][:2] == [DEMO_MODEL, "my.llama"]


@pytest.mark.parametrize(
    "config", ["not json", "[]", "{}", '{"model_type": "llama", "num_hidden_layers": 0}']
)
async def test_a_broken_config_is_refused(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(UsageError) as caught:
        await resolve_model(str(tmp_path), Paths(tmp_path))
    assert caught.value.code == "model_unsupported"


def test_damaged_weights_are_noticed(tmp_path: Path) -> None:
    for file in demo_model().iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert check_model_files(tmp_path) == ""
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "is damaged" in check_model_files(tmp_path)
    weights.write_bytes(b"\x00")
    assert "is damaged" in check_model_files(tmp_path)
    weights.unlink()
    assert "no safetensors" in check_model_files(tmp_path)
