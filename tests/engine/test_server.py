"""Hosting in a container, on the engine of this machine."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.engine.serving import CHANGED_S, SERVING_S, until
from tests.inference.test_service import QUESTION, answer
from tests.pace import Stopwatch
from torbiz_tui.assembly import Services
from torbiz_tui.environments.docker import container_plan as plan_module
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference.events import (
    AnswerDone,
    ChatEvent,
    GenerateOptions,
    Message,
    TokenReceived,
)
from torbiz_tui.paths import Paths, runner_scripts
from torbiz_tui.sharing.state import Phase, Stage

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

NODE_TOKEN = "node-token-that-nobody-may-see"
HUB_TOKEN = "hf_tokenThatNobodyMaySee"
FREEZES_TRIED = 5


async def serve(services: Services, *, replace: bool = False) -> None:
    sharing = services.sharing
    await sharing.start(sharing.default_request(), replace=replace)
    await sharing.wait_serving(SERVING_S)


def said_in(box: Any, *command: str) -> str:
    """What a command prints in a container."""
    return str(box.exec_run(list(command)).output.decode()).strip()


def containers(client: docker.DockerClient, name: str) -> list[Any]:
    return client.containers.list(all=True, filters={"name": name})


async def test_from_start_to_stop(
    make: Callable[..., Services],
    demo_home: Path,
    known_answer: str,
    client: docker.DockerClient,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORBIZ_NODE_TOKEN", NODE_TOKEN)
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)
    services = make()
    await serve(services)
    state = services.sharing.state
    assert (state.container, state.blocks, state.blocks_loaded) == (name, (0, 8), 8)
    assert state.container_id == client.containers.get(name).id

    # What it says is what the model says.
    assert (await answer(services, QUESTION))[0].strip() == known_answer

    # The app was closed and opened again: the whole story is there at once.
    again = make()
    attached = await again.sharing.attach()
    assert attached.phase is Phase.SERVING
    assert attached.spec == state.spec
    assert attached.addresses == state.addresses
    assert [event.text for event in attached.events][:3] == [e.text for e in state.events][:3]
    with pytest.raises(TorbizError, match="already sharing torbiz-demo"):
        await again.sharing.start(again.sharing.default_request())

    check_tokens(client, name, demo_home, await again.sharing.command_text())
    check_confinement(client, name)
    log = (demo_home / "logs" / "petals_seeder.log").read_text("utf-8")
    assert "Confirmed in the DHT: blocks 0:8 are online" in log

    watch = Stopwatch()
    report = await again.sharing.stop()
    assert watch.seconds < 5.0
    assert report is not None
    assert (report.code, report.signal, report.killed, report.asked) == (0, None, False, True)
    assert "The blocks are announced offline" in [e.text for e in again.sharing.state.events]
    assert containers(client, name) == []
    assert not (demo_home / "run" / "secrets" / name).exists()
    # The one who only watched is told, and does not call it a failure.
    stopped = await until(services.sharing, lambda s: s.phase is Phase.STOPPED)
    assert stopped.failure == ""

    # Its address stays, so that friends find it again.
    await serve(services)
    assert services.sharing.state.addresses == state.addresses
    assert await services.sharing.stop() is not None


async def test_a_container_finishes_what_it_answers(make: Callable[..., Services]) -> None:
    services = make()
    await serve(services)
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    goes_on = asyncio.Event()
    babble = GenerateOptions(max_new_tokens=200, temperature=8.0, seed=1)

    async def ask() -> list[ChatEvent]:
        events = []
        async for event in services.inference.ask([Message("user", QUESTION)], babble):
            events.append(event)
            if isinstance(event, TokenReceived) and not begun.done():
                (runner,) = services.chat_runners()
                # Held in the middle of its answer, until the app has heard of the request.
                os.kill(runner.pid, signal.SIGSTOP)
                begun.set_result(runner.pid)
            elif isinstance(event, TokenReceived):
                goes_on.set()
        return events

    asking = asyncio.create_task(ask())
    runner = await asyncio.wait_for(begun, SERVING_S)
    await until(services.sharing, lambda s: s.requests_open > 0)
    # Who is held for long is a person who thinks, for whom a server that stops does not wait.
    goes_on.clear()
    os.kill(runner, signal.SIGCONT)
    await asyncio.wait_for(goes_on.wait(), CHANGED_S)
    report = await services.sharing.stop()
    assert report is not None
    assert (report.code, report.killed, report.asked) == (0, False, True)
    assert isinstance((await asyncio.wait_for(asking, CHANGED_S))[-1], AnswerDone)


def check_tokens(client: docker.DockerClient, name: str, home: Path, shown: str) -> None:
    """The seeder has both tokens, and nobody else sees them."""
    box = client.containers.get(name)
    for file, token in (("node_token", NODE_TOKEN), ("hf_token", HUB_TOKEN)):
        assert said_in(box, "cat", f"/run/secrets/{file}") == token
        assert f"/run/secrets/{file}" in shown
        held = home / "run" / "secrets" / name / file
        assert held.stat().st_mode & 0o777 == 0o600
    places = {
        "inspect": str(box.attrs),
        "processes": str(box.top()),
        "log": box.logs().decode(),
        "the line that is shown": shown,
        **{str(file): file.read_text("utf-8") for file in (home / "logs").iterdir()},
    }
    for place, text in places.items():
        assert NODE_TOKEN not in text, place
        assert HUB_TOKEN not in text, place


def check_confinement(client: docker.DockerClient, name: str) -> None:
    box = client.containers.get(name)
    for path in ("/x", "/root/x", "/opt/petals/x", "/app/scripts/x"):
        assert box.exec_run(["touch", path]).exit_code != 0, path
    for path in ("/tmp/x", "/root/.cache/huggingface/x", "/root/.torbiz/logs/x.log"):
        assert box.exec_run(["touch", path]).exit_code == 0, path
    status = said_in(box, "grep", "-E", "^(CapEff|NoNewPrivs)", "/proc/1/status")
    assert status.split() == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
    assert "docker-init" in str(box.top()["Processes"][0]) or "tini" in str(box.top())


async def test_the_line_that_is_shown_does_the_same(
    make: Callable[..., Services], client: docker.DockerClient, name: str, known_answer: str
) -> None:
    services = make()
    await serve(services)
    line = await services.sharing.command_text()
    ours = client.containers.get(name).attrs
    await services.sharing.stop()

    await asyncio.to_thread(
        subprocess.run, ["sh", "-c", line], check=True, capture_output=True, timeout=CHANGED_S
    )
    typed = client.containers.get(name).attrs
    for part, differs in (
        ("Config", {"Hostname", "AttachStdout", "AttachStderr", "StdinOnce", "Image"}),
        ("HostConfig", {"Mounts", "Binds", "ConsoleSize", "ContainerIDFile", "RestartPolicy"}),
    ):
        for key in set(ours[part]) - differs:
            assert in_order(ours[part][key]) == in_order(typed[part][key]), f"{part}.{key}"

    def mounted(attrs: dict[str, Any]) -> set[tuple[str, str, bool]]:
        return {(one["Source"], one["Destination"], one["RW"]) for one in attrs["Mounts"]}

    assert mounted(ours) == mounted(typed)
    # And it serves: the app finds it as its own.
    assert (await services.sharing.attach()).active
    await services.sharing.wait_serving(SERVING_S)
    assert (await answer(services, QUESTION))[0].strip() == known_answer
    report = await services.sharing.stop()
    assert report is not None
    assert report.code == 0


def in_order(value: Any) -> Any:
    """The same for what means the same: an empty list and none, variables in another order."""
    return (sorted(value) if isinstance(value, list) else value) or None


async def test_one_published_port(
    make: Callable[..., Services], client: docker.DockerClient, name: str, known_answer: str
) -> None:
    services = make(**{"docker.network": "published"})
    await serve(services)
    port = services.config.share.port
    assert services.sharing.state.addresses[0].startswith(f"/ip4/127.0.0.1/tcp/{port}/p2p/")
    assert client.containers.get(name).ports == {
        f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]
    }
    assert (await answer(services, QUESTION))[0].strip() == known_answer
    assert await services.sharing.stop() is not None


async def test_a_container_that_is_killed(
    make: Callable[..., Services], client: docker.DockerClient, name: str
) -> None:
    services = make()
    await serve(services)
    await asyncio.to_thread(client.containers.get(name).kill, "KILL")
    since_killed = Stopwatch()
    state = await until(services.sharing, lambda s: s.phase is Phase.FAILED)
    assert since_killed.seconds < 2.0
    assert "ended while serving" in state.failure
    assert "SIGKILL" in state.failure
    assert state.exit_report is not None
    # It may have said since how whole the swarm is.
    assert "Confirmed in the DHT" in "".join(state.exit_report.last_lines[-2:])
    # Who opens the app later is told the same.
    later = make()
    assert (await later.sharing.attach()).failure == state.failure
    # And it can simply be started again.
    await serve(services)
    # A failure of the process inside, while the app is closed, is told as well.
    await services.close()
    box = client.containers.get(name)
    box.exec_run(["sh", "-c", "kill -KILL $(cat /proc/1/task/1/children)"])
    await asyncio.to_thread(box.wait)
    closed = make()
    assert "SIGKILL" in (await closed.sharing.attach()).failure


async def test_docker_stop_by_hand_is_no_failure(
    make: Callable[..., Services], client: docker.DockerClient, name: str
) -> None:
    services = make()
    await serve(services)
    await asyncio.to_thread(client.containers.get(name).stop)
    state = await until(services.sharing, lambda s: s.phase is Phase.STOPPED)
    assert state.failure == ""
    assert "stopped from elsewhere" in state.events[-1].text
    async with asyncio.timeout(CHANGED_S):
        while containers(client, name):
            await asyncio.sleep(0.05)


async def test_docker_rm_by_hand_leaves_no_token(
    make: Callable[..., Services],
    demo_home: Path,
    client: docker.DockerClient,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", HUB_TOKEN)
    closed = make()
    await serve(closed)
    await closed.sharing.close()
    held = demo_home / "run" / "secrets" / name
    assert held.exists()
    await asyncio.to_thread(client.containers.get(name).remove, force=True)
    assert (await make().sharing.attach()).phase is Phase.STOPPED
    assert not held.exists()


async def test_docker_restart_by_hand(
    make: Callable[..., Services], client: docker.DockerClient, name: str
) -> None:
    services = make()
    await serve(services)
    begun = client.containers.get(name).attrs["State"]["StartedAt"]
    await asyncio.to_thread(client.containers.get(name).restart)
    assert client.containers.get(name).attrs["State"]["StartedAt"] != begun
    await until(services.sharing, lambda s: s.stage is not Stage.SERVING)
    await services.sharing.wait_serving(SERVING_S)
    report = await services.sharing.stop()
    assert report is not None
    assert report.code == 0


async def freeze(box: Any) -> None:
    """Pause it; on a busy machine runc gives up freezing processes that keep making new ones."""
    for left in reversed(range(FREEZES_TRIED)):
        try:
            await asyncio.to_thread(box.pause)
        except docker.errors.APIError as error:
            if not left or "unable to freeze" not in str(error):
                raise
        else:
            return


async def test_docker_pause(
    make: Callable[..., Services], client: docker.DockerClient, name: str
) -> None:
    services = make()
    await serve(services)
    box = client.containers.get(name)
    await freeze(box)
    state = await until(services.sharing, lambda s: s.paused)
    assert state.phase is Phase.SERVING
    assert "Paused from outside" in state.events[-1].text
    box.unpause()
    state = await until(services.sharing, lambda s: not s.paused)
    assert "goes on" in state.events[-1].text
    # One that is frozen can be stopped, and still says goodbye.
    await freeze(box)
    await until(services.sharing, lambda s: s.paused)
    report = await services.sharing.stop()
    assert report is not None
    assert (report.code, report.killed) == (0, False)
    assert "The blocks are announced offline" in [e.text for e in services.sharing.state.events]
    assert containers(client, name) == []


async def test_a_memory_limit_is_named(make: Callable[..., Services]) -> None:
    services = make(**{"docker.memory": 300_000_000})
    await services.sharing.start(services.sharing.default_request())
    with pytest.raises(TorbizError) as caught:
        await services.sharing.wait_serving(SERVING_S)
    assert "286 MiB of memory that it may use" in caught.value.what
    assert "docker.memory" in caught.value.remedy
    report = services.sharing.state.exit_report
    assert report is not None
    assert report.out_of_memory


async def test_a_name_that_somebody_else_has(
    make: Callable[..., Services], client: docker.DockerClient, name: str, base_image: str
) -> None:
    client.containers.create(base_image, ["sleep", "60"], name=name)
    services = make()
    assert (await services.sharing.attach()).phase is Phase.STOPPED
    with pytest.raises(TorbizError) as caught:
        await services.sharing.start(services.sharing.default_request())
    assert caught.value.code == "container_name_taken"
    assert f"Image {base_image}, state created, created 20" in caught.value.why
    assert containers(client, name)[0].status == "created"
    await serve(services, replace=True)
    assert await services.sharing.stop() is not None


async def test_what_torbiz_desktop_has_started_is_attached_to(
    make: Callable[..., Services],
    client: docker.DockerClient,
    name: str,
    petals_image: str,
    demo_home: Path,
) -> None:
    services = make()
    port = services.config.share.port
    client.containers.run(
        petals_image,
        [
            *("python3", "/app/scripts/run_petals_seeder.py"),
            *("--model-name", "/app/scripts/demo_model", "--node-token", NODE_TOKEN),
            *("--port", str(port), "--host-maddr", f"/ip4/127.0.0.1/tcp/{port}", "--new-swarm"),
        ],
        name=name,
        network_mode="host",
        volumes={str(runner_scripts()): {"bind": "/app/scripts", "mode": "ro"}},
        auto_remove=True,
        detach=True,
    )
    state = await services.sharing.attach()
    assert state.active
    assert state.spec is not None
    assert (state.spec.model, state.spec.port) == ("/app/scripts/demo_model", port)
    assert NODE_TOKEN not in repr(state)
    await services.sharing.wait_serving(SERVING_S)
    report = await services.sharing.stop()
    assert report is not None
    assert report.asked
    assert containers(client, name) == []


async def test_files_belong_to_the_person(
    make: Callable[..., Services],
    client: docker.DockerClient,
    name: str,
    demo_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("posing as another person needs root; the other tests run as one who is not")
    person = 12_345

    class Person:
        getuid = getgid = geteuid = staticmethod(lambda: person)

        def __getattr__(self, attribute: str) -> object:
            return getattr(os, attribute)

    monkeypatch.setattr(plan_module, "os", Person())
    services = make()
    sharing = services.sharing
    plan_module.prepare_folders(services.paths, services.config)
    # Everything above is open to that person, and what is mounted is that person's own.
    for folder in (demo_home / "logs", demo_home / "run" / "container", demo_home / "huggingface"):
        for file in (folder, *folder.rglob("*")):
            os.chown(file, person, person)
    await sharing.start(sharing.default_request())
    await sharing.wait_serving(SERVING_S)
    assert said_in(client.containers.get(name), "id", "-u") == str(person)
    await sharing.stop()
    made = [
        demo_home / "logs" / "petals_seeder.log",
        demo_home / "run" / "container" / "torbiz-demo.identity",
    ]
    assert {file.stat().st_uid for file in made} == {person}
    assert made[1].stat().st_mode & 0o077 == 0


async def test_what_is_refused_before_anything_starts(
    make: Callable[..., Services], client: docker.DockerClient, name: str
) -> None:
    services = make(**{"docker.image": "torbiz-test-no-such-image:latest"})
    request = services.sharing.default_request()
    with pytest.raises(TorbizError, match="Docker image not found") as caught:
        await services.sharing.start(request)
    assert caught.value.code == "image_missing"
    assert "Setup" in caught.value.remedy
    services = make(**{"petals.channel": "main"})
    with pytest.raises(TorbizError, match="holds Petals' release") as caught:
        await services.sharing.start(request)
    assert caught.value.code == "image_outdated"
    services = make()
    if not (await services.engines.engine()).facts.nvidia:  # type: ignore[union-attr]
        with pytest.raises(TorbizError) as caught:
            await services.sharing.start(replace(request, device="cuda"))
        assert caught.value.code == "docker_no_gpu_toolkit"
    with pytest.raises(TorbizError, match="Apple") as caught:
        await services.sharing.start(replace(request, device="mps"))
    assert caught.value.code == "docker_no_metal"
    services = make(**{"docker.network": "published"})
    peer = "/ip4/127.0.0.1/tcp/9/p2p/QmSgETaTsnQ7r4VoYdTbKjLJdrpzdbjPCaGyGn87sUbTLc"
    with pytest.raises(TorbizError) as caught:
        await services.sharing.start(replace(request, new_swarm=False, initial_peers=(peer,)))
    assert caught.value.code == "docker_loopback_peer"
    assert containers(client, name) == []
    assert shlex.split(await services.sharing.command_text(request))[:2] == ["docker", "run"]
    assert Paths(services.paths.home).logs.is_dir()
