"""Each way in which Docker cannot be used is told apart, with what to do on this platform."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import pytest

from tests.engine.private_engine import PrivateEngine
from tests.engine.sockets import (
    VERSION,
    Answer,
    hangs_up,
    is_silent,
    left_behind,
    listening,
    says,
)
from tests.pace import Stopwatch
from torbiz_tui.config import Config
from torbiz_tui.environments.docker import engine as engine_module
from torbiz_tui.environments.docker import probing
from torbiz_tui.environments.docker.causes import Cause, Failure
from torbiz_tui.environments.docker.connection_steps import DaemonStep, DockerInstalledStep
from torbiz_tui.environments.docker.endpoints import DEFAULT_SOCKET, Endpoint
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.installed import Installed, client_version
from torbiz_tui.environments.docker.problems import no_engine, refusal
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.setup.step import Reporter

USUAL = Endpoint(DEFAULT_SOCKET, "the usual socket")
MAC = Installed(system="darwin", chip="arm64")
LINUX = Installed(system="linux", distribution=("ubuntu", "debian"), user="ada")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for sockets, open to other users."""
    with TemporaryDirectory(prefix="tbz-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def finder_at(address: str) -> EngineFinder:
    return EngineFinder(replace(Config().docker, host=address))


async def problem_at(address: str) -> BlockedError:
    with pytest.raises(BlockedError) as caught:
        await finder_at(address).find()
    return caught.value


async def test_a_socket_at_which_nobody_listens(short_path: Path) -> None:
    problem = await problem_at(left_behind(short_path / "docker.sock"))
    assert problem.code == "docker_not_running"
    assert "nobody listens" in problem.why
    assert str(short_path) in problem.why


async def test_a_chosen_socket_that_is_not_there(short_path: Path) -> None:
    problem = await problem_at(f"unix://{short_path}/docker.sock")
    assert problem.code in ("docker_not_running", "docker_missing")
    assert "docker.host" in problem.why


PROGRAM = """
import asyncio, os, sys
from dataclasses import replace
from torbiz_tui.config import Config
from torbiz_tui.environments.docker.engine import EngineFinder
from torbiz_tui.errors import BlockedError
def find():
    asyncio.run(EngineFinder(replace(Config().docker, host=sys.argv[1])).find())
find()  # Imports all that is needed, which the other user may not read.
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    find()
except BlockedError as error:
    print(error.code, error, sep="|")
"""


@pytest.mark.engine
@pytest.mark.parametrize("mode", [0o660, 0o600])
async def test_a_socket_that_the_person_may_not_use(
    mode: int, private_engine: PrivateEngine
) -> None:
    private_engine.socket.parent.chmod(0o755)
    private_engine.socket.chmod(mode)
    os.chown(private_engine.socket, 0, 5 if mode == 0o660 else 0)
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PROGRAM, private_engine.host],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    code, _, text = ended.stdout.partition("|")
    assert code == "docker_permission", ended
    assert str(private_engine.socket) in text
    assert "not running" not in text
    assert "sudo usermod -aG " + ("tty" if mode == 0o660 else "docker") in text


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (says(503, {"message": "engine is starting"}), "docker_starting", "503"),
        (says(500, "starting"), "docker_starting", "starting"),
        (hangs_up, "docker_starting", "closes the connection"),
        (is_silent, "docker_stuck", "does not answer"),
        (
            says(200, VERSION | {"ApiVersion": "1.39", "Version": "18.09.1"}),
            "docker_too_old",
            "18.09.1",
        ),
        (says(200, VERSION | {"Os": "windows"}), "docker_windows_containers", "Windows"),
        (says(200, "<html>hello</html>"), "docker_no_engine", "not Docker"),
        (says(200, ["x"]), "docker_no_engine", "like an engine"),
        (says(404, {"message": "no such page"}), "docker_no_engine", "404"),
        (
            says(
                503, {"message": "Docker Desktop is manually paused. Unpause it through the menu"}
            ),
            "docker_not_running",
            "paused",
        ),
    ],
)
async def test_what_answers_and_is_no_engine_to_use(
    answer: Answer,
    code: str,
    said: str,
    short_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "LOCAL_TIMEOUT_S", 1.0)
    with listening(short_path / "docker.sock", answer) as address:
        watch = Stopwatch()
        problem = await problem_at(address)
    assert watch.seconds < 2
    assert problem.code == code
    assert said in str(problem)
    assert problem.remedy


