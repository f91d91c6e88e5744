"""Installing the stack: interrupted, twice at once, without a network, on a full disk."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.conftest import demo_config
from torbiz_tui.assembly import build_services, looks_ready
from torbiz_tui.environments.petals_stack import PetalsStack
from torbiz_tui.environments.stack_pins import explain_git_failure, pins_of, pins_text
from torbiz_tui.environments.uv_command import explain_uv_failure
from torbiz_tui.errors import BlockedError, ExitCode
from torbiz_tui.paths import Paths, requirements_file
from torbiz_tui.setup.plan import StepState
from torbiz_tui.setup.step import Reporter

INSTALL = """
import asyncio, sys
from pathlib import Path
from tests.conftest import demo_config
from torbiz_tui.assembly import build_services
from torbiz_tui.paths import Paths

async def main():
    home = Path(sys.argv[1])
    paths = Paths(home)
    paths.ensure()
    services = build_services(demo_config(home), paths)
    for skipped in ("verify", "demo"):
        services.setup.skip(skipped)
    with services.setup.subscribe() as events:
        running = asyncio.create_task(services.setup.run())
        async for event in events:
            if "packages in" in str(event):
                print("installing", flush=True)
            if running.done():
                break
            if "PlanFinished" in str(event):
                break
    sys.exit(await running)

