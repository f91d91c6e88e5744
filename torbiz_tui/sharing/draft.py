"""What a person has typed into the form of Share, checked and made into a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config_schema import SETTINGS
from torbiz_tui.config_values import RejectedError, TextList
from torbiz_tui.errors import UsageError
from torbiz_tui.private_swarms.code_text import looks_like_code
from torbiz_tui.private_swarms.finding import FoundSwarm
from torbiz_tui.private_swarms.invite import Invite, InvitedModel, decode, is_swarm_name, models_of
from torbiz_tui.private_swarms.known import KnownSwarm
from torbiz_tui.sharing.petals_options import (
    PETALS_OPTIONS,
    normalised,
    problem_of,
    value_of,
    without_revision,
)
from torbiz_tui.sharing.request import ShareRequest, check_blocks

NEW, JOIN, PUBLIC = "new", "join", "public"
_KNOWN = "known:"
_BLOCKS = re.compile(r"^(?:auto|[1-9]\d*|\d+:\d+)$")
_LAST_PORT = 65_535
# Fields whose texts are read as the configuration reads the key.
_AS_CONFIGURED = {
    "throughput": "share.throughput",
    "public_name": "share.public_name",
    "cache_tokens": "share.attn_cache_tokens",
    "reserve_percent": "share.reserve_percent",
    "hours": "share.hours",
    "pause_when_busy": "share.pause_when_busy",
}

FIELD_OF_CODE = {
    "no_model": "model",
    "model_not_found": "model",
    "model_not_here": "model",
    "model_gated": "model",
    "model_unsupported": "model",
    "revision_not_found": "petals_options",
    "hub_unreachable": "model",
    "token_missing": "hub_token",
    "token_invalid": "hub_token",
    "port_taken": "port",
    "no_device": "device",
    "petals_option": "petals_options",
    "adapters_not_installed": "petals_options",
    "swarm_not_found": "swarm",
}
"""The fields that errors of the service are about, by their codes."""


@dataclass(frozen=True)
class ShareDraft:
    """The fields as they stand there. `swarm` is `new`, `join`, `public`, or `in_swarm(NAME)`.

    `peers` and `announce` hold several texts with blanks or commas between; invite codes may stand
    among the peers. `petals_options` holds several NAME=VALUE with blanks between.
    """

    model: str
    blocks: str = "auto"
    device: str = "auto"
    torch_dtype: str = "auto"
    quantization: str = "none"
    throughput: str = "auto"
    port: str = "31337"
    swarm: str = NEW
    peers: str = ""
    swarm_name: str = ""
    public_name: str = ""
    announce: str = ""
    cache_tokens: str = ""
    reserve_percent: str = "20"
    hours: str = ""
    mains_only: bool = False
    pause_when_busy: str = ""
    restart_on_crash: bool = True
    petals_options: str = ""

    @property
    def known_swarm(self) -> str:
        """The name of the known swarm that is chosen; empty for another choice."""
        return self.swarm.removeprefix(_KNOWN) if self.swarm.startswith(_KNOWN) else ""


def in_swarm(name: str) -> str:
    """The choice of a known swarm."""
    return _KNOWN + name


def draft_of(request: ShareRequest, known: Mapping[str, KnownSwarm]) -> ShareDraft:
    """The fields filled in as a request says; a swarm that is known is chosen by its name."""
    if request.swarm_name in known:
        swarm = in_swarm(request.swarm_name)
    else:
        swarm = JOIN if request.initial_peers else NEW if request.new_swarm else PUBLIC
    return ShareDraft(
        model=request.model,
        blocks=request.blocks,
        device=request.device,
        torch_dtype=request.torch_dtype,
        quantization=request.quantization,
        throughput=request.throughput,
        port=str(request.port),
        swarm=swarm,
        peers=" ".join(request.initial_peers),
        swarm_name=request.swarm_name,
        public_name=request.public_name,
        announce=" ".join(request.announce_maddrs),
        cache_tokens=_number(request.attn_cache_tokens),
        reserve_percent=str(request.reserve_percent),
        hours=request.hours,
        mains_only=request.mains_only,
        pause_when_busy=_number(request.pause_when_busy),
        restart_on_crash=request.restart_on_crash,
        petals_options=" ".join(request.petals_options),
    )


def problems_of(draft: ShareDraft, model: ModelInfo | None) -> dict[str, str]:
    """What is wrong, by field, in their order; `model` are the facts where they are known."""
    problems: dict[str, str] = {}
    if not draft.model.strip():
        problems["model"] = "Name a model: a Hugging Face id such as owner/name, or a folder."
    if problem := _blocks_problem(draft.blocks, model):
        problems["blocks"] = problem
    if draft.swarm == JOIN and (problem := _peers_problem(draft.peers)):
        problems["peers"] = problem
    name = draft.swarm_name.strip()
    if draft.swarm in (NEW, JOIN) and name and not is_swarm_name(name):
        problems["swarm_name"] = "Letters, digits, `_`, `.` and `-`, at most 40."
    port = draft.port.strip()
    if not port.isdecimal() or not 1 <= int(port) <= _LAST_PORT:
        problems["port"] = f"A number from 1 to {_LAST_PORT}."
    for field, key in _AS_CONFIGURED.items():
        kind = SETTINGS[key].kind
        try:
            kind.parse(getattr(draft, field).strip())
        except RejectedError:
            accepted = kind.accepted.replace("null", "nothing").replace("empty", "nothing")
            problems[field] = f"Accepted is {accepted}."
    if problem := _announce_problem(draft.announce):
        problems["announce"] = problem
    if problem := problem_of(options_in(draft.petals_options)):
        problems["petals_options"] = problem.removeprefix("Petals' options: ")
    return problems


def revision_in(petals_options: str) -> str:
    """The revision of the model that the options name; empty for main, or where they are wrong."""
    options = options_in(petals_options)
    return "" if problem_of(options) else str(value_of(normalised(options), "revision") or "")


def leave_revision(petals_options: str) -> str:
    """The options, in which nothing is wrong, without that."""
    return " ".join(without_revision(normalised(options_in(petals_options))))


def take_revision(petals_options: str, revision: str) -> str:
    """The options with this revision of the model, in place of another one."""
    before = revision_in(petals_options)
    rest = leave_revision(petals_options) if before else petals_options
    return f"{rest} revision={revision}".strip()


def request_from(
    draft: ShareDraft, base: ShareRequest, known: Mapping[str, KnownSwarm]
) -> ShareRequest:
    """What a draft without problems asks for; `base` has what no field says.

    Where a known swarm is chosen, its peers are those that were there last: `find_again` tells
    which of them still are.
    """
    swarm = known.get(draft.known_swarm)
    invites = invites_in(draft)
    peers: tuple[str, ...] = ()
    if draft.swarm == JOIN:
        invited = [peer for invite in invites for peer in invite.peers]
        typed = [text for text in _texts(draft.peers) if not looks_like_code(text)]
        peers = (*dict.fromkeys(invited), *typed)
    elif swarm is not None:
        peers = swarm.peers
    name = draft.known_swarm or (draft.swarm_name.strip() if draft.swarm != PUBLIC else "")
    same_model = draft.model.strip() == base.model
    return replace(
        base,
        model=draft.model.strip(),
        blocks=draft.blocks.strip().lower(),
        device=draft.device,
        torch_dtype=draft.torch_dtype,
        quantization=draft.quantization,
        throughput=draft.throughput.strip(),
        port=int(draft.port),
        new_swarm=draft.swarm == NEW or (swarm is not None and not peers and swarm.started_here),
        initial_peers=peers,
        public_name=draft.public_name.strip(),
        announce_maddrs=tuple(_texts(draft.announce)),
        attn_cache_tokens=_count(draft, "cache_tokens"),
        reserve_percent=_count(draft, "reserve_percent") or 0,
        hours=draft.hours.strip(),
        mains_only=draft.mains_only,
        pause_when_busy=_count(draft, "pause_when_busy"),
        restart_on_crash=draft.restart_on_crash,
        petals_options=normalised(options_in(draft.petals_options)),
        # Only the configured swarm was meant to stay on this machine.
        loopback=base.loopback and draft.swarm == NEW,
        swarm_name=name or next((invite.name for invite in invites if invite.name), ""),
        dht_prefix=_prefix(draft, base, invites, known),
        # What was agreed to holds for that model.
        anyway=base.anyway and same_model,
        allow_pickled=base.allow_pickled and same_model,
    )


def placed_in(request: ShareRequest, found: FoundSwarm) -> ShareRequest:
    """The request with the peers of a known swarm that answer now."""
    return replace(request, initial_peers=found.peers, new_swarm=found.begins)


def invites_in(draft: ShareDraft) -> list[Invite]:
    """What the whole invite codes among the peers hold; codes that are not whole are left out."""
    if draft.swarm != JOIN:
        return []
    invites: list[Invite] = []
    for text in _texts(draft.peers):
        if looks_like_code(text):
            try:
                invites.append(decode(text))
            except UsageError:
                continue
    return invites


def models_of_swarm(draft: ShareDraft, known: Mapping[str, KnownSwarm]) -> tuple[InvitedModel, ...]:
    """The models that the chosen swarm is known to hold, by the names that choose them here."""
    swarm = known.get(draft.known_swarm)
    if swarm is not None:
        return tuple(
            InvitedModel(one.source or one.name, one.dht_prefix, one.revision)
            for one in swarm.models
        )
    return models_of(invites_in(draft))


def same_name(model: str, other: str) -> bool:
    """Whether both name one model: a friend's copy may lie in any folder."""
    return model == other or _last(model) == _last(other)


