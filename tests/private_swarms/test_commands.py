"""The commands about private swarms, on scripted services."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.fakes import Scene, serving
from tests.private_swarms.peers import peer
from torbiz_tui.cli import main
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.parser import parse
from torbiz_tui.environments.base import RunnerCommand
from torbiz_tui.errors import ExitCode
from torbiz_tui.inference.events import AnswerDone, TokenReceived
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.bootstrap import BootstrapEvent, Peers, Ready
from torbiz_tui.private_swarms.invite import Invite, InvitedModel, decode, encode
from torbiz_tui.private_swarms.known import KnownModel, KnownSwarm, KnownSwarms

DEMO = InvitedModel("torbiz-demo", "torbiz-demo-hf")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[RunnerCommand]:
    """How bootstrap nodes were started; each one tells where it is, and who has joined."""
    commands: list[RunnerCommand] = []

    async def run(_driver: object, command: RunnerCommand) -> AsyncIterator[BootstrapEvent]:
        commands.append(command)
        yield Ready((peer(7),))
        yield Peers(1, (peer(8),))

    monkeypatch.setattr("torbiz_tui.commands.bootstrap.run_bootstrap", run)
    return commands


def code(*models: InvitedModel, peers: tuple[str, ...] = (peer(1),), name: str = "") -> str:
    return encode(Invite(peers, models or (DEMO,), name))


def test_the_invite_of_the_running_share(scene: Scene, capsys: Capture) -> None:
    scene.state = serving(address=peer(1))
    assert main(["invite", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    invite = decode(shown["code"])
    assert invite.peers == (peer(1),)
    assert [model.name for model in invite.models] == ["torbiz-demo"]
    assert shown["initial_peers"] == [peer(1)]
    assert shown["reach"] == "public"
    assert main(["invite", "--code"]) == 0
    assert capsys.readouterr().out.strip() == shown["code"]
    assert main(["invite", "--line"]) == 0
    assert (
        capsys.readouterr().out.strip() == f"torbiz-tui share torbiz-demo --initial-peer {peer(1)}"
    )
    assert main(["invite"]) == 0
    words = capsys.readouterr().out
    assert words.splitlines()[0] == shown["code"]
    assert "ask --join CODE" in words
    assert "no token" in words


def test_no_token_is_in_a_code(
    scene: Scene, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    monkeypatch.setenv("TORBIZ_NODE_TOKEN", "node-secret-token")
    scene.state = serving(address=peer(1))
    assert main(["invite", "--json"]) == 0
    assert "secret" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.1", "A friend cannot reach 127.0.0.1"),
        ("192.168.1.5", "Forward TCP port 31337 of your router"),
        ("192.0.2.7", ""),
    ],
)
def test_who_cannot_use_the_invite_is_told(
    scene: Scene, capsys: Capture, host: str, told: str
) -> None:
    scene.state = serving(address=peer(1, host))
    assert main(["invite"]) == 0
    said = capsys.readouterr().err
    assert told in said
    assert bool(said) == bool(told)


def test_nothing_to_invite_to(scene: Scene, capsys: Capture) -> None:
    assert main(["invite"]) == ExitCode.FAILED
    assert "Nothing is shared" in capsys.readouterr().err
    state = serving(address=peer(1))
    assert state.spec is not None
    scene.state = replace(state, spec=replace(state.spec, new_swarm=False))
    assert main(["invite"]) == ExitCode.USAGE
    assert "public swarm" in capsys.readouterr().err
    # The call is right, it only comes too early.
    scene.state = replace(state, addresses=())
    assert main(["invite", "--json"]) == ExitCode.FAILED
    assert "Wait until it serves" in capsys.readouterr().err


def test_what_a_code_holds(home: Path, capsys: Capture) -> None:
    assert main(["invite", code(name="friends")]) == 0
    out = capsys.readouterr().out
    for word in ("friends", "torbiz-demo", "torbiz-demo-hf", peer(1)):
        assert word in out
    assert not home.exists()
    assert main(["invite", code()[:-3]]) == ExitCode.USAGE
    assert "3 characters are missing" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--join", "--initial-peer"])
def test_a_code_stands_for_its_peers_and_its_model(scene: Scene, option: str) -> None:
    scene.becomes = serving()
    assert main(["share", option, code(name="friends")]) == 0
    assert scene.sharing is not None
    request = scene.sharing.started
    assert request is not None
    assert request.model == "torbiz-demo"
    assert request.initial_peers == (peer(1),)
    assert not request.new_swarm
    assert request.swarm_name == "friends"
    assert scene.config is not None
    assert scene.config.swarm.dht_prefix == "torbiz-demo-hf"


def test_a_code_beside_an_address(scene: Scene) -> None:
    assert main(["share", "--initial-peer", code(), "--initial-peer", peer(2)]) == 0
    assert scene.config is not None
    assert scene.config.swarm.initial_peers == (peer(1), peer(2))


def test_a_copy_in_another_folder_serves_the_blocks_of_the_code(
    scene: Scene, tmp_path: Path
) -> None:
    llama = code(InvitedModel("my-llama", "my-llama-hf"))
    assert main(["share", f"{tmp_path}/my-llama", "--join", llama]) == 0
    assert scene.config is not None
    assert scene.config.swarm.dht_prefix == "my-llama-hf"
    # Another model joins the same swarm under its own name.
    assert main(["share", f"{tmp_path}/other", "--join", llama]) == 0
    assert scene.config.swarm.dht_prefix == ""


def test_a_model_that_is_in_no_hub_has_to_be_here(
    scene: Scene, home: Path, capsys: Capture
) -> None:
    llama = code(InvitedModel("my-llama", "my-llama-hf"))
    assert main(["ask", "--join", llama, "Hello"]) == ExitCode.USAGE
    assert "models/my-llama" in capsys.readouterr().err
    (home / "models" / "my-llama").mkdir(parents=True)
    (home / "models" / "my-llama" / "config.json").write_text("{}")
    main(["ask", "--join", llama, "Hello"])
    assert scene.config is not None
    assert scene.config.model == "my-llama"


def test_a_friend_hosts_and_asks_the_weights_that_the_code_names(scene: Scene, home: Path) -> None:
    home.mkdir()
    (home / "config.yaml").write_text(
        "model: owner/name\nask: {revision: old}\n"
        "share: {petals_options: [num_handlers=3, revision=old]}\n"
    )
    joining = ["--join", code(InvitedModel("owner/name", "", "v1.0"))]
    assert main(["share", *joining]) == 0
    assert scene.config is not None
    assert scene.config.share.petals_options == ("num_handlers=3", "revision=v1.0")
    scene.events = (TokenReceived("Hi"), AnswerDone("stop", 1, 0, 1, 0.1, 9.0))
    assert main(["ask", *joining, "Hello"]) == 0
    assert scene.config.ask.revision == "v1.0"
    (known,) = KnownSwarms(Paths(home)).all()
    assert known.models == (KnownModel("owner/name", "", "", "v1.0"),)
    # What is named on the command line goes before, and another model has no such revision.
    for arguments in (["--petals", "revision=v2"], ["other/name"]):
        assert main(["share", *arguments, *joining]) == 0
        assert "revision=v1.0" not in scene.config.share.petals_options


def test_a_known_swarm_is_joined_with_the_weights_that_it_serves(
    scene: Scene, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(home, replace(MINE, models=(KnownModel("owner/name", "", "", "v1.0"),)))
    answers(monkeypatch, peer(2, port=4))
    assert main(["share", "--swarm", "home"]) == 0
    assert scene.config is not None
    assert scene.config.share.petals_options == ("revision=v1.0",)


def test_the_invite_of_a_revision_names_it(scene: Scene, capsys: Capture) -> None:
    state = serving("owner/name", peer(1))
    assert state.spec is not None
    spec = replace(state.spec, petals_options=("num_handlers=3", "revision=v1.0"))
    scene.state = replace(state, spec=spec)
    assert main(["invite", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["models"] == [{"name": "owner/name", "dht_prefix": None, "revision": "v1.0"}]
    line = f"torbiz-tui share owner/name --petals revision=v1.0 --initial-peer {peer(1)}"
    assert shown["share_line"] == line
    assert main(["invite", shown["code"]]) == 0
    assert "owner/name at revision v1.0" in capsys.readouterr().out


def test_one_of_several_models_has_to_be_named(scene: Scene, capsys: Capture) -> None:
    two = code(DEMO, InvitedModel("owner/name"))
    assert main(["share", "--join", two]) == ExitCode.USAGE
    assert "torbiz-demo, owner/name" in capsys.readouterr().err
    assert main(["share", "owner/name", "--join", two]) == 0
    assert scene.config is not None
    assert scene.config.swarm.dht_prefix == ""


def test_a_code_of_an_earlier_version_beside_one_that_names_the_revision(scene: Scene) -> None:
    earlier = code(InvitedModel("owner/name"), peers=(peer(2),))
    now = code(InvitedModel("owner/name", "", "v1.0"))
    assert main(["share", "--initial-peer", earlier, "--initial-peer", now]) == 0
    assert scene.config is not None
    assert scene.config.model == "owner/name"
    assert scene.config.share.petals_options == ("revision=v1.0",)


@pytest.mark.parametrize("named", [["owner/name"], ["--model", "owner/name"]])
def test_the_map_of_one_of_several_models(named: list[str]) -> None:
    two = code(DEMO, InvitedModel("owner/name"))
    config = Call(parse(["swarm", *named, "--join", two])).loaded.config
    assert config.model == "owner/name"
    assert config.swarm.initial_peers == (peer(1),)


def test_a_model_in_a_folder_is_found_by_its_name_in_a_known_swarm(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my-llama"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    models = (KnownModel("torbiz-demo"), KnownModel("my-llama", "", str(folder)))
    remember(home, replace(MINE, models=models))
    answers(monkeypatch, peer(2, port=4))
    for command in (["swarm"], ["ask", "--model"]):
        config = Call(parse([*command, "my-llama", "--swarm", "home"])).loaded.config
        assert config.model == str(folder)


@pytest.mark.parametrize("command", ["share", "ask", "api"])
def test_a_damaged_code_starts_nothing(scene: Scene, capsys: Capture, command: str) -> None:
    words = ["Hello"] if command == "ask" else []
    assert main([command, *words, "--join", code()[:-4]]) == ExitCode.USAGE
    assert "4 characters are missing" in capsys.readouterr().err
    assert scene.config is None


def test_a_code_of_loopback_is_for_its_own_machine(scene: Scene, capsys: Capture) -> None:
    assert main(["share", "--join", code(peers=(peer(1, "127.0.0.1"),))]) == 0
    assert "works on that machine alone" in capsys.readouterr().err


def test_a_swarm_that_answered_is_known(scene: Scene, home: Path, capsys: Capture) -> None:
    scene.events = (TokenReceived("Hi"), AnswerDone("stop", 1, 0, 1, 0.1, 9.0))
    home.mkdir()
    (home / "run").mkdir()
    assert main(["ask", "--no-history", "--join", code(name="friends"), "Hello"]) == 0
    capsys.readouterr()
    assert main(["swarms", "--json"]) == 0
    (known,) = json.loads(capsys.readouterr().out)["swarms"]
    assert known["name"] == "friends"
    assert known["initial_peers"] == [peer(1)]
    assert known["models"] == [
        {"name": "torbiz-demo", "dht_prefix": "torbiz-demo-hf", "revision": None}
    ]
    assert not known["started_here"]
    assert main(["swarms"]) == 0
    assert "friends" in capsys.readouterr().out
    assert main(["swarms", "forget", "friends"]) == 0
    assert KnownSwarms(Paths(home)).all() == []


def remember(home: Path, swarm: KnownSwarm) -> None:
    Paths(home).ensure()
    KnownSwarms(Paths(home)).remember(swarm)


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Only these addresses take a connection."""
    monkeypatch.setattr(
        "torbiz_tui.private_swarms.dialling.answering",
        lambda tried: tuple(address for address in tried if address in addresses),
    )


