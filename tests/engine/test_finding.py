"""Which engine is used, in the order of the docker command, and what it tells of itself."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.conftest import free_port
from tests.engine.private_engine import PrivateEngine
from tests.engine.sockets import VERSION, is_silent, left_behind, listening
from tests.pace import Stopwatch
from torbiz_tui.config import Config
from torbiz_tui.environments.docker import engine as engine_module
from torbiz_tui.environments.docker.endpoints import (
    DEFAULT_SOCKET,
    Endpoint,
    TlsFiles,
    endpoints,
)
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.facts import facts_from
from torbiz_tui.errors import BlockedError

CONFIG = Config().docker


def with_host(address: str) -> Any:
    return replace(CONFIG, host=address)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with TemporaryDirectory(prefix="tbz-") as folder:
        yield Path(folder)


def write_context(home: Path, name: str, host: str) -> Path:
    digest = hashlib.sha256(name.encode()).hexdigest()
    folder = home / ".docker/contexts"
    meta = folder / "meta" / digest
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(
        json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host}}})
    )
    return folder / "tls" / digest / "docker"


def choose_context(home: Path, name: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps({"currentContext": name}))


def test_the_order_is_that_of_the_docker_command(tmp_path: Path) -> None:
    write_context(tmp_path, "one", "unix:///one.sock")
    write_context(tmp_path, "two", "tcp://two:2375")
    choose_context(tmp_path, "one")
    environ = {"DOCKER_HOST": "unix:///host.sock", "DOCKER_CONTEXT": "two"}

    def sources(config: Any) -> list[tuple[str, str]]:
        return [(e.address, e.source) for e in endpoints(config, environ, tmp_path, "linux")]

    assert sources(with_host("unix:///mine.sock")) == [("unix:///mine.sock", "docker.host")]
    assert sources(CONFIG) == [("unix:///host.sock", "DOCKER_HOST")]
    del environ["DOCKER_HOST"]
    assert sources(CONFIG) == [("tcp://two:2375", "context two")]
    del environ["DOCKER_CONTEXT"]
    assert sources(CONFIG) == [("unix:///one.sock", "context one")]
    choose_context(tmp_path, "default")
    assert sources(CONFIG)[0] == (DEFAULT_SOCKET, "the usual socket")


def test_the_known_sockets_of_each_platform(tmp_path: Path) -> None:
    (tmp_path / ".colima/work").mkdir(parents=True)
    (tmp_path / ".colima/work/docker.sock").touch()
    environ = {"XDG_RUNTIME_DIR": "/run/user/7"}
    home = f"unix://{tmp_path}"
    linux = [e.address for e in endpoints(CONFIG, environ, tmp_path, "linux")]
    assert linux == [
        DEFAULT_SOCKET,
        f"{home}/.docker/run/docker.sock",
        f"{home}/.docker/desktop/docker.sock",
        f"{home}/.colima/default/docker.sock",
        f"{home}/.colima/work/docker.sock",
        f"{home}/.orbstack/run/docker.sock",
        f"{home}/.rd/docker.sock",
        "unix:///run/user/7/docker.sock",
        "unix:///run/user/7/podman/podman.sock",
        "unix:///run/podman/podman.sock",
    ]
    mac = [e.source for e in endpoints(CONFIG, environ, tmp_path, "darwin")]
    assert mac[:2] == ["the usual socket", "Docker Desktop"]
    assert "rootless Docker" not in mac


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist"),
        ("{", "cannot be read"),
        ("[]", "names no Docker engine"),
        ('{"Endpoints": {}}', "names no Docker engine"),
    ],
)
def test_a_context_that_is_missing_or_broken_is_said(
    content: str | None, said: str, tmp_path: Path
) -> None:
    choose_context(tmp_path, "work")
    if content is not None:
        write_context(tmp_path, "work", "unix:///x")
        meta = next((tmp_path / ".docker/contexts/meta").glob("*/meta.json"))
        meta.write_text(content)
    with pytest.raises(BlockedError) as caught:
        endpoints(CONFIG, {}, tmp_path, "linux")
    assert caught.value.code == "docker_context"
    assert "work" in caught.value.what
    assert said in str(caught.value)
    assert "docker context" in caught.value.remedy


def test_broken_settings_of_docker_are_said(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text("{")
    with pytest.raises(BlockedError, match="cannot be read"):
        endpoints(CONFIG, {}, tmp_path, "linux")


def test_certificates_come_from_the_environment_or_the_context(tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    tls_of_context = write_context(tmp_path, "far", "tcp://far:2376")
    for folder in (certificates, tls_of_context):
        folder.mkdir(parents=True)
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (folder / name).touch()

    def files(folder: Path) -> TlsFiles:
        return TlsFiles(str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem"))

    environ = {
        "DOCKER_HOST": "tcp://x:2376",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(certificates),
    }
    assert endpoints(CONFIG, environ, tmp_path, "linux")[0].tls == files(certificates)
    environ = {"DOCKER_CONTEXT": "far"}
    assert endpoints(CONFIG, environ, tmp_path, "linux")[0].tls == files(tls_of_context)


INFO = {"NCPU": 8, "MemTotal": 2**33, "DockerRootDir": "/var/lib/docker", "CgroupVersion": "2"}


@pytest.mark.parametrize(
    ("version", "info", "platform", "name", "host_network"),
    [
        ({}, {"OperatingSystem": "Debian GNU/Linux 12"}, "linux", "Docker Engine", True),
        ({}, {"SecurityOptions": ["name=rootless"]}, "linux", "Docker Engine", False),
        ({}, {"OperatingSystem": "Docker Desktop"}, "darwin", "Docker Desktop", False),
        ({}, {"OperatingSystem": "OrbStack", "Name": "orbstack"}, "darwin", "OrbStack", True),
        ({}, {"OperatingSystem": "Ubuntu", "Name": "colima"}, "darwin", "Colima", False),
        ({"Components": [{"Name": "Podman Engine"}]}, {}, "linux", "Podman", True),
        (
            {"Components": [{"Name": "Podman Engine"}]},
            {"SecurityOptions": ["name=rootless"]},
            "linux",
            "Podman",
            True,
        ),
        ({"Components": [{"Name": "Podman Engine"}]}, {}, "darwin", "Podman", False),
    ],
)
def test_engines_are_told_apart(
    version: dict[str, Any],
    info: dict[str, Any],
    platform: str,
    name: str,
    host_network: bool,
    tmp_path: Path,
) -> None:
    facts = facts_from(
        VERSION | version,
        INFO | info,
        Endpoint(DEFAULT_SOCKET, "the usual socket"),
        home=tmp_path,
        platform=platform,
    )
    assert (facts.name, facts.host_network) == (name, host_network)
    assert facts.platform == "linux/arm64"
    assert (facts.cpus, facts.memory_bytes, facts.cgroup) == (8, 2**33, "2")


@pytest.mark.parametrize(
    "content", ['{"HostNetworkingEnabled": true}', '{"hostNetworkingEnabled": true}']
)
def test_docker_desktop_has_host_networking_when_it_is_switched_on(
    content: str, tmp_path: Path
) -> None:
    folder = tmp_path / "Library/Group Containers/group.com.docker"
    folder.mkdir(parents=True)
    (folder / "settings-store.json").write_text(content)
    facts = facts_from(
        VERSION,
        INFO | {"OperatingSystem": "Docker Desktop"},
        Endpoint(DEFAULT_SOCKET, "the usual socket"),
        home=tmp_path,
        platform="darwin",
    )
    assert facts.host_network


def test_gpus_are_known_from_the_runtime_or_from_cdi(tmp_path: Path) -> None:
    def nvidia(info: dict[str, Any]) -> bool:
        place = Endpoint(DEFAULT_SOCKET, "the usual socket")
        return facts_from(VERSION, INFO | info, place, home=tmp_path, platform="linux").nvidia

    assert not nvidia({"Runtimes": {"runc": {}}})
    assert nvidia({"Runtimes": {"runc": {}, "nvidia": {}}})
    assert nvidia({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}]})


@pytest.mark.engine
async def test_the_engine_of_this_machine_tells_of_itself(engine: Engine, client: Any) -> None:
    facts = engine.facts
    info = client.info()
    assert facts.version
    assert facts.platform.startswith("linux/")
    assert (facts.cpus, facts.memory_bytes) == (info["NCPU"], info["MemTotal"])
    assert facts.data_root == info["DockerRootDir"]


@pytest.mark.engine
async def test_the_first_that_answers_is_used_and_the_others_are_remembered(
    private_engine: PrivateEngine, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torbiz_tui.environments.docker.probing.LOCAL_TIMEOUT_S", 3.0)
    with listening(short_path / "silent.sock", is_silent) as silent:
        places = [
            Endpoint(left_behind(short_path / "dead.sock"), "the usual socket"),
            Endpoint(silent, "Docker Desktop"),
            Endpoint(private_engine.host, "Colima"),
            Endpoint(f"unix://{short_path}/absent.sock", "OrbStack"),
        ]
        monkeypatch.setattr(engine_module, "current_endpoints", lambda _config: places)
        finder = EngineFinder(CONFIG)
        watch = Stopwatch()
        found = await finder.find()
    assert found.endpoint == places[2]
    assert [failure.cause for failure in finder.tried] == ["docker_not_running", "docker_stuck"]
    assert watch.seconds < 5
    assert await found.call(lambda client: client.ping(), doing="asking")
    finder.close()


@pytest.mark.engine
async def test_a_context_and_docker_host_lead_to_their_engine(
    private_engine: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_HOST", private_engine.host)
    found = await EngineFinder(CONFIG).find()
    assert (found.endpoint.source, found.facts.data_root) == (
        "DOCKER_HOST",
        str(private_engine.data_root),
    )
    monkeypatch.delenv("DOCKER_HOST")
    write_context(tmp_path, "private", private_engine.host)
    choose_context(tmp_path, "private")
    found = await EngineFinder(CONFIG).find()
    assert (found.endpoint.source, found.facts.data_root) == (
        "context private",
        str(private_engine.data_root),
    )


@pytest.mark.engine
async def test_an_engine_behind_ssh_is_used_through_the_ssh_of_the_person(
    private_engine: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    bridge = f"""#!{sys.executable}
