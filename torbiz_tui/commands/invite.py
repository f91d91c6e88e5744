"""`invite`: what a friend needs to join the swarm that this machine hosts in."""

from __future__ import annotations

from torbiz_tui.assembly import Services
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import PROGRAM, tell, write_json, write_line
from torbiz_tui.errors import ExitCode, TorbizError, UsageError
from torbiz_tui.private_swarms.invite import Invite, InvitedModel, decode, encode
from torbiz_tui.private_swarms.peer_address import Reach, read_peer, widest_reach
from torbiz_tui.sharing.inviting import ask_line, invite_of, share_line
from torbiz_tui.sharing.state import SharingState


def run(call: Call) -> int:
    """Print the invite of the running share, or what a given code holds."""
    if call.options.code_text is not None:
        _explain(call.options.code_text, in_json=call.options.json)
        return ExitCode.OK

    async def show(services: Services) -> int:
        state = await services.sharing.attach()
        invite = _invite(state)
        for note in notes_for_host(invite):
            tell(note)
        if call.options.json:
            write_json(as_json(invite))
        elif call.options.line:
            write_line(line_of(invite))
        elif call.options.code:
            write_line(encode(invite))
        else:
            for line in in_words(invite):
                write_line(line)
        return ExitCode.OK

    return call.run(show, create=False)


def _invite(state: SharingState) -> Invite:
    if not state.active or state.spec is None:
        raise TorbizError(
            "Nothing is shared, so there is nothing to invite to.",
            why=state.lost,
            remedy=f"Start one: `{PROGRAM} share MODEL --new-swarm --wait`.",
            code="not_sharing",
        )
    try:
        invite = invite_of(state)
    except UsageError as error:
        # The call is right; it only comes too early.
        raise TorbizError(
            error.what, why=error.why, remedy=error.remedy, code=error.code
        ) from error
    if invite is None:
        raise UsageError(
            f"{state.spec.model} is shared in the public swarm, to which nobody needs an invite.",
            remedy=f"Others ask it with: {ask_line(state.spec.model, state.spec.revision)}",
            code="public_swarm",
        )
    return invite


def notes_for_host(invite: Invite) -> list[str]:
    """What whoever invites should know: who will be able to use it."""
    reach = widest_reach(invite.peers)
    first = read_peer(invite.peers[0])
    if reach is Reach.LOOPBACK:
        return [
            f"A friend cannot reach {first.host}: it means this machine itself, to everybody.",
            "  Share without --demo, or say how others reach this machine (share.announce_maddrs).",
        ]
    if reach is Reach.LOCAL_NETWORK:
        return [
            f"{first.host} is an address of your own network: friends elsewhere cannot reach it.",
            f"  Forward TCP port {first.port} of your router to this machine, and announce the"
            f" outer address (share.announce_maddrs: [/ip4/YOUR_IP/tcp/{first.port}]).",
        ]
    return []


def line_of(invite: Invite) -> str:
    """The command that hosts more of it, for who would rather not paste a code."""
    model = invite.models[0] if invite.models else InvitedModel("MODEL")
    return share_line(model.name, model.revision, invite.peers)


def in_words(invite: Invite) -> list[str]:
    """The code, and what a friend does with it."""
    code = encode(invite)
    return [
        code,
        f"To ask: {PROGRAM} ask --join CODE",
        f"To host more of it: {PROGRAM} share --join CODE",
        f"It holds: {_contents(invite)}.",
    ]


def _named(model: InvitedModel) -> str:
    return f"{model.name} at revision {model.revision}" if model.revision else model.name


def _contents(invite: Invite) -> str:
    parts = [f"the swarm {invite.name}"] if invite.name else []
    parts += [f"the model {_named(model)}" for model in invite.models]
    hosts = list(dict.fromkeys(read_peer(peer).host for peer in invite.peers))
    return ", ".join([*parts, *(f"the address {host}" for host in hosts)]) + "; no token"


def as_json(invite: Invite) -> dict[str, object]:
    """The invite as `docs/commands.md` describes it."""
    reach = widest_reach(invite.peers)
    return {
        "code": encode(invite),
        "share_line": line_of(invite),
        "name": invite.name or None,
        "models": [
            {
                "name": model.name,
                "dht_prefix": model.dht_prefix or None,
                "revision": model.revision or None,
            }
            for model in invite.models
        ],
        "initial_peers": list(invite.peers),
        "reach": reach.value if reach is not None else None,
    }


def _explain(text: str, *, in_json: bool) -> None:
    """What a code holds, without joining."""
    invite = decode(text)
    if in_json:
        write_json(as_json(invite))
        return
    rows = [("swarm", invite.name or "(no name)")]
    rows += [("model", _named(model)) for model in invite.models]
    rows += [("dht prefix", model.dht_prefix) for model in invite.models if model.dht_prefix]
    rows += [("peer", peer) for peer in invite.peers]
    for name, value in rows:
        write_line(f"{name:<12}{value}")
    from torbiz_tui.private_swarms.finding import notes_for_guest

    for note in notes_for_guest(invite):
        tell(note)
