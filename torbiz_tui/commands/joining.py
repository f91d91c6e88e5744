"""What `--join`, `--swarm` and codes among the peers stand for: settings of the configuration."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torbiz_tui.commands.output import PROGRAM, tell
from torbiz_tui.errors import UsageError
from torbiz_tui.paths import Paths
from torbiz_tui.private_swarms.code_text import looks_like_code
from torbiz_tui.private_swarms.finding import find_again, notes_for_guest, require_at_hand
from torbiz_tui.private_swarms.invite import Invite, InvitedModel, decode, models_of
from torbiz_tui.private_swarms.peer_address import read_peer

if TYPE_CHECKING:
    from torbiz_tui.config import Config

_PEERS, _NEW, _NAME, _PREFIX = (
    "swarm.initial_peers",
    "swarm.new_swarm",
    "swarm.name",
    "swarm.dht_prefix",
)


@dataclass(frozen=True)
class Joined:
    """The settings of the command line, and the revision that the swarm serves of their model.

    The revision is empty for main, and where another one is named on the command line.
    """

    settings: dict[str, object]
    revision: str = ""


def at_revision(config: Config, revision: str) -> Config:
    """The configuration for the weights that the swarm serves, whatever the file says of these."""
    options = [text for text in config.share.petals_options if not text.startswith("revision=")]
    share = replace(config.share, petals_options=(*options, f"revision={revision}"))
    return replace(config, share=share, ask=replace(config.ask, revision=revision))


def joined(options: argparse.Namespace, given: Mapping[str, Any], paths: Paths) -> Joined:
    """The settings of the command line with codes and names of swarms put into what they say.

    Raises UsageError for a code that is not whole, a swarm that is not known, or a model that has
    to be named.
    """
    settings = dict(given)
    revision = ""
    codes = [str(options.join)] if hasattr(options, "join") else []
    peers = list(settings.get(_PEERS) or ())
    codes += [peer for peer in peers if looks_like_code(peer)]
    if codes:
        invites = [decode(code) for code in codes]
        # A bootstrap node serves none.
        needs_model = options.command != "bootstrap"
        revision = _join_codes(settings, invites, peers, paths, needs_model=needs_model)
    name = getattr(options, "swarm_name", None)
    if name is not None:
        revision = _join_known(options, settings, name, paths) or revision
    petals = settings.get("share.petals_options") or ()
    named = any(text.lstrip("-").startswith("revision") for text in petals)
    return Joined(settings, "" if named or settings.get("ask.revision") else revision)


def _join_codes(
    settings: dict[str, Any],
    invites: list[Invite],
    peers: list[str],
    paths: Paths,
    *,
    needs_model: bool,
) -> str:
    """The revision that they name of the model that is chosen."""
    invited = [peer for invite in invites for peer in invite.peers]
    addresses = [peer for peer in peers if not looks_like_code(peer)]
    settings[_PEERS] = list(dict.fromkeys([*invited, *addresses]))
    models = models_of(invites)
    name = next((invite.name for invite in invites if invite.name), "")
    if name:
        settings.setdefault(_NAME, name)
    revision = ""
    if needs_model and models:
        revision = _choose_model(settings, models, "The invite code", paths)
    for note in notes_for_guest(Invite(tuple(settings[_PEERS]), models, name)):
        tell(note)
    return revision


def _choose_model(
    settings: dict[str, Any], models: tuple[InvitedModel, ...], holder: str, paths: Paths
) -> str:
    """Choose the model, and give the revision of it that is served."""
    wanted = str(settings.get("model") or "")
    if not wanted:
        if len(models) != 1:
            names = ", ".join(model.name for model in models)
            raise UsageError(
                f"{holder} names {len(models)} models: {names}.",
                remedy="Say which: `share MODEL …`, `swarm MODEL …`, or `ask --model MODEL …`.",
                code="no_model",
            )
        settings["model"] = wanted = models[0].name
        require_at_hand(wanted, paths)
    last = wanted.rstrip("/").rpartition("/")[2]
    for model in models:
        # A friend's copy may lie in any folder, but the swarm knows the blocks by one name.
        if model.dht_prefix and model.name in (wanted, last):
            settings.setdefault(_PREFIX, model.dht_prefix)
    return next((model.revision for model in models if model.name == wanted), "")


def _join_known(
    options: argparse.Namespace, settings: dict[str, Any], name: str, paths: Paths
) -> str:
    """The revision that is known of the model that is chosen."""
    from torbiz_tui.private_swarms.known import KnownSwarms

    settings[_NAME] = name
    hosting = options.command == "share"
    if hosting or options.command == "bootstrap":
        from torbiz_tui.sharing.remembering import take_in_last_run

        take_in_last_run(paths)
    known = KnownSwarms(paths)
    begins = settings.get(_NEW) or (settings.get("demo") and known.find(name) is None)
    # A bootstrap node listens first, then calls those that were in the swarm before.
    if begins or settings.get(_PEERS) or options.command == "bootstrap":
        # It is being started, or joined by other means: only its name is given.
        return ""
    swarm = known.require(name)
    for warning in known.warnings:
        tell(f"{PROGRAM}: {warning}")
    wanted = settings.get("model")
    for one in swarm.models:
        # A folder is known by its name to the swarm, and by its path to this machine.
        if wanted == one.name and one.source and Path(one.source, "config.json").is_file():
            settings["model"] = one.source
    revision = ""
    if swarm.models:
        models = tuple(
            InvitedModel(one.source or one.name, one.dht_prefix, one.revision)
            for one in swarm.models
        )
        revision = _choose_model(settings, models, f"The swarm {name}", paths)
    found = find_again(swarm, hosting=hosting)
    if hosting and swarm.own:
        # The address stays what others have been given.
        settings.setdefault("share.port", read_peer(swarm.own[0]).port)
    if found.peers:
        settings[_PEERS] = list(found.peers)
    else:
        settings[_NEW] = True
        settings.pop(_PEERS, None)
        if found.note:
            tell(found.note)
    return revision
