"""Downloading blocks from a hub where everything can go wrong."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.hub.conftest import MODEL
from tests.hub.downloading import FIRST_TWO, Download, download, partials, same, wait_for_bytes
from tests.hub.hub_server import HubModel, HubServer

TOKEN = "hf_valid"
SECRET = "hf_secretsecretsecret"


def shards_of(folder: Path, prefixes: tuple[str, ...]) -> set[str]:
    placed = json.loads((folder / "model.safetensors.index.json").read_text("utf-8"))["weight_map"]
    return {file for name, file in placed.items() if name.startswith(prefixes)}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_only_the_files_of_the_blocks_come(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    prefixes = ("model.layers.6.", "model.layers.7.")
    wanted = shards_of(model_folder, prefixes)
    assert 0 < len(wanted) < len(list(model_folder.glob("*.safetensors")))
    *told, last = download(petals_python, hub, cache, prefixes=prefixes)
    assert last["type"] == "done"
    assert {Path(file).name for file in last["files"]} == wanted == set(hub.bodies())
    assert all(same(file, model_folder / Path(file).name) for file in last["files"])
    size = sum((model_folder / name).stat().st_size for name in wanted)
    assert (told[-1]["done_bytes"], told[-1]["total_bytes"]) == (size, size)


def test_what_is_cached_needs_no_hub(petals_python: Path, hub: HubServer, cache: Path) -> None:
    files = download(petals_python, hub, cache)[-1]["files"]
    hub.close()
    started = time.monotonic()
    assert download(petals_python, hub, cache) == [{"type": "done", "files": files}]
    assert time.monotonic() - started < 10


def test_a_cut_connection_is_resumed(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    hub.trouble.cut_after, hub.trouble.cuts = 150_000, 2
    events = download(petals_python, hub, cache)
    [file] = events[-1]["files"]
    assert same(file, model_folder / Path(file).name)
    ranges = [r.range for r in hub.requests if r.path.startswith("/storage/")]
    assert ranges == ["", "bytes=150000-", "bytes=300000-"]
    assert [e["reason"] for e in events if e["type"] == "waiting"] == [
        "the connection was closed before the end of the file"
    ] * 2
    done = [event["done_bytes"] for event in events if event["type"] == "progress"]
    assert done == sorted(done)


def test_a_hub_without_ranges_starts_anew(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    hub.trouble.cut_after, hub.trouble.cuts, hub.trouble.ignore_ranges = 150_000, 1, True
    [file] = download(petals_python, hub, cache)[-1]["files"]
    assert same(file, model_folder / Path(file).name)


def test_a_killed_download_goes_on_where_it_was(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    hub.trouble.pause_at = 262_144
    first = Download(petals_python, hub.url, cache)
    assert hub.paused.wait(30)
    there = wait_for_bytes(cache, 262_144).stat().st_size
    first.process.kill()
    first.process.wait(10)
    hub.go_on.set()
    before = len(hub.requests)
    *told, last = download(petals_python, hub, cache)
    assert same(last["files"][0], model_folder / Path(last["files"][0]).name)
    assert [r.range for r in hub.requests[before:] if r.path.startswith("/storage/")] == [
        f"bytes={there}-"
    ]
    assert told[0]["done_bytes"] == there
    assert not partials(cache)


@pytest.mark.parametrize(
    ("model", "token", "code", "words"),
    [
        ("acme/gated", "", "token_missing", ("no token was given", "HF_TOKEN")),
        ("acme/gated", TOKEN, "model_gated", ("accept the licence", "/acme/gated")),
        ("acme/gated", SECRET, "token_invalid", ("does not accept your token", "/settings/tokens")),
        (MODEL, SECRET, "token_invalid", ("does not accept your token",)),
        ("acme/private", "", "model_not_found", ("or it is private",)),
        ("acme/private", TOKEN, "model_not_found", ("or it is private",)),
        ("acme/none", "", "model_not_found", ("Check the spelling",)),
        ("acme/none", TOKEN, "model_not_found", ("Check the spelling",)),
    ],
)
def test_refusals_are_told_apart_at_once(
    petals_python: Path,
    hub: HubServer,
    cache: Path,
    model_folder: Path,
    model: str,
    token: str,
    code: str,
    words: tuple[str, ...],
) -> None:
    hub.add(HubModel("acme/gated", model_folder, gated=True))
    hub.add(HubModel("acme/private", model_folder, private=True))
    run = Download(petals_python, hub.url, cache, token=token, model=model)
    [event] = run.finish()
    assert event["code"] == code
    told = f"{event['what']} {event['why']} {event['remedy']}"
    assert all(word in told for word in words)
    assert SECRET not in run.printed
    assert run.process.returncode == 1
    assert len(hub.requests) == 1


def test_a_token_opens_and_stays_with_the_hub(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    hub.add(HubModel("acme/gated", model_folder, gated=True, accepted=frozenset({TOKEN})))
    run = Download(petals_python, hub.url, cache, token=TOKEN, model="acme/gated")
    assert run.finish()[-1]["type"] == "done"
    assert TOKEN not in run.printed
    for request in hub.requests:
        storage = request.path.startswith("/storage/")
        assert request.authorization == ("" if storage else f"Bearer {TOKEN}")


def test_a_corrupted_file_is_fetched_once_more(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    [name] = shards_of(model_folder, FIRST_TWO)
    hub.trouble.corrupted[name] = 1
    events = download(petals_python, hub, cache)
    assert same(events[-1]["files"][0], model_folder / name)
    assert [e["reason"] for e in events if e["type"] == "waiting"] == [
        f"{name} was corrupted on its way, it is fetched again"
    ]
    assert hub.bodies() == [name, name]


def test_a_file_that_stays_corrupted_is_an_error(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    [name] = shards_of(model_folder, FIRST_TWO)
    hub.trouble.corrupted[name] = 9
    last = download(petals_python, hub, cache)[-1]
    assert last["code"] == "download_corrupted"
    assert name in last["what"]
    assert hub.bodies() == [name, name]
    assert not list(cache.rglob(name))


def test_a_slow_network_is_seen_moving(petals_python: Path, hub: HubServer, cache: Path) -> None:
    hub.trouble.bytes_per_s = 150_000
    started = time.monotonic()
    *told, last = download(petals_python, hub, cache)
    assert last["type"] == "done"
    assert 2 <= len(told) <= 2 * (time.monotonic() - started) + 2
    middle = told[len(told) // 2]
    assert 50_000 < middle["bytes_per_s"] < 300_000
    left = middle["total_bytes"] - middle["done_bytes"]
    assert middle["remaining_s"] == pytest.approx(left / middle["bytes_per_s"], rel=0.2, abs=0.2)


def test_a_disk_too_small_is_told_before(
    petals_python: Path, hub: HubServer, small_disk: Path
) -> None:
    fill(small_disk, leave=300_000)
    [event] = download(petals_python, hub, small_disk / "cache")
    assert event["code"] == "disk_too_small"
    assert "0.4 MB are to be downloaded" in event["what"]
    assert str(small_disk) in event["why"]
    assert "torbiz-tui cache" in event["remedy"]
    assert not hub.bodies()


def test_what_another_revision_has_brought_needs_no_space(
    petals_python: Path, hub: HubServer, small_disk: Path
) -> None:
    cache = small_disk / "cache"
    assert download(petals_python, hub, cache)[-1]["type"] == "done"
    brought = hub.bodies()
    for folder in ("snapshots", "refs"):
        [there] = cache.glob(f"models--*/{folder}")
        shutil.rmtree(there)
    fill(small_disk, leave=300_000)
    assert download(petals_python, hub, cache)[-1]["type"] == "done"
    assert hub.bodies() == brought


def test_a_disk_that_gets_full_keeps_what_has_come(
    petals_python: Path, hub: HubServer, small_disk: Path, model_folder: Path
) -> None:
    hub.trouble.pause_at = 131_072
    run = Download(petals_python, hub.url, small_disk / "cache")
    assert hub.paused.wait(30)
    wait_for_bytes(small_disk, 131_072)
    filler = fill(small_disk, leave=40_000)
    hub.go_on.set()
    last = run.finish()[-1]
    assert last["code"] == "disk_full"
    assert "start again" in last["remedy"]
    [partial] = partials(small_disk)
    there = partial.stat().st_size
    assert there >= 131_072
    filler.unlink()
    last = download(petals_python, hub, small_disk / "cache")[-1]
    assert same(last["files"][0], model_folder / Path(last["files"][0]).name)
    assert hub.requests[-1].range == f"bytes={there}-"


def fill(disk: Path, *, leave: int) -> Path:
    """Take all of a disk but some bytes."""
    filler = disk / "filler"
    usage = os.statvfs(disk)
    with filler.open("wb") as file:
        file.write(bytes(usage.f_bavail * usage.f_frsize - leave))
    return filler


def test_a_hub_that_is_down_is_waited_for_but_not_for_ever(
    petals_python: Path, hub: HubServer, cache: Path
) -> None:
    hub.close()
    started = time.monotonic()
    *waits, last = download(petals_python, hub, cache, "--patience", "3")
    assert 2.5 < time.monotonic() - started < 20
    assert [event["reason"] for event in waits] == ["the connection was refused"] * 2
    assert last["code"] == "hub_unreachable"
    assert hub.url in last["why"]


def test_a_hub_in_trouble_is_asked_again(petals_python: Path, hub: HubServer, cache: Path) -> None:
    hub.trouble.status, hub.trouble.status_times = 503, 2
    events = download(petals_python, hub, cache)
    assert [e["reason"] for e in events if e["type"] == "waiting"] == ["the hub answered 503"] * 2
    assert events[-1]["type"] == "done"


def test_pickled_weights_only_after_a_clear_word(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    for file in model_folder.glob("model*.safetensors*"):
        file.unlink()
    (model_folder / "pytorch_model.bin").write_bytes(b"pickled" * 1000)
    [event] = download(petals_python, hub, cache)
    assert event["code"] == "pickled_weights"
    assert "--allow-pickled-weights" in event["remedy"]
    assert not hub.bodies()
    last = download(petals_python, hub, cache, "--allow-pickled")[-1]
    assert [Path(file).name for file in last["files"]] == ["pytorch_model.bin"]


def test_the_files_are_of_one_revision(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    """When the model has changed between two downloads, and the old commit is gone."""
    download(petals_python, hub, cache)
    (model_folder / "config.json").write_text("{}", "utf-8")
    last = download(petals_python, hub, cache, prefixes=("model.layers.7.",))[-1]
    [file] = last["files"]
    assert same(file, model_folder / Path(file).name)
    assert Path(file).parent.name == hub.models[MODEL].commit
    assert (Path(file).parent / "model.safetensors.index.json").is_file()


def test_an_index_cannot_name_files_elsewhere(
    petals_python: Path, hub: HubServer, cache: Path, model_folder: Path
) -> None:
    index = {"weight_map": {"model.layers.0.mlp": "../../../elsewhere.safetensors"}}
    (model_folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    assert download(petals_python, hub, cache)[-1]["code"] == "index_unusable"
    assert not list(cache.parent.rglob("elsewhere*"))