@pytest.mark.engine
async def test_an_engine_that_is_frozen_is_stuck_and_answers_again(
    private_engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "LOCAL_TIMEOUT_S", 1.0)
    private_engine.pause()
    assert (await problem_at(private_engine.host)).code == "docker_stuck"
    private_engine.resume()
    monkeypatch.setattr(probing, "LOCAL_TIMEOUT_S", 60.0)
    assert await finder_at(private_engine.host).find()


async def test_addresses_that_lead_nowhere() -> None:
    assert (await problem_at("tcp://127.0.0.1:1")).code == "docker_not_running"
    unknown = await problem_at("tcp://nobody.invalid:2375")
    assert unknown.code == "docker_unreachable"
    assert "docker.host" in unknown.remedy


@pytest.mark.parametrize(
    ("installed", "code", "remedy"),
    [
        (MAC, "docker_missing", "Docker Desktop for Mac (Apple silicon)"),
        (replace(MAC, chip="x86_64"), "docker_missing", "(Intel chip)"),
        (replace(MAC, apps=frozenset({"Docker Desktop"})), "docker_not_running", "open -a Docker"),
        (replace(MAC, apps=frozenset({"OrbStack"})), "docker_not_running", "open -a OrbStack"),
        (replace(MAC, programs=frozenset({"colima"})), "docker_not_running", "colima start"),
        (LINUX, "docker_missing", "sudo apt install docker.io"),
        (
            replace(LINUX, distribution=("fedora",)),
            "docker_missing",
            "sudo dnf install moby-engine",
        ),
        (replace(LINUX, distribution=("nixos",)), "docker_missing", "docs.docker.com"),
        (replace(LINUX, wsl=True), "docker_missing", "WSL"),
        (replace(LINUX, client="/usr/bin/docker"), "docker_not_running", "apt install docker.io"),
        (
            replace(LINUX, programs=frozenset({"dockerd"}), systemd=True),
            "docker_not_running",
            "`sudo systemctl start docker`",
        ),
        (
            replace(LINUX, programs=frozenset({"dockerd"}), systemd=True, root=True),
            "docker_not_running",
            "`systemctl start docker`",
        ),
        (
            replace(LINUX, programs=frozenset({"dockerd"}), init_scripts=frozenset({"docker"})),
            "docker_not_running",
            "`sudo service docker start`",
        ),
        (replace(LINUX, programs=frozenset({"dockerd"})), "docker_not_running", "`sudo dockerd`"),
        (
            replace(LINUX, programs=frozenset({"podman"}), systemd=True),
            "docker_not_running",
            "systemctl start podman.socket",
        ),
    ],
)
def test_no_socket_at_all_is_explained_for_each_machine(
    installed: Installed, code: str, remedy: str
) -> None:
    problem = no_engine([Failure(USUAL, Cause.ABSENT)], installed)
    assert problem.code == code
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("address", "installed", "remedy"),
    [
        ("unix:///home/a/.colima/work/docker.sock", replace(MAC, programs=frozenset({"colima"})),
         "colima start --profile work"),
        ("unix:///run/user/7/docker.sock", replace(LINUX, systemd=True),
         "systemctl --user start docker"),
        ("unix:///run/user/7/podman/podman.sock", replace(LINUX, systemd=True),
         "systemctl --user start podman.socket"),
        ("unix:///home/a/.docker/desktop/docker.sock", replace(LINUX, systemd=True),
         "systemctl --user start docker-desktop"),
        ("unix:///somewhere/else.sock",
         replace(LINUX, systemd=True, root=True, programs=frozenset({"dockerd"})),
         "Start the engine that listens at unix:///somewhere/else.sock"),
        ("tcp://far:2375", LINUX, "on its own machine"),
    ],
)  # fmt: skip
def test_a_dead_socket_is_started_in_its_own_way(
    address: str, installed: Installed, remedy: str
) -> None:
    endpoint = Endpoint(address, "DOCKER_HOST", chosen=True)
    problem = no_engine([Failure(endpoint, Cause.NOT_RUNNING, "nobody listens")], installed)
    assert problem.code == "docker_not_running"
    assert remedy in problem.remedy