import os, select, socket, sys
open({str(asked)!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
if "nobody" in sys.argv:
    sys.exit("nobody@far: Permission denied (publickey).")
far = socket.socket(socket.AF_UNIX)
far.connect({str(private_engine.socket)!r})
while True:
    for ready in select.select([0, far], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else far.recv(65536)
        if not data:
            sys.exit()
        far.sendall(data) if ready == 0 else os.write(1, data)
"""
    program = tmp_path / "ssh"
    program.write_text(bridge)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = await EngineFinder(with_host("ssh://me@far:2222")).find()
    assert found.facts.data_root == str(private_engine.data_root)
    assert not found.facts.local
    line = asked.read_text().splitlines()[0]
    assert "BatchMode=yes" in line
    assert line.endswith("-l me -p 2222 -- far docker system dial-stdio")
    events = found.stream(
        lambda client: client.api.events(decode=True, since=1), doing="reading events"
    )
    private_engine.kill()
    with pytest.raises(Exception, match="went away"):
        async for _ in events:
            pass
    with pytest.raises(BlockedError, match="Permission denied") as caught:
        await EngineFinder(with_host("ssh://nobody@far")).find()
    assert caught.value.code == "docker_ssh"


def make_certificates(folder: Path) -> None:
    """An authority, and a certificate of it for 127.0.0.1 that is for server and client alike."""
    folder.mkdir()
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    for line in (
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=authority -days 2 -keyout ca-key.pem -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=engine -keyout key.pem -out request.pem",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2"
        " -extfile extensions -out cert.pem",
    ):
        subprocess.run(["openssl", *line.split()], cwd=folder, check=True, capture_output=True)


@pytest.mark.engine
async def test_an_engine_behind_tls_is_used_with_its_certificates_only(
    private_engine: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = tmp_path / "certificates"
    make_certificates(certificates)
    port = free_port()
    private_engine.stop()
    private_engine.arguments = (
        *("--host", f"tcp://127.0.0.1:{port}", "--tlsverify"),
        *("--tlscacert", f"{certificates}/ca.pem"),
        *("--tlscert", f"{certificates}/cert.pem", "--tlskey", f"{certificates}/key.pem"),
    )
    private_engine.start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    found = await EngineFinder(CONFIG).find()
    assert found.facts.data_root == str(private_engine.data_root)
    waiting = asyncio.create_task(
        anext(found.stream(lambda client: client.api.events(decode=True), doing="waiting"))
    )

    async def until_reads(wanted: bool) -> None:
        deadline = time.monotonic() + 30
        while wanted != any(one.name == "docker: waiting" for one in threading.enumerate()):
            assert time.monotonic() < deadline, f"a thread of the stream reads: {not wanted}"
            await asyncio.sleep(0.05)

    await until_reads(True)
    waiting.cancel()
    await until_reads(False)
    make_certificates(tmp_path / "others")
    for folder in (str(tmp_path / "others"), ""):
        monkeypatch.setenv("DOCKER_CERT_PATH", folder)
        with pytest.raises(BlockedError) as caught:
            await EngineFinder(CONFIG).find()
        assert caught.value.code == "docker_tls", str(caught.value)
    monkeypatch.delenv("DOCKER_TLS_VERIFY")
    with pytest.raises(BlockedError) as caught:
        await EngineFinder(CONFIG).find()
    assert caught.value.code == "docker_tls", str(caught.value)


@pytest.mark.engine
async def test_the_engine_is_looked_for_again_once_it_is_gone(
    private_engine: PrivateEngine,
) -> None:
    finder = EngineFinder(with_host(private_engine.host))
    first = await finder.engine()
    assert await finder.engine() is first
    private_engine.kill()
    with pytest.raises(Exception, match="went away") as caught:
        await first.call(lambda client: client.info(), doing="asking")
    assert getattr(caught.value, "code", "") == "docker_gone"
    with pytest.raises(BlockedError) as blocked:
        await finder.engine()
    assert blocked.value.code == "docker_not_running"
    private_engine.start()
    again = await finder.engine()
    assert again is not first
    assert await again.call(lambda client: client.ping(), doing="asking")


@pytest.mark.engine
async def test_a_call_that_gets_no_answer_is_given_up(
    private_engine: PrivateEngine,
) -> None:
    found = await EngineFinder(with_host(private_engine.host)).find()
    private_engine.pause()
    watch = Stopwatch()
    with pytest.raises(Exception, match="did not answer within 1 s") as caught:
        await found.call(lambda client: client.info(), doing="asking", timeout_s=1)
    assert getattr(caught.value, "code", "") == "docker_timeout"
    assert watch.seconds < 2
    private_engine.resume()
    assert await found.call(lambda client: client.ping(), doing="asking")