MINE = KnownSwarm(
    "home", (KnownModel("torbiz-demo"),), (peer(2, port=4),), (peer(1, port=5123),), True, 5.0
)


def test_a_swarm_that_began_here_begins_again_at_its_address(
    scene: Scene, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    remember(home, MINE)
    answers(monkeypatch)
    assert main(["share", "--swarm", "home"]) == 0
    assert scene.sharing is not None
    request = scene.sharing.started
    assert request is not None
    assert request.new_swarm
    assert request.port == 5123
    assert request.model == "torbiz-demo"
    assert "begins anew" in capsys.readouterr().err


def test_it_joins_the_others_when_they_are_still_there(
    scene: Scene, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(home, MINE)
    answers(monkeypatch, peer(2, port=4))
    assert main(["share", "--swarm", "home", "--port", "7000"]) == 0
    assert scene.sharing is not None
    request = scene.sharing.started
    assert request is not None
    assert request.initial_peers == (peer(2, port=4),)
    assert not request.new_swarm
    assert request.port == 7000


def test_a_known_swarm_that_nobody_answers_in(
    scene: Scene, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    remember(home, replace(MINE, own=(), started_here=False))
    answers(monkeypatch)
    for command in (["share"], ["ask", "Hello"]):
        assert main([*command, "--swarm", "home"]) == ExitCode.FAILED
        assert "None of the 1 known addresses of the swarm home answers" in capsys.readouterr().err
    assert main(["share", "--swarm", "nobody"]) == ExitCode.USAGE
    assert "Known are: home" in capsys.readouterr().err


def test_a_new_swarm_gets_its_name(scene: Scene) -> None:
    assert main(["share", "torbiz-demo", "--new-swarm", "--swarm", "club"]) == 0
    assert scene.sharing is not None
    assert scene.sharing.started is not None
    assert scene.sharing.started.swarm_name == "club"
    assert main(["share", "torbiz-demo", "--new-swarm", "--swarm", "no name"]) == ExitCode.USAGE


@pytest.mark.usefixtures("scene")
def test_a_node_without_a_name_calls_only_the_friends_of_its_own_swarm(
    home: Path, started: list[RunnerCommand], capsys: Capture
) -> None:
    # Somebody else's node had no name either.
    remember(home, KnownSwarm("swarm", peers=(peer(2),), last_seen=5.0))
    for _ in range(2):
        assert main(["bootstrap"]) == 0
    first, second = (command.arguments for command in started)
    assert "--known-peer" not in first
    assert peer(2) not in second
    assert {peer(7), peer(8)} <= set(second)
    assert "swarm-2" in capsys.readouterr().err + str(KnownSwarms(Paths(home)).all())


@pytest.mark.usefixtures("scene")
def test_a_node_starts_where_nothing_can_be_remembered(
    home: Path, started: list[RunnerCommand], capsys: Capture
) -> None:
    Paths(home).ensure()
    Paths(home).state_file.mkdir()
    assert main(["bootstrap"]) == 0
    assert len(started) == 1
    said = capsys.readouterr()
    assert "The friends of before are not called" in said.err
    assert "torbiz1-" in said.out
