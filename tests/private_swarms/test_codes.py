"""Invite codes: what goes in comes out, and what was damaged on the way is told exactly."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.private_swarms.peers import identity, peer
from torbiz_tui.errors import UsageError
from torbiz_tui.private_swarms.code_text import PREFIX, looks_like_code, unwrap, wrap
from torbiz_tui.private_swarms.invite import (
    Invite,
    InvitedModel,
    decode,
    encode,
    invited_model,
    make_invite,
    swarm_name,
)
from torbiz_tui.private_swarms.peer_address import Reach, for_others, read_peer, widest_reach

DEMO = InvitedModel("torbiz-demo", "torbiz-demo-hf")
SMALL = Invite((peer(1),), (DEMO,), "home")
LETTERS = string.ascii_letters + string.digits + "-_"

hosts = st.one_of(
    st.ip_addresses(v=4).filter(lambda ip: not (ip.is_unspecified or ip.is_multicast)),
    st.ip_addresses(v=6).filter(lambda ip: not (ip.is_unspecified or ip.is_multicast)),
).map(str)
ports = st.integers(1, 65_535)
ip_peers = st.builds(peer, st.integers(0, 5), hosts, ports)
other_peers = st.builds(
    lambda number, name, over: f"/dns4/{name}/{over}/p2p/{identity(number)}",
    st.integers(0, 5),
    st.sampled_from(["peer.example.org", "a", "x-1.example"]),
    st.sampled_from(["tcp/31337", "udp/4001/quic", f"tcp/1/p2p/{identity(9)}/p2p-circuit"]),
)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
models = st.builds(
    InvitedModel,
    st.one_of(names, st.builds("{}/{}".format, names, names)),
    names,
    st.sampled_from(["", "v1.0", "refs/pr/1"]),
)
invites = st.builds(
    make_invite,
    st.lists(st.one_of(ip_peers, other_peers), min_size=1, max_size=10).map(tuple),
    st.lists(models, max_size=4).map(tuple),
    st.one_of(st.just(""), names),
)


@given(invites)
def test_what_goes_in_comes_out(invite: Invite) -> None:
    code = encode(invite)
    assert decode(code) == invite
    assert looks_like_code(code)
    assert set(code) <= set(LETTERS), "a shell or a URL would need quotes"


def test_a_code_of_an_earlier_version_is_read_and_one_without_revisions_is_the_same() -> None:
    code = (
        "torbiz1-AEIEaG9tZQEKb3duZXIvbmFtZQRuLWhmASISIGuGsnP_NPzhnWuATv9aP1dHraTqoi8dScAeUt23h1tL"
        "AQTAAAIHemkGRmuc"
    )
    invite = Invite((peer(1),), (InvitedModel("owner/name", "n-hf"),), "home")
    assert decode(code) == invite
    assert encode(invite) == code


@given(invites, st.data())
@settings(max_examples=200, deadline=None)
def test_every_change_of_one_character_is_noticed(invite: Invite, data: st.DataObject) -> None:
    code = encode(invite)
    place = data.draw(st.integers(0, len(code) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda letter: letter != code[place]))
    with pytest.raises(UsageError):
        decode(code[:place] + other + code[place + 1 :])


def test_a_wrong_character_is_named_at_every_place() -> None:
    code = encode(SMALL)
    for place, right in enumerate(code):
        for other in LETTERS[place % 21 :: 21]:
            if other == right:
                continue
            with pytest.raises(UsageError) as caught:
                decode(code[:place] + other + code[place + 1 :])
            if place >= len(PREFIX):
                assert caught.value.code == "invite_mistyped"
                assert f"character {place + 1} is {other!r}" in caught.value.what
                assert repr(right) in caught.value.what


@given(invites, st.data())
@settings(deadline=None)
def test_every_cut_is_noticed(invite: Invite, data: st.DataObject) -> None:
    code = encode(invite)
    kept = data.draw(st.integers(0, len(code) - 1))
    with pytest.raises(UsageError) as caught:
        decode(code[:kept])
    if kept >= len(PREFIX) + 3:
        missing = len(code) - kept
        assert caught.value.code == "invite_cut"
        assert caught.value.why.startswith(f"{missing} character")


@given(st.text(max_size=60))
def test_any_text_is_refused_in_words(text: str) -> None:
    for given_text in (text, PREFIX + text):
        with pytest.raises(UsageError) as caught:
            decode(given_text)
        assert caught.value.what


@given(st.binary(max_size=120))
def test_any_content_under_a_right_checksum_is_an_invite_or_refused(content: bytes) -> None:
    """Whoever makes a code may put anything into it."""
    try:
        invite = decode(wrap(content))
    except UsageError as error:
        refused = error.code
    else:
        assert decode(encode(invite)) == invite
        refused = "invite_invalid"
    assert refused == "invite_invalid"


@pytest.mark.parametrize(
    ("damage", "code", "told"),
    [
        (lambda c: c[:-10], "invite_cut", "10 characters are missing"),
        (lambda c: c[:-1], "invite_cut", "1 character is missing"),
        (lambda c: c[:9], "invite_cut", "Its end is missing"),
        (lambda c: c + "xy", "invite_too_long", "2 characters too many at its end: 'xy'"),
        (lambda c: c[:20] + c[21] + c[20] + c[22:], "invite_mistyped", "21 and 22 are exchanged"),
        (lambda c: c[:20] + "%" + c[21:], "invite_mistyped", "Character 21 of the invite code"),
        (lambda c: c.replace("torbiz1", "torbiz2"), "invite_version", "reads version 1"),
        (lambda c: "Hello", "not_an_invite", "begins with torbiz1-"),
        (lambda c: "", "not_an_invite", "is no invite code"),
        (lambda c: PREFIX + "xxx", "invite_mistyped", "a length that no code has"),
        (lambda c: PREFIX + "A" * 5000, "invite_too_long", "5000 characters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(damage: object, code: str, told: str) -> None:
    assert callable(damage)
    with pytest.raises(UsageError) as caught:
        decode(damage(encode(SMALL)))
    assert caught.value.code == code
    assert told in f"{caught.value.what} {caught.value.why}"


def test_line_breaks_and_quotes_of_a_mail_are_no_harm() -> None:
    code = encode(SMALL)
    assert decode(f'  "{code[:40]}\r\n{code[40:]}".\n') == SMALL


def test_a_code_is_compact() -> None:
    assert len(encode(SMALL)) < 130


@pytest.mark.parametrize(
    "invite",
    [
        Invite(()),
        Invite(tuple(peer(number) for number in range(9))),
        Invite((peer(1),), (DEMO,) * 9),
        Invite((peer(1),), (InvitedModel("../../etc"),)),
        Invite((peer(1),), (InvitedModel("-rf"),)),
        Invite((peer(1),), (InvitedModel("a/b/c"),)),
        Invite((peer(1),), (InvitedModel("/etc"),)),
        Invite((peer(1),), (InvitedModel("m", "pre.fix"),)),
        Invite((peer(1),), (InvitedModel("a/m", "", "../v1"),)),
        Invite((peer(1),), (InvitedModel("m", "x" * 121),)),
        Invite((peer(1),), (DEMO,), "two words"),
        Invite(("/ip4/192.0.2.7/tcp/31337",)),
    ],
)
def test_what_no_code_may_hold(invite: Invite) -> None:
    with pytest.raises(UsageError) as caught:
        encode(invite)
    assert caught.value.code == "invite_invalid"


@pytest.mark.parametrize(
    "address",
    [
        "/ip4/256.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/1", "/ip4/224.0.0.1/tcp/1", "/ip4/1.2.3/tcp/1",
        "/ip6/::/tcp/1", "/ip6/fe80::1%eth0/tcp/1", "/dns4/a..b/tcp/1", "/dns4/-a/tcp/1",
        "/dns4/a b/tcp/1", "/unix/a/tcp/1", "/ip4/1.2.3.4/tcp/0", "/ip4/1.2.3.4/tcp/65536",
        "/ip4/1.2.3.4/tcp/01", "/ip4/1.2.3.4/sctp/1", "/ip4/1.2.3.4/tcp/1/rm -rf", "ip4/1.2.3.4/tcp/1",
        "/ip4/1.2.3.4/tcp/1/p2p", "/ip4/1.2.3.4/tcp", "", "/ip4/\u0661.2.3.4/tcp/1",
    ],
)  # fmt: skip
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError):
        read_peer(f"{address}/p2p/{identity(1)}")


@pytest.mark.parametrize("name", ["", "Qm", identity(1)[:-1], identity(1) + "1", "0" * 46])
def test_identities_that_are_none(name: str) -> None:
    with pytest.raises(ValueError):
        read_peer(f"/ip4/1.2.3.4/tcp/1/p2p/{name}")


def test_identities_of_every_kind_of_key() -> None:
    for name in (
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
        "16Uiu2HAmDWe6FLD9t73f6kUzgBLcaaJV4A9PdvCq8bS6mZ6yrSpv",
    ):
        assert read_peer(f"/ip4/1.2.3.4/tcp/1/p2p/{name}").peer_id == name


def test_friends_get_the_addresses_that_they_reach() -> None:
    loopback, home, outer = peer(1, "127.0.0.1"), peer(1, "192.168.1.5"), peer(1, "198.51.100.4")
    assert for_others((loopback, home, outer), 8) == (outer, home)
    assert for_others((loopback,), 8) == (loopback,)
    assert for_others(("/ip4/1.2.3.4/tcp/1/p2p/Qm", "nonsense"), 8) == ()
    assert widest_reach((loopback, peer(1, "::1"))) is Reach.LOOPBACK
    assert widest_reach((loopback, home)) is Reach.LOCAL_NETWORK
    assert widest_reach((peer(1, "100.64.3.4"), peer(1, "fd00::1"))) is Reach.LOCAL_NETWORK
    assert widest_reach((home, outer)) is Reach.PUBLIC


def test_a_folder_travels_by_its_name_only() -> None:
    assert invited_model("/home/me/my llama", "p") == InvitedModel("my-llama", "p")
    assert invited_model("owner/name", "") == InvitedModel("owner/name", "")
    assert swarm_name("petals-team/StableBeluga2") == "StableBeluga2"
    assert swarm_name("///") == "swarm"


def test_an_unknown_part_is_from_a_later_version() -> None:
    with pytest.raises(UsageError, match="more in it than this version knows"):
        decode(wrap(unwrap(encode(SMALL)) + b"\1"))
