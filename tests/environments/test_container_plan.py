"""Which container hosts a spec, on the engines that people have."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from torbiz_tui.config import ShareConfig, load_config
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.docker import container_plan, time_zone
from torbiz_tui.environments.docker.container import ContainerPlan, Mount
from torbiz_tui.environments.docker.container_plan import plan_container
from torbiz_tui.environments.docker.facts import EngineFacts
from torbiz_tui.environments.docker.holdings import Owner
from torbiz_tui.environments.docker.records import record_of, state_of
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths, demo_model, runner_scripts

ENGINE = EngineFacts(
    name="Docker Engine",
    version="28.0.0",
    api_version="1.48",
    platform="linux/amd64",
    cpus=8,
    memory_bytes=16 * 2**30,
    data_root="/var/lib/docker",
)
DESKTOP = replace(ENGINE, name="Docker Desktop", host_network=False)
SPEC = ServerSpec(model="owner/model", source="owner/model", num_blocks=8, port=31_337)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    class Person:
        getuid = geteuid = staticmethod(lambda: 1000)
        getgid = staticmethod(lambda: 100)

        def __getattr__(self, attribute: str) -> object:
            return getattr(os, attribute)

    monkeypatch.setattr(container_plan, "os", Person())
    monkeypatch.setattr(container_plan, "_lan_address", lambda: "192.168.1.5")


def plan(
    spec: ServerSpec = SPEC,
    facts: EngineFacts = ENGINE,
    home: Path = Path("/home/ada/.torbiz"),
    tokens: dict[str, Path] | None = None,
    environ: dict[str, str] | None = None,
    **settings: object,
) -> ContainerPlan:
    values = {key.replace("__", "."): value for key, value in settings.items()}
    values.setdefault("docker.model_cache", "/home/ada/.cache/huggingface")
    config = load_config(home / "none.yaml", values, {}).config
    return plan_container(spec, config, facts, Paths(home), tokens or {}, environ or {})


def seeder(made: ContainerPlan) -> tuple[str, ...]:
    """The command that the supervisor in the container runs."""
    return made.command[made.command.index("--") + 1 :]


def option(made: ContainerPlan, name: str) -> list[str]:
    return [given[1] for given in made.options() if given[0] == name]


@pytest.mark.usefixtures("person")
def test_the_guides_command() -> None:
    made = plan()
    assert option(made, "--name") == ["torbiz-petals-seeder"]
    assert option(made, "--network") == ["host"]
    assert option(made, "--volume")[:3] == [
        f"{runner_scripts()}:/app/scripts:ro",
        "/home/ada/.cache/huggingface:/root/.cache/huggingface",
        "/home/ada/.torbiz/logs:/root/.torbiz/logs",
    ]
    assert made.image == "torbiz-petals-macos:latest"
    assert made.command[:2] == ("python3", "/app/scripts/supervise_server.py")
    assert seeder(made)[:4] == (
        "python3",
        "/app/scripts/run_petals_seeder.py",
        "--model-name",
        "owner/model",
    )
    assert made.user == "1000:100"


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(
    ("facts", "user"),
    [
        (ENGINE, "1000:100"),
        (replace(ENGINE, name="Colima"), "1000:100"),
        (replace(ENGINE, rootless=True), ""),
        (replace(ENGINE, name="Podman", podman=True, rootless=True), ""),
        (DESKTOP, ""),
    ],
)
def test_who_the_files_belong_to(facts: EngineFacts, user: str) -> None:
    assert plan(facts=facts).user == user


@pytest.mark.usefixtures("person")
def test_a_port_is_published_where_host_networking_is_missing() -> None:
    made = plan(facts=DESKTOP, spec=replace(SPEC, announce_maddrs=("/ip4/198.51.100.7/tcp/31337",)))
    assert option(made, "--publish") == ["0.0.0.0:31337:31337/tcp"]
    assert option(made, "--network") == []
    text = " ".join(made.command)
    assert "--host-maddr /ip4/0.0.0.0/tcp/31337" in text
    assert "--announce-maddr /ip4/198.51.100.7/tcp/31337" in text
    assert "--announce-maddr /ip4/192.168.1.5/tcp/31337" in text
    loopback = replace(SPEC, host_maddrs=("/ip4/127.0.0.1/tcp/31337",))
    made = plan(facts=DESKTOP, spec=loopback)
    assert option(made, "--publish") == ["127.0.0.1:31337:31337/tcp"]
    assert "--announce-maddr /ip4/127.0.0.1/tcp/31337" in " ".join(made.command)
    assert plan(facts=DESKTOP, docker__network="host").network == "host"


@pytest.mark.usefixtures("person")
def test_peers_on_loopback_are_left_out_where_others_are_reached() -> None:
    there, here, here_too = "/ip4/192.168.1.7/tcp/1/p2p/A", "/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"
    made = plan(facts=DESKTOP, spec=replace(SPEC, initial_peers=(here, there, here_too)))
    assert [
        peer
        for option, peer in zip(made.command, made.command[1:], strict=False)
        if option == "--initial-peer"
    ] == [there]
    for peer in (here, here_too):
        with pytest.raises(TorbizError) as caught:
            plan(facts=DESKTOP, spec=replace(SPEC, initial_peers=(peer,)))
        assert caught.value.code == "docker_loopback_peer"
    made = plan(spec=replace(SPEC, initial_peers=(here,)))
    assert here in made.command


@pytest.mark.usefixtures("person")
def test_where_a_model_folder_is_inside(tmp_path: Path) -> None:
    demo = plan(spec=replace(SPEC, source=str(demo_model())))
    assert seeder(demo)[3] == "/app/scripts/demo_model"
    mine = plan(spec=replace(SPEC, source=str(tmp_path)))
    assert seeder(mine)[3] == "/app/model"
    assert Mount(tmp_path, "/app/model", read_only=True) in mine.mounts
    snapshot = "hub/models--a--b/snapshots/1"
    cached = plan(spec=replace(SPEC, source=f"/home/ada/.cache/huggingface/{snapshot}"))
    assert seeder(cached)[3] == f"/root/.cache/huggingface/{snapshot}"
    assert len(cached.mounts) == 4


@pytest.mark.usefixtures("person")
def test_gpus_go_to_who_can_give_them() -> None:
    nvidia = replace(ENGINE, nvidia=True)
    assert option(plan(), "--gpus") == []
    assert option(plan(facts=nvidia), "--gpus") == ["all"]
    assert option(plan(facts=nvidia, docker__gpus="none"), "--gpus") == []
    assert option(plan(facts=nvidia, spec=replace(SPEC, device="cpu")), "--gpus") == []
    podman = replace(nvidia, name="Podman", podman=True)
    assert option(plan(facts=podman), "--device") == ["nvidia.com/gpu=all"]
    for refused in ({"spec": replace(SPEC, device="cuda:0")}, {"docker__gpus": "all"}):
        with pytest.raises(TorbizError) as caught:
            plan(**refused)
        assert caught.value.code == "docker_no_gpu_toolkit"


@pytest.mark.usefixtures("person")
def test_what_goes_in_from_the_environment(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("x")
    made = plan(
        environ={
            "HF_ENDPOINT": "http://hub.example",
            "HTTPS_PROXY": "http://ada:secret@proxy.example:3128",
            "HTTP_PROXY": "http://proxy.example:3128",
            "REQUESTS_CA_BUNDLE": str(bundle),
            "HF_TOKEN": "hf_neverInThere",
        },
        tokens={"hf_token": Path("/h/hf_token"), "node_token": Path("/h/node_token")},
    )
    assert made.environment["HF_ENDPOINT"] == "http://hub.example"
    assert made.environment["HTTP_PROXY"] == "http://proxy.example:3128"
    assert made.environment["SSL_CERT_FILE"] == "/app/certificates.pem"
    assert made.environment["HF_TOKEN_PATH"] == "/run/secrets/hf_token"
    assert "--node-token-file /run/secrets/node_token" in " ".join(made.command)
    shown = made.command_text()
    assert "secret@" not in shown
    assert "neverInThere" not in shown


@pytest.mark.usefixtures("person")
def test_when_it_serves_is_as_without_a_container() -> None:
    def supervision(**settings: Any) -> tuple[str, ...]:
        made = plan(replace(SPEC, **settings))
        return made.command[2 : made.command.index("--tell")]

    assert supervision() == ("--restart",)
    given: dict[str, Any] = {
        "restart_on_crash": False,
        "hours": "22:00-07:00",
        "mains_only": True,
        "pause_when_busy": 40,
    }
    wanted = ("--hours", "22:00-07:00", "--mains-only", "--pause-above", "40")
    assert supervision(**given) == wanted
    assert plan().environment["TZ"]
    assert plan(environ={"TZ": "Asia/Kolkata"}).environment["TZ"] in ("IST-5:30", "Asia/Kolkata")


@pytest.mark.parametrize(
    ("footer", "zone"),
    [
        (b"CET-1CEST,M3.5.0,M10.5.0/3", "CET-1CEST,M3.5.0,M10.5.0/3"),
        # Files of old systems, and none at all: today's offset.
        (None, "<+0000>-00:00"),
    ],
)
def test_the_time_zone_needs_no_files_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, footer: bytes | None, zone: str
) -> None:
    file = tmp_path / "localtime"
    version = b"2" if footer else b"\0"
    file.write_bytes(b"TZif" + version + bytes(100) + b"\n" + (footer or b"") + b"\n")
    monkeypatch.setattr(time, "localtime", lambda: time.gmtime(0))
    assert time_zone.posix_zone({}, file) == zone
    assert time_zone.posix_zone({"TZ": f":{file}"}, tmp_path / "none") == zone
    assert time_zone.posix_zone({"TZ": "AEST-10"}, file) == "AEST-10"
    assert time_zone.posix_zone({"TZ": ""}, file) == "UTC0"


@pytest.mark.usefixtures("person")
def test_limits_and_odd_paths() -> None:
    made = plan(home=Path("/home/a:b/t"), docker__memory=400_000_000, docker__cpus=1.5)
    assert option(made, "--memory") == option(made, "--memory-swap") == ["400000000"]
    assert option(made, "--cpus") == ["1.5"]
    assert made.host_arguments()["nano_cpus"] == 1_500_000_000
    assert "type=bind,source=/home/a:b/t/logs,target=/root/.torbiz/logs" in option(made, "--mount")
    made = plan(home=Path("/home/a:b,c"), tokens={"hf_token": Path("/h/hf_token")})
    assert 'type=bind,"source=/home/a:b,c/logs",target=/root/.torbiz/logs' in option(
        made, "--mount"
    )
    # The engine would make a folder of a missing file that is named with --volume.
    assert option(made, "--mount")[-1] == (
        "type=bind,source=/h/hf_token,target=/run/secrets/hf_token,readonly"
    )


def test_an_engine_elsewhere_is_refused() -> None:
    with pytest.raises(TorbizError) as caught:
        plan(facts=replace(ENGINE, local=False))
    assert caught.value.code == "docker_remote"


def inspected(status: str = "running", **config: Any) -> dict[str, Any]:
    return {
        "Id": "c" * 64,
        "Name": "/torbiz-petals-seeder",
        "Created": "2026-01-02T03:04:05.123456789Z",
        "State": {"Status": status, "StartedAt": "2026-01-02T03:04:06.5Z", "ExitCode": 137},
        "Config": {"Image": "debian", "Cmd": ["sleep", "9"], **config},
        "HostConfig": {"Memory": 0},
    }


def test_a_spec_survives_its_label() -> None:
    spec = replace(
        SPEC, initial_peers=("/ip4/192.0.2.7/tcp/1",), throughput="7", update_period_s=10
    )
    labels = dict(plan(spec=spec).labels)
    record = record_of(inspected(Labels=labels), "docker")
    assert record.spec == spec
    assert (record.container, record.id, record.pid) == ("torbiz-petals-seeder", "c" * 64, None)
    assert state_of(inspected(Labels=labels)).owner is Owner.OURS
    # One that an earlier version started as the configuration says, without a word in the label.
    labels["torbiz-tui.spec"] = '{"model": "m", "source": "s", "num_blocks": 2}'
    share = ShareConfig(mains_only=True)
    assert record_of(inspected(Labels=labels), "docker", share).spec.mains_only
    # One that a later version wrote, or somebody else.
    labels["torbiz-tui.spec"] = '{"model": "m", "source": "s", "num_blocks": 2, "later": [1]}'
    assert record_of(inspected(Labels=labels), "docker").spec == ServerSpec("m", "s", 2)
    labels["torbiz-tui.spec"] = "[]"
    assert record_of(inspected(Labels=labels), "docker").spec.model == "an unknown model"


@pytest.mark.parametrize(
    "command",
    [
        {"Cmd": ["python3", "/app/scripts/run_petals_seeder.py", "--model-name", "a/b"]},
        {"Cmd": ["sh", "-c", "python3 /app/scripts/run_petals_seeder.py --model-name a/b"]},
        {"Entrypoint": ["python3"], "Cmd": ["/s/run_petals_seeder.py", "--model-name=a/b"]},
    ],
)
def test_torbiz_desktops_container_is_known_by_its_command(command: dict[str, Any]) -> None:
    token = "the-node-token"
    command = {key: list(value) for key, value in command.items()}
    if command["Cmd"][0] == "sh":
        command["Cmd"][-1] += f" --node-token {token} --port 4000"
    else:
        command["Cmd"] += ["--node-token", token, "--port", "4000"]
    data = inspected(**command)
    assert state_of(data).owner is Owner.NAMED
    record = record_of(data, "docker")
    assert (record.spec.model, record.spec.port) == ("a/b", 4000)
    assert token not in repr(record)


def test_states_of_both_engines() -> None:
    assert state_of(inspected("paused")).paused
    assert state_of(inspected("paused")).running
    ended = state_of(inspected("exited"))
    assert (ended.running, ended.exit_code) == (False, 137)
    assert state_of(inspected("created")).never_ran
    assert state_of(inspected("configured")).never_ran
    assert state_of(inspected()).exit_code is None
    assert state_of(inspected()).owner is Owner.OTHER
