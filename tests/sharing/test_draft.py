"""What is typed into the form of Share: refused at its field, or made into a request."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.private_swarms.peers import peer
from torbiz_tui.catalogue import demo_info
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms import dialling
from torbiz_tui.private_swarms.finding import FoundSwarm, find_again, require_at_hand
from torbiz_tui.private_swarms.invite import Invite, InvitedModel, encode
from torbiz_tui.private_swarms.known import KnownModel, KnownSwarm
from torbiz_tui.sharing.changes import changes
from torbiz_tui.sharing.draft import (
    JOIN,
    NEW,
    PUBLIC,
    ShareDraft,
    draft_of,
    in_swarm,
    models_of_swarm,
    placed_in,
    problems_of,
    request_from,
)
from torbiz_tui.sharing.hub_token import secrets_for_server, token_origin
from torbiz_tui.sharing.request import ShareRequest, make_spec, request_of
from torbiz_tui.sharing.when_served import goes_on, pauses_at

BASE = ShareRequest("torbiz-demo", new_swarm=True, loopback=True)
CODE = encode(Invite((peer(1), peer(2)), (InvitedModel("my-llama", "their-llama-hf"),), "club"))
FRIENDS = KnownSwarm(
    "friends",
    (KnownModel("my-llama", "my-llama-hf", "/models/my-llama"),),
    peers=(peer(1),),
    own=(peer(9, port=31400),),
)
KNOWN = {"friends": FRIENDS}


def test_what_is_filled_in_asks_for_the_same() -> None:
    full = ShareRequest(
        "owner/model",
        blocks="2:6",
        device="cuda:1",
        torch_dtype="float16",
        quantization="nf4",
        throughput="eval",
        port=31400,
        initial_peers=(peer(1),),
        public_name="ada",
        announce_maddrs=("/ip4/192.0.2.9/tcp/31400",),
        attn_cache_tokens=2048,
        swarm_name="club",
        dht_prefix="theirs",
        anyway=True,
        allow_pickled=True,
        hours="22:00-07:00",
        mains_only=True,
        pause_when_busy=40,
        reserve_percent=0,
        restart_on_crash=False,
        petals_options=("adapters=a/b c/d", "no_auto_relay=true", "num_handlers=3"),
    )
    for request in (BASE, full, ShareRequest("owner/model")):
        assert request_from(draft_of(request, {}), request, {}) == request


def test_every_setting_of_a_request_is_in_the_form_or_carried_along() -> None:
    carried = {"loopback", "anyway", "allow_pickled", "dht_prefix", "petals_options"}
    elsewhere = {
        "new_swarm": "swarm",
        "initial_peers": "peers",
        "announce_maddrs": "announce",
        "attn_cache_tokens": "cache_tokens",
    }
    typed = {field.name for field in fields(ShareDraft)}
    for field in fields(ShareRequest):
        assert field.name in carried or elsewhere.get(field.name, field.name) in typed


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model", " ", "Name a model"),
        ("blocks", "8:3", "torbiz-demo, which has 8"),
        ("port", "0", "A number from 1 to 65535."),
        ("cache_tokens", "lots", "a whole number from 16"),
        ("throughput", "-1", "a number above 0"),
        ("public_name", "a\x07b", "printable"),
        ("hours", "10 to 12", "hours such as 22:00-07:00, or nothing"),
        ("pause_when_busy", "100", "from 5 to 95, or nothing"),
        ("reserve_percent", "", "a whole number from 0 to 90"),
        ("petals_options", "num_handlers=3 num_handler=4", "num_handler"),
        ("announce", "192.0.2.9", "192.0.2.9 is not accepted"),
        ("swarm_name", "a b", "Letters, digits"),
        ("peers", "", "an address or a code"),
        ("peers", "192.0.2.7:31337", "is no address; they begin with /ip4/"),
        ("peers", CODE[:-4], "characters are missing"),
    ],
)
def test_what_is_wrong_is_said_of_its_field(field: str, value: str, message: str) -> None:
    draft = replace(draft_of(BASE, {}), swarm=JOIN, peers=peer(1))
    problems = problems_of(replace(draft, **{field: value}), demo_info())  # type: ignore[arg-type]
    assert list(problems) == [field]
    assert message in problems[field]


def test_an_invite_code_brings_peers_the_name_and_what_the_blocks_are_called() -> None:
    typed = "/ip4/192.0.2.8/tcp/1/p2p/QmOther"
    draft = replace(draft_of(BASE, {}), swarm=JOIN, peers=f"{CODE}, {typed}")
    assert [model.name for model in models_of_swarm(draft, {})] == ["my-llama"]
    request = request_from(replace(draft, model="/elsewhere/my-llama"), BASE, {})
    assert request.initial_peers == (peer(1), peer(2), typed)
    assert (request.swarm_name, request.dht_prefix) == ("club", "their-llama-hf")
    assert not request.new_swarm
    assert not request.loopback
    assert request_from(draft, BASE, {}).dht_prefix == ""


def test_a_known_swarm_is_chosen_by_its_name_and_found_by_who_answers() -> None:
    draft = replace(draft_of(BASE, KNOWN), swarm=in_swarm("friends"), model="/models/my-llama")
    request = request_from(draft, BASE, KNOWN)
    assert request.swarm_name == "friends"
    assert request.dht_prefix == "my-llama-hf"
    assert placed_in(request, FoundSwarm((peer(5),))).initial_peers == (peer(5),)
    anew = placed_in(request, FoundSwarm(begins=True))
    assert anew.new_swarm
    assert anew.initial_peers == ()
    assert draft_of(request, KNOWN).swarm == in_swarm("friends")


def test_what_was_agreed_to_for_one_model_does_not_hold_for_another() -> None:
    agreed = replace(BASE, anyway=True, allow_pickled=True, dht_prefix="theirs")
    other = request_from(replace(draft_of(agreed, {}), model="owner/other"), agreed, {})
    assert not other.anyway
    assert not other.allow_pickled
    assert other.dht_prefix == ""


def test_a_swarm_is_found_again_begun_anew_or_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[str] = [peer(1)]
    monkeypatch.setattr(
        dialling, "answering", lambda asked: tuple(one for one in asked if one in reached)
    )
    assert find_again(FRIENDS, hosting=True) == FoundSwarm((peer(1),))
    reached[:] = [peer(9, port=31400)]
    assert find_again(FRIENDS, hosting=False).peers == tuple(reached)
    with pytest.raises(TorbizError, match="None of the 1 known addresses of the swarm friends"):
        find_again(FRIENDS, hosting=True)
    begun = find_again(replace(FRIENDS, started_here=True), hosting=True)
    assert begun.begins
    assert "begins anew with this machine" in begun.note


def test_a_friends_model_has_to_lie_here(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    with pytest.raises(TorbizError, match="The swarm serves my-llama"):
        require_at_hand("my-llama", paths)
    (paths.models / "my-llama").mkdir(parents=True)
    (paths.models / "my-llama" / "config.json").touch()
    require_at_hand("my-llama", paths)
    require_at_hand("owner/of-the-hub", paths)


def test_a_running_server_is_asked_for_as_it_is() -> None:
    request = replace(
        BASE,
        blocks="2:6",
        port=31400,
        swarm_name="club",
        hours="22:00-07:00",
        mains_only=True,
        pause_when_busy=40,
        reserve_percent=30,
        restart_on_crash=False,
        petals_options=("num_handlers=3",),
    )
    again = request_of(make_spec(request, demo_info()))
    assert make_spec(again, demo_info()) == make_spec(request, demo_info())


def test_a_restart_says_what_it_changes() -> None:
    assert changes(BASE, BASE) == []
    after = replace(BASE, blocks="0:4", port=31338, public_name="ada", attn_cache_tokens=512)
    assert changes(BASE, after, (0, 8)) == [
        "blocks 0:8 → 0:4",
        "port 31337 → 31338",
        "public name none → ada",
        "attention cache left to Petals → 512",
    ]
    assert changes(BASE, replace(BASE, blocks="0:8"), (0, 8)) == []
    when = replace(
        BASE, hours="22:00-07:00", mains_only=True, restart_on_crash=False, reserve_percent=30
    )
    assert changes(BASE, when) == [
        "percent of memory kept back 20 → 30",
        "hours always → 22:00-07:00",
        "on the battery it goes on → pauses",
        "after a crash it starts again → stays ended",
    ]
    public = replace(BASE, new_swarm=False, loopback=False)
    assert changes(BASE, public) == ["a private swarm of its own → the public swarm"]
    named = replace(BASE, swarm_name="friends")
    joined = replace(named, new_swarm=False, initial_peers=(peer(1),))
    assert changes(named, joined) == []


def test_when_a_server_pauses_is_said_in_plain_words() -> None:
    always = make_spec(BASE, demo_info())
    assert pauses_at(always) == ""
    night = replace(always, hours="22:00-07:00", mains_only=True, pause_when_busy=40)
    assert pauses_at(night) == (
        "outside of 22:00-07:00, on the battery, while others use over 40% CPU"
    )
    assert goes_on(night, "it serves at 22:00-07:00 only") == "It goes on by itself at 22:00."
    assert "as soon as that is over" in goes_on(night, "the machine runs on its battery")


def test_a_typed_token_goes_before_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_fromthefile\n")
    home = {"HF_HOME": str(tmp_path)}
    given = {"HUGGING_FACE_HUB_TOKEN": "hf_given", "TORBIZ_NODE_TOKEN": "node", "PATH": "/bin"}
    assert token_origin(given | home) == "taken from the environment"
    assert token_origin(home) == "from the hub's token file"
    assert token_origin({"HF_HOME": str(tmp_path / "none")}) == ""
    secrets = secrets_for_server(given, "hf_typed")
    assert secrets == {
        "HUGGING_FACE_HUB_TOKEN": "hf_given",
        "TORBIZ_NODE_TOKEN": "node",
        "HF_TOKEN": "hf_typed",
    }
    # A process reads the file itself; a container does not see it.
    assert secrets_for_server(home) == {}
    assert secrets_for_server(home, in_container=True) == {"HF_TOKEN": "hf_fromthefile"}
    assert "HF_TOKEN" not in secrets_for_server(given | home, in_container=True)


def test_the_choices_of_a_swarm() -> None:
    assert draft_of(BASE, {}).swarm == NEW
    assert draft_of(ShareRequest("m"), {}).swarm == PUBLIC
    assert draft_of(ShareRequest("m", initial_peers=(peer(1),)), {}).swarm == JOIN
