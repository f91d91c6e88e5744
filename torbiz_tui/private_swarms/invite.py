"""Invitations to a private swarm, and the code that one fits into.

A code is `torbiz1-` and base64url of: the length of the content (2 bytes), the content, its CRC-32.
The content holds a name for the swarm, its models with their DHT prefixes, peers, and the revisions
of the models where there are any (codes of earlier versions end before these); never a token.
Whatever is decoded comes from strangers, and is checked as such.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torbiz_tui.config_forms import is_revision
from torbiz_tui.errors import UsageError
from torbiz_tui.private_swarms.code_text import unwrap, wrap
from torbiz_tui.private_swarms.peer_address import (
    PeerAddress,
    for_others,
    identity_bytes,
    identity_text,
    read_peer,
)

MAX_PEERS = 8
MAX_MODELS = 8
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}(?:/[A-Za-z0-9][A-Za-z0-9_.-]{0,95})?")
_PREFIX = re.compile(r"[\w-]{1,120}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_IP4_TCP, _IP6_TCP, _TEXT = 4, 6, 0
_REVISIONS = b"r"


@dataclass(frozen=True)
class InvitedModel:
    """A model of a swarm: its name, and the DHT prefix where Petals would not derive that one.

    `revision` is the branch, tag or commit of the hub that is served, empty for main.
    """

    name: str
    dht_prefix: str = ""
    revision: str = ""


@dataclass(frozen=True)
class Invite:
    """What somebody needs to join a private swarm.

    `models` may be empty, as for a swarm of which only the bootstrap node runs yet.
    """

    peers: tuple[str, ...]
    models: tuple[InvitedModel, ...] = ()
    name: str = ""


def swarm_name(text: str) -> str:
    """A name for a swarm made from any text, such as a model's name or a folder."""
    last = text.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", last).strip("-.")[:40] or "swarm"


def is_swarm_name(text: str) -> bool:
    """Whether it may name a swarm: letters, digits, `_`, `.` and `-`, at most 40."""
    return _NAME.fullmatch(text) is not None


def invited_model(name: str, dht_prefix: str, revision: str = "") -> InvitedModel:
    """The model as others may know it: a folder's path stays here, its last part goes along."""
    if not _is_model(name):
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name.rstrip("/").rpartition("/")[2]).strip("-.")
    return InvitedModel(name[:96] or "model", dht_prefix, revision)


def models_of(invites: Iterable[Invite]) -> tuple[InvitedModel, ...]:
    """The models that they name, each once: a code of an earlier version knows less of one."""
    found: dict[str, InvitedModel] = {}
    for model in (model for invite in invites for model in invite.models):
        known = found.get(model.name, model)
        found[model.name] = InvitedModel(
            model.name, known.dht_prefix or model.dht_prefix, known.revision or model.revision
        )
    return tuple(found.values())


def make_invite(
    addresses: tuple[str, ...], models: tuple[InvitedModel, ...], name: str = ""
) -> Invite:
    """The invite to a swarm whose peers have these addresses.

    Raises UsageError (`no_address`) when none of them is a whole address.
    """
    peers = for_others(addresses, MAX_PEERS)
    if not peers:
        raise UsageError(
            "There is no address to invite others with yet.",
            remedy="Wait until it serves (`torbiz-tui status`), then try again.",
            code="no_address",
        )
    grouped = [text for _, together in _by_identity(peers) for text in together]
    return Invite(tuple(grouped), models[:MAX_MODELS], name if is_swarm_name(name) else "")


def encode(invite: Invite) -> str:
    """The code of an invite. Raises UsageError when something in it cannot be in a code."""
    try:
        _check(invite)
    except ValueError as error:
        raise UsageError(
            "No invite code can be made of this.", why=f"{error}.", code="invite_invalid"
        ) from error
    content = bytearray()
    _put_text(content, invite.name)
    content.append(len(invite.models))
    for model in invite.models:
        _put_text(content, model.name)
        _put_text(content, model.dht_prefix)
    groups = _by_identity(invite.peers)
    content.append(len(groups))
    for identity, together in groups:
        data = identity_bytes(identity)
        content += bytes((len(data),)) + data
        content.append(len(together))
        for text in together:
            _put_path(content, read_peer(text))
    # Without any, the code is one that earlier versions read, too.
    if any(model.revision for model in invite.models):
        content += _REVISIONS
        for model in invite.models:
            _put_text(content, model.revision)
    return wrap(bytes(content))