def test_the_most_telling_reason_is_shown_and_the_others_are_listed() -> None:
    problem = no_engine(
        [
            Failure(USUAL, Cause.NOT_RUNNING, "nobody listens"),
            Failure(Endpoint("unix:///d.sock", "Docker Desktop"), Cause.STARTING, "answers 503"),
            Failure(Endpoint("unix:///o.sock", "OrbStack"), Cause.ABSENT),
        ],
        MAC,
    )
    assert problem.code == "docker_starting"
    assert problem.details == (
        f"{DEFAULT_SOCKET} (the usual socket): nobody listens",
        "unix:///d.sock (Docker Desktop): answers 503",
    )


def test_somebody_in_the_group_since_the_last_login_is_told_to_log_in_again(
    short_path: Path,
) -> None:
    left_behind(short_path / "docker.sock")
    group = (short_path / "docker.sock").group()
    endpoint = Endpoint(f"unix://{short_path}/docker.sock", "the usual socket")
    member = replace(LINUX, groups=frozenset({group, "x"}), session_groups=frozenset({"x"}))
    problem = no_engine([Failure(endpoint, Cause.PERMISSION, "permission denied")], member)
    if group != "root":
        assert "Log out and in again" in problem.remedy


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "docker_disk_full"),
        ('could not select device driver "" with capabilities: [[gpu]]', "docker_no_gpu_toolkit"),
        (
            "container create: container-init binary not found on the host: stat"
            " /usr/libexec/podman/catatonit: no such file or directory",
            "docker_no_init",
        ),
        ("exec /bin/sh: exec format error", "docker_platform"),
        ("toomanyrequests: You have reached your pull rate limit.", "docker_pull_limit"),
        ("pull access denied for x, repository does not exist", "docker_image_unknown"),
        ("manifest for python:9 not found: manifest unknown", "docker_image_unknown"),
        ("dial tcp: lookup registry-1.docker.io: no such host", "docker_no_network"),
        ("Bind for 0.0.0.0:31337 failed: port is already allocated", "docker_port_taken"),
        ("Mounts denied: the path /x is not shared from the host", "docker_mount_denied"),
        ("something else", "docker_failed"),
    ],
)
def test_words_of_the_engine_are_understood(text: str, code: str) -> None:
    problem = refusal(f"\x1b[31m{text}", doing="building the image")
    assert problem.code == code
    assert "building the image" in problem.what
    assert "\x1b" not in problem.why


@pytest.mark.engine
async def test_a_gpu_without_the_toolkit_is_refused_in_plain_words(
    engine: Engine, client: docker.DockerClient, base_image: str, engine_name: Callable[[str], str]
) -> None:
    if engine.facts.nvidia or engine.facts.podman:
        return
    name = engine_name("gpu")
    wanted = docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])

    def run(on: docker.DockerClient) -> Any:
        return on.containers.run(
            base_image, ["true"], name=name, detach=True, device_requests=[wanted]
        )

    with pytest.raises(TorbizError) as caught:
        await engine.call(run, doing="starting the container")
    assert caught.value.code == "docker_no_gpu_toolkit"
    client.containers.get(name).remove(force=True)


@pytest.mark.engine
async def test_a_registry_that_is_not_reached_is_said(engine: Engine) -> None:
    with pytest.raises(TorbizError) as caught:
        await engine.call(
            lambda client: client.images.pull("127.0.0.1:1/nothing:latest"), doing="pulling"
        )
    assert caught.value.code == "docker_no_network"


@pytest.mark.engine
async def test_a_full_disk_of_the_engine_is_said(
    private_engines: Callable[..., PrivateEngine], client: docker.DockerClient, base_image: str
) -> None:
    small = await finder_at(private_engines(disk_size="60m").host).find()
    saved = client.images.get(base_image).save(named=True)

    def load(on: docker.DockerClient) -> Iterator[dict[str, Any]]:
        return on.api.load_image(saved)  # type: ignore[no-untyped-call, no-any-return]

    items = small.stream(load, doing="loading the image")
    said = [str(item.get("error", "")) async for item in items]
    problem = refusal(next(filter(None, said)), doing="loading the image")
    assert problem.code == "docker_disk_full"


class Told:
    """What a step tells."""

    def __init__(self) -> None:
        self.progress: list[str] = []
        self.output: list[str] = []
        self.waiting = asyncio.Event()
        self.reporter = Reporter(progress=self._progress, output=self.output.append)

    def _progress(self, _fraction: float | None, text: str) -> None:
        self.progress.append(text)
        if text.startswith("Waiting"):
            self.waiting.set()