def _prefix(
    draft: ShareDraft,
    base: ShareRequest,
    invites: list[Invite],
    known: Mapping[str, KnownSwarm],
) -> str:
    swarm = known.get(draft.known_swarm)
    named = [(model.name, model.dht_prefix) for invite in invites for model in invite.models]
    if swarm is not None:
        named += [(model.source or model.name, model.dht_prefix) for model in swarm.models]
    for name, prefix in named:
        if prefix and same_name(name, draft.model.strip()):
            return prefix
    before = draft_of(base, known)
    as_before = (draft.model.strip(), draft.swarm) == (base.model, before.swarm)
    return base.dht_prefix if as_before else ""


def _number(count: int | None) -> str:
    return "" if count is None else str(count)


def _count(draft: ShareDraft, field: str) -> int | None:
    count = SETTINGS[_AS_CONFIGURED[field]].kind.parse(getattr(draft, field).strip())
    return count if isinstance(count, int) else None


def _blocks_problem(text: str, model: ModelInfo | None) -> str:
    blocks = text.strip().lower()
    if not _BLOCKS.match(blocks):
        return "auto, a number such as 4, or a range such as 0:8 (8 not included)."
    if model is not None:
        try:
            check_blocks(blocks, model)
        except UsageError as error:
            return f"{error.what} {error.remedy}"
    elif ":" in blocks and int(blocks.split(":")[0]) >= int(blocks.split(":")[1]):
        return "The first block must be below the end: 0:8 is blocks 0 to 7."
    return ""


def _peers_problem(text: str) -> str:
    peers = _texts(text)
    if not peers:
        return "Give what a member of the swarm has sent you: an address or a code."
    for peer in peers:
        if looks_like_code(peer):
            try:
                decode(peer)
            except UsageError as error:
                return " ".join(part for part in (error.what, error.why, error.remedy) if part)
        elif not peer.startswith("/"):
            return _no_address(peer)
    return ""


def _announce_problem(text: str) -> str:
    kind = SETTINGS["share.announce_maddrs"].kind
    for address in _texts(text):
        try:
            kind.check([address])
        except RejectedError:
            accepted = kind.item.accepted if isinstance(kind, TextList) else kind.accepted
            return f"{address} is not accepted; accepted is {accepted}."
    return ""


def options_in(text: str) -> list[str]:
    """The options in a text; of one with several values (`adapters=a/b c/d`) all of them."""
    options: list[str] = []
    for word in text.split():
        begins = "=" in word or word.startswith("-") or word in PETALS_OPTIONS
        if options and not begins:
            options[-1] += f" {word}"
        else:
            options.append(word)
    return options


def _no_address(text: str) -> str:
    return f"{text} is no address; they begin with /ip4/ or /dns4/."


def _texts(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _last(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]
