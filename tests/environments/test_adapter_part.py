"""What only adapters need is installed where they are asked for, once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from uv import find_uv_bin

from torbiz_tui.catalogue import demo_info
from torbiz_tui.config import Config, PetalsConfig
from torbiz_tui.environments.adapter_part import ensure_adapter_part
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.native import NativeDriver
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import Reporter
from torbiz_tui.sharing.refusals import START_STOPPED
from torbiz_tui.sharing.request import ShareRequest, make_spec
from torbiz_tui.sharing.service import SharingService
from torbiz_tui.sharing.state import Phase, Stage


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A home with an empty venv, and no network for uv."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    paths = Paths(tmp_path / "home")
    paths.run.mkdir(parents=True)
    command = [find_uv_bin(), "venv", "-q", "--no-project", "--python", sys.executable]
    subprocess.run([*command, str(paths.env)], check=True, timeout=60)
    return paths


def wheelhouse(folder: Path) -> Path:
    folder.mkdir()
    about = "peft-0.5.0.dist-info"
    with zipfile.ZipFile(folder / "peft-0.5.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("peft/__init__.py", "")
        wheel.writestr("peft/tuners.py", "# 1")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: peft\nVersion: 0.5.0\n")
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{about}/WHEEL", tag)
        wheel.writestr(f"{about}/RECORD", "peft/__init__.py,,0\npeft/tuners.py,,3\n")
    return folder


async def test_it_is_installed_from_the_configured_sources_once(
    paths: Paths, tmp_path: Path
) -> None:
    config = PetalsConfig(find_links=(str(wheelhouse(tmp_path / "wheels")),))
    await ensure_adapter_part(paths, config)
    assert list(paths.env.glob("lib/python3.*/site-packages/peft/__init__.py"))
    await ensure_adapter_part(paths, PetalsConfig())


@pytest.mark.parametrize("left", ["no file", "half a file", "no list"])
async def test_what_a_kill_has_left_is_mended(paths: Paths, tmp_path: Path, left: str) -> None:
    config = PetalsConfig(find_links=(str(wheelhouse(tmp_path / "wheels")),))
    await ensure_adapter_part(paths, config)
    (file,) = paths.env.glob("lib/python3.*/site-packages/peft/tuners.py")
    if left == "no list":
        (file.parents[1] / "peft-0.5.0.dist-info/RECORD").unlink()
    file.unlink()
    if left == "half a file":
        file.write_text("#")
    with pytest.raises(TorbizError, match="could not be installed"):
        await ensure_adapter_part(paths, PetalsConfig())
    assert not list(paths.env.glob("lib/python3.*/site-packages/peft*"))
    await ensure_adapter_part(paths, config)
    assert file.read_text() == "# 1"


@pytest.mark.parametrize("stopped_here", [True, False], ids=["here", "from another program"])
async def test_it_is_a_stage_of_the_start_that_a_stop_ends_at_once(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, stopped_here: bool
) -> None:
    monkeypatch.delenv("UV_OFFLINE")
    asked = asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()  # until uv is gone
        writer.close()

    index = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{index.sockets[0].getsockname()[1]}/simple"
    config = Config(environment="native", petals=PetalsConfig(index_url=url))
    driver = NativeDriver(paths, config)
    monkeypatch.setattr(driver.stack, "require_ready", lambda: None)
    sharing = SharingService(driver, paths, config)

    async def plan(request: ShareRequest, *_: object, **__: object) -> ServerSpec:
        return make_spec(request, demo_info())

    monkeypatch.setattr(sharing, "plan", plan)
    request = ShareRequest("torbiz-demo", new_swarm=True, petals_options=("adapters=a/b",))
    starting = asyncio.create_task(sharing.start(request))
    async with asyncio.timeout(60), index:
        await asked.wait()
        assert sharing.state.stage_text.startswith("Installing what adapters need")
        assert not sharing.state.active
        other = sharing if stopped_here else SharingService(driver, paths, config)
        assert (await other.stop() is None) is stopped_here
        with pytest.raises(TorbizError, match="The start was stopped") as stopped:
            await starting
    assert stopped.value.code == START_STOPPED
    assert sharing.state.phase is Phase.STOPPED
    assert sharing.state.events[-1].text == "The start was stopped"
    assert not list(paths.env.glob("lib/python3.*/site-packages/peft*"))
    assert not list(paths.run.glob("preparing-*"))
    with FileLock(paths.run / "setup.lock", timeout=0):
        await sharing.close()


async def test_a_stop_from_another_program_is_heard_also_at_the_very_end(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(environment="native")
    driver = NativeDriver(paths, config)
    sharing = SharingService(driver, paths, config)

    async def plan(request: ShareRequest, *_: object, **__: object) -> ServerSpec:
        return make_spec(request, demo_info())

    async def prepare(_spec: ServerSpec, report: Reporter) -> None:
        report.progress(None, "")
        assert await SharingService(driver, paths, config).stop() is not None

    async def never(*_: object, **__: object) -> None:
        raise AssertionError("it is started all the same")

    monkeypatch.setattr(sharing, "plan", plan)
    monkeypatch.setattr(driver, "prepare_server", prepare)
    monkeypatch.setattr(driver, "start_server", never)
    with pytest.raises(TorbizError, match="The start was stopped"):
        await sharing.start(ShareRequest("torbiz-demo", new_swarm=True))
    assert sharing.state.phase is Phase.STOPPED
    await sharing.close()


async def test_a_start_that_fails_afterwards_is_over(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = PetalsConfig(find_links=(str(wheelhouse(tmp_path / "wheels")),))
    config = Config(environment="native", petals=wheels)
    driver = NativeDriver(paths, config)
    monkeypatch.setattr(driver.stack, "require_ready", lambda: None)
    sharing = SharingService(driver, paths, config)

    async def plan(request: ShareRequest, *_: object, **__: object) -> ServerSpec:
        return make_spec(request, demo_info())

    async def taken(*_: object, **__: object) -> None:
        assert sharing.state.stage is Stage.PREPARING
        raise TorbizError("Port 31337 is taken.", code="port_taken")

    monkeypatch.setattr(sharing, "plan", plan)
    monkeypatch.setattr(driver, "start_server", taken)
    request = ShareRequest("torbiz-demo", new_swarm=True, petals_options=("adapters=a/b",))
    with pytest.raises(TorbizError, match="Port 31337 is taken"):
        await sharing.start(request)
    assert sharing.state.phase is Phase.STOPPED
    await sharing.close()


async def test_a_server_is_prepared_before_another_one_is_stopped(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = NativeDriver(paths, Config(environment="native", model="torbiz-demo"))
    monkeypatch.setattr(driver.stack, "require_ready", lambda: None)
    sharing = SharingService(driver, paths, Config())

    async def plan(request: ShareRequest, *_: object, **__: object) -> ServerSpec:
        return make_spec(request, demo_info())

    monkeypatch.setattr(sharing, "plan", plan)
    hosted = ShareRequest("torbiz-demo", new_swarm=True)
    assert (await sharing.check(hosted)).blocks == "0:8"
    with pytest.raises(TorbizError) as failed:
        await sharing.check(replace(hosted, petals_options=("adapters=a/b",)))
    assert failed.value.code == "adapters_not_installed"
    await sharing.close()


async def test_that_it_cannot_be_had_is_said(paths: Paths) -> None:
    with pytest.raises(TorbizError) as failed:
        await ensure_adapter_part(paths, PetalsConfig())
    assert failed.value.code == "adapters_not_installed"
    assert "peft==0.5.0" in failed.value.what


async def test_the_wait_for_another_installation_has_an_end(paths: Paths) -> None:
    with FileLock(paths.run / "setup.lock"), pytest.raises(TorbizError) as failed:
        await ensure_adapter_part(paths, PetalsConfig(install_timeout_s=0.1))
    assert failed.value.code == "adapters_not_installed"
    assert "Another torbiz-tui" in failed.value.why


async def test_a_lock_that_cannot_be_written_is_said(paths: Paths) -> None:
    paths.run.rmdir()
    paths.run.write_text("")
    with pytest.raises(TorbizError) as failed:
        await ensure_adapter_part(paths, PetalsConfig())
    assert failed.value.code == "adapters_not_installed"
    assert str(paths.run) in failed.value.why