@pytest.mark.engine
async def test_setup_shows_the_engine_and_the_version(private_engine: PrivateEngine) -> None:
    finder = finder_at(private_engine.host)
    shown = await DockerInstalledStep(finder).check()
    assert shown.readiness == "ready"
    version = await client_version()
    assert shown.detail == version or not version
    shown = await DaemonStep(finder).check()
    assert shown.readiness == "ready"
    assert private_engine.host in shown.detail
    assert "docker.host" in shown.detail


async def test_without_any_docker_setup_says_how_to_get_it(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(short_path))
    nowhere = [Endpoint(f"unix://{short_path}/docker.sock", "the usual socket")]
    monkeypatch.setattr(engine_module, "current_endpoints", lambda _config: nowhere)
    shown = await DockerInstalledStep(EngineFinder(Config().docker)).check()
    assert shown.readiness == "blocked"
    assert shown.detail.startswith("Docker is not installed.")
    assert "retry" in shown.instruction


@pytest.mark.engine
async def test_an_engine_that_is_starting_is_waited_for(
    private_engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "LOCAL_TIMEOUT_S", 0.5)
    private_engine.pause()
    step, told = DaemonStep(finder_at(private_engine.host)), Told()
    assert (await step.check()).readiness == "missing"
    applying = asyncio.create_task(step.apply(told.reporter))
    await asyncio.wait_for(told.waiting.wait(), 60)
    assert "of at most 120 s" in told.progress[-1]
    assert "does not answer" in told.progress[-1]
    private_engine.resume()
    monkeypatch.setattr(probing, "LOCAL_TIMEOUT_S", 60.0)
    await asyncio.wait_for(applying, 60)
    assert (await step.check()).readiness == "ready"


@pytest.mark.engine
async def test_the_wait_has_an_end_and_a_way_out(
    private_engine: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "LOCAL_TIMEOUT_S", 0.5)
    private_engine.pause()
    finder = finder_at(private_engine.host)
    with pytest.raises(BlockedError, match="did not start within 1 s") as caught:
        await DaemonStep(finder, timeout_s=1).apply(Told().reporter)
    assert caught.value.code == "docker_stuck"
    told = Told()
    applying = asyncio.create_task(DaemonStep(finder).apply(told.reporter))
    await asyncio.wait_for(told.waiting.wait(), 60)
    applying.cancel()
    since_cancelled = Stopwatch()
    with contextlib.suppress(asyncio.CancelledError):
        await applying
    assert since_cancelled.seconds < 0.5


@pytest.mark.engine
async def test_an_engine_that_is_not_running_is_started_where_the_app_can(
    private_engines: Callable[..., PrivateEngine],
) -> None:
    daemon = private_engines(below=".docker/run")
    daemon.stop()
    ran: list[Sequence[str]] = []

    async def run(argv: Sequence[str]) -> tuple[int, str]:
        ran.append(argv)
        await asyncio.to_thread(daemon.start)
        return 0, "opened"

    mac = replace(MAC, apps=frozenset({"Docker Desktop"}))
    step = DaemonStep(finder_at(daemon.host), machine=lambda: mac, run=run)
    found, told = await step.check(), Told()
    assert found.readiness == "missing"
    assert "not running" in found.detail
    await step.apply(told.reporter)
    assert ran == [("open", "-g", "-a", "Docker")]
    assert told.output[0] == "$ open -g -a Docker"
    assert (await step.check()).readiness == "ready"


async def test_an_engine_that_only_the_person_can_start_blocks_with_the_command(
    short_path: Path,
) -> None:
    address = left_behind(short_path / "docker.sock")
    finder = finder_at(address)
    plain = replace(LINUX, programs=frozenset({"dockerd"}))
    shown = await DaemonStep(finder, machine=lambda: plain).check()
    assert shown.readiness == "blocked"
    assert address in shown.instruction


async def test_a_refused_start_says_what_to_type(short_path: Path) -> None:
    (short_path / ".docker/desktop").mkdir(parents=True)
    address = left_behind(short_path / ".docker/desktop/docker.sock")

    async def run(argv: Sequence[str]) -> tuple[int, str]:
        return 5, "Failed to start docker-desktop.service: Unit not found.\n"

    machine = replace(LINUX, systemd=True)
    step = DaemonStep(finder_at(address), machine=lambda: machine, run=run)
    with pytest.raises(BlockedError) as caught:
        await step.apply(Told().reporter)
    assert "`systemctl --user start docker-desktop`" in caught.value.remedy
    assert "Unit not found" in caught.value.details[0]