def decode(code: str) -> Invite:
    """The invite in a code. Raises UsageError that says what is wrong with the code."""
    content = unwrap(code)
    try:
        return decode_content(content)
    except ValueError as error:
        raise UsageError(
            "The invite code is whole, but not what an invitation holds.",
            why=f"{error}.",
            remedy="Ask for another one, made by the same version of torbiz-tui.",
            code="invite_invalid",
        ) from error


def decode_content(content: bytes) -> Invite:
    """The invite in the content of a code. Raises ValueError for all that does not belong there."""
    reader = _Reader(content)
    name = reader.text()
    models = tuple(InvitedModel(reader.text(), reader.text()) for _ in range(reader.byte()))
    peers: list[str] = []
    for _ in range(reader.byte()):
        identity = identity_text(reader.take(reader.byte()))
        peers += [f"{reader.path()}/p2p/{identity}" for _ in range(reader.byte())]
        if len(peers) > MAX_PEERS:
            raise ValueError(f"it holds more than {MAX_PEERS} addresses")
    if reader.take_if(_REVISIONS):
        revisions = [reader.text() for _ in models]
        if not any(revisions):
            raise ValueError("its revisions are empty")
        models = tuple(map(_at_revision, models, revisions))
    if not reader.at_end:
        raise ValueError("there is more in it than this version knows")
    invite = Invite(tuple(peers), models, name)
    _check(invite)
    return invite


def _check(invite: Invite) -> None:
    if invite.name and not _NAME.fullmatch(invite.name):
        raise ValueError(f"the name {invite.name!r} is not accepted")
    if len(invite.models) > MAX_MODELS:
        raise ValueError(f"it holds more than {MAX_MODELS} models")
    for model in invite.models:
        if not _is_model(model.name):
            raise ValueError(f"{model.name!r} is no name of a model")
        if model.revision and not is_revision(model.revision):
            raise ValueError(f"{model.revision!r} is no revision of a model")
        if model.dht_prefix and not _PREFIX.fullmatch(model.dht_prefix):
            raise ValueError(f"{model.dht_prefix!r} is no DHT prefix")
    if not 1 <= len(invite.peers) <= MAX_PEERS:
        raise ValueError(f"it holds {len(invite.peers)} addresses, not 1 to {MAX_PEERS}")
    for peer in invite.peers:
        read_peer(peer)


def _at_revision(model: InvitedModel, revision: str) -> InvitedModel:
    return replace(model, revision=revision)


def _is_model(name: str) -> bool:
    return _MODEL.fullmatch(name) is not None and ".." not in name


def _by_identity(peers: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for text in peers:
        groups.setdefault(read_peer(text).peer_id, []).append(text)
    return list(groups.items())


def _put_text(content: bytearray, text: str) -> None:
    data = text.encode("utf-8")
    if len(data) > 255:
        raise UsageError(f"{text[:40]!r}… is too long for an invite code.", code="invite_invalid")
    content += bytes((len(data),)) + data


def _put_path(content: bytearray, address: PeerAddress) -> None:
    """The address without its identity: 7 or 19 bytes for an IP address with a TCP port."""
    kind = {4: _IP4_TCP, 6: _IP6_TCP}.get(_ip_version(address), _TEXT)
    content.append(kind)
    if kind == _TEXT:
        _put_text(content, address.path)
    else:
        content += ipaddress.ip_address(address.host).packed + address.port.to_bytes(2, "big")


def _ip_version(address: PeerAddress) -> int:
    """4 or 6 for what an IP address and a TCP port say wholly, otherwise 0."""
    for version in (4, 6):
        if address.path == f"/ip{version}/{address.host}/tcp/{address.port}":
            ip = ipaddress.ip_address(address.host)
            return version if str(ip) == address.host else 0
    return 0


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._content)

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._content):
            raise ValueError("it ends too early")
        self._at += size
        return self._content[self._at - size : self._at]

    def take_if(self, mark: bytes) -> bool:
        """Whether this stands here; then it is taken."""
        found = self._content.startswith(mark, self._at)
        self._at += len(mark) * found
        return found

    def byte(self) -> int:
        return self.take(1)[0]

    def text(self) -> str:
        try:
            return self.take(self.byte()).decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("a text in it is not UTF-8") from None

    def path(self) -> str:
        kind = self.byte()
        if kind == _TEXT:
            return self.text()
        if kind not in (_IP4_TCP, _IP6_TCP):
            raise ValueError("it holds a kind of address that this version does not know")
        host = ipaddress.ip_address(self.take(4 if kind == _IP4_TCP else 16))
        return f"/ip{kind}/{host}/tcp/{int.from_bytes(self.take(2), 'big')}"