asyncio.run(main())
"""


async def install_elsewhere(home: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        INSTALL,
        str(home),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


def steps_of(home: Path) -> dict[str, StepState]:
    services = build_services(demo_config(home), Paths(home))
    asyncio.run(services.setup.check_all())
    return {status.id: status.state for status in services.setup.statuses}


def test_a_finished_machine_is_ready(stack_home: Path) -> None:
    assert set(steps_of(stack_home).values()) == {StepState.READY}
    assert looks_ready(demo_config(stack_home), Paths(stack_home))


def test_what_is_installed_is_what_is_pinned(stack_home: Path) -> None:
    stack = PetalsStack(Paths(stack_home), demo_config(stack_home).petals)
    assert stack.missing_packages() == []
    site = next(Paths(stack_home).env.glob("lib/python3.*/site-packages"))
    if stack.torch_build == "cpu":
        assert not list(site.glob("nvidia*"))
        assert list(site.glob("torch-*+cpu.dist-info"))
    assert "petals==2.2.0.post1" in requirements_file().read_text("utf-8")


def test_a_damaged_venv_is_noticed(demo_home: Path, tmp_path: Path) -> None:
    paths = Paths(demo_home)
    real = paths.env.resolve()
    paths.env.unlink()
    copy = paths.env
    (copy / "bin").mkdir(parents=True)
    (copy / "bin" / "python").symlink_to(real / "bin" / "python")
    (copy / "torbiz-stack.json").write_bytes((real / "torbiz-stack.json").read_bytes())
    site = next(real.glob("lib/python3.*/site-packages"))
    target = copy / site.relative_to(real)
    target.mkdir(parents=True)
    for entry in site.glob("*.dist-info"):
        if not entry.name.startswith("petals-"):
            (target / entry.name).symlink_to(entry)
    services = build_services(demo_config(demo_home), paths)
    asyncio.run(services.setup.check_all())
    status = {status.id: status for status in services.setup.statuses}["petals"]
    assert status.state is StepState.MISSING
    assert "petals 2.2.0.post1" in status.detail


@pytest.mark.swarm
async def test_an_installation_killed_half_way_is_repaired(tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = await install_elsewhere(home)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"installing\n"
    process.kill()
    await process.wait()
    assert not looks_ready(demo_config(home), Paths(home))
    again = await install_elsewhere(home)
    await again.communicate()
    assert again.returncode == ExitCode.OK
    assert PetalsStack(Paths(home), demo_config(home).petals).missing_packages() == []


@pytest.mark.swarm
async def test_two_installations_at_once_do_not_fight(tmp_path: Path) -> None:
    home = tmp_path / "home"
    both = [await install_elsewhere(home) for _ in range(2)]
    printed = await asyncio.gather(*(process.communicate() for process in both))
    assert [process.returncode for process in both] == [0, 0]
    # One of them did the work; the other waited and found it done.
    assert sorted(bool(output) for output, _ in printed) == [False, True]


@pytest.mark.swarm
async def test_cancelling_ends_uv_and_can_be_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    paths = Paths(home)
    paths.ensure()
    # An index that accepts and never answers: the installation would wait for long.
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    config = demo_config(home, **{"petals.index_url": f"http://127.0.0.1:{port}/simple"})
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    services = build_services(config, paths)
    with services.setup.subscribe() as events:
        running = asyncio.create_task(services.setup.run())
        async with asyncio.timeout(30):
            async for event in events:
                if "$ uv pip install" in str(event) or "Looking for torch" in str(event):
                    break
    services.setup.cancel("petals")
    async with asyncio.timeout(5):
        await running
    states = {status.id: status.state for status in services.setup.statuses}
    assert states["petals"] is StepState.CANCELLED
    silent.close()


async def test_no_network_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    paths = Paths(home)
    paths.ensure()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    # Nobody listens on port 9 of loopback.
    config = demo_config(
        home,
        **{"petals.index_url": "http://127.0.0.1:9/simple", "petals.torch": "cuda"},
    )
    services = build_services(config, paths)
    assert await services.setup.run() is ExitCode.FAILED
    status = {status.id: status for status in services.setup.statuses}["petals"]
    assert status.state is StepState.FAILED
    assert status.detail.startswith("The package index cannot be reached.")
    assert "petals.index_url" in status.instruction


def test_the_main_channel_replaces_what_petals_itself_decides() -> None:
    release, main = (pins_of(pins_text(channel)) for channel in ("release", "main"))
    differ = {pin.name for pin in set(main) ^ set(release)}
    assert differ == {"accelerate", "huggingface-hub", "petals", "tokenizers", "transformers"}
    assert sorted(pin.name for pin in main) == sorted(pin.name for pin in release)
    versions = {pin.name: pin.version for pin in main}
    assert versions["transformers"] == "4.43.1"
    assert "petals @ git+https://github.com/bigscience-workshop/petals@" in pins_text("main")


def test_another_channel_is_another_installation(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    release, main = (
        PetalsStack(paths, demo_config(tmp_path, **{"petals.channel": channel}).petals)
        for channel in ("release", "main")
    )
    assert release.digest() != main.digest()


async def test_the_main_channel_without_git_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths(tmp_path)
    paths.ensure()
    paths.env.mkdir()
    (paths.env / "kept").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    stack = PetalsStack(paths, demo_config(tmp_path, **{"petals.channel": "main"}).petals)
    quiet = Reporter(progress=lambda _part, _text: None, output=lambda _line: None)
    with pytest.raises(BlockedError, match=r"needs git and github\.com") as caught:
        await stack.install(Path(sys.executable), quiet)
    assert "petals.channel: release" in caught.value.remedy
    assert (paths.env / "kept").exists()


def test_an_unreachable_github_is_named() -> None:
    said = (
        "  \u00d7 Failed to download and build `petals @ git+https://github.com/x/petals@22afba6`",
        "  Caused by: Git operation failed",
        "  fatal: unable to access 'https://github.com/x/petals/': Could not resolve host",
    )
    error = explain_git_failure(explain_uv_failure(said, 1))
    assert error.code == "git_unreachable"
    assert "github.com" in error.what
    assert error.details == said
    full = explain_uv_failure(["error: No space left on device (os error 28)"], 2)
    assert explain_git_failure(full) is full


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("error: failed to write: No space left on device (os error 28)", "disk_full"),
        ("  Caused by: invalid peer certificate: UnknownIssuer", "certificate"),
        ("  Caused by: dns error: failed to lookup address information", "no_network"),
        ("  \u00d7 No solution found when resolving dependencies:", "package_not_found"),
        ("error: something else", "install_failed"),
    ],
)
def test_failures_of_uv_are_explained(line: str, code: str) -> None:
    error = explain_uv_failure(["$ uv pip install", line], 2)
    assert error.code == code
    assert error.remedy
    assert error.details == (line,)


async def test_a_full_disk_is_named(small_disk: Path) -> None:
    paths = Paths(small_disk)
    paths.ensure()
    services = build_services(demo_config(small_disk), paths)
    assert await services.setup.run() is ExitCode.BLOCKED
    status = {status.id: status for status in services.setup.statuses}["home"]
    assert "0.0 GB free" in status.detail
    # Also when it is tried all the same.
    services.setup.skip("home")
    assert await services.setup.run() is ExitCode.FAILED
    status = {status.id: status for status in services.setup.statuses}["petals"]
    assert status.detail.startswith("The disk is full.")
