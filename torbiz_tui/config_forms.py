"""The forms of texts in the configuration: whether one may be an address, a device, a name."""

from __future__ import annotations

import re

_HOST = r"/(?:ip4|ip6|dns|dns4|dns6|dnsaddr)/[^/\s]+"
_ADDRESS = re.compile(rf"{_HOST}/(?:tcp|udp)/(\d{{1,5}})(?:/\S*)?")
_PEER_ADDRESS = re.compile(
    rf"{_HOST}/(?:tcp|udp)/(\d{{1,5}})(?:/[^/\s]+)*/p2p/[1-9A-HJ-NP-Za-km-z]{{20,}}"
)
# torch names a module by it, which takes no dot; the runners have the same in argument_types.py.
_ADAPTER = re.compile(r"(?!-)[^\s./\\]{1,96}(?:/[^\s./\\]{1,96})?")
_PORTS = 65_535


def is_blocks(text: str) -> bool:
    """Whether it is `auto`, a number of blocks, or a range FIRST:END."""
    if text == "auto" or (re.fullmatch(r"\d{1,4}", text) and int(text) > 0):
        return True
    match = re.fullmatch(r"(\d{1,4}):(\d{1,4})", text)
    return match is not None and int(match[1]) < int(match[2])


def is_hours(text: str) -> bool:
    """Whether it is empty, or a span of the day such as 22:00-07:00."""
    if not text:
        return True
    time = r"(?:[01]?\d|2[0-3]):[0-5]\d"
    return (
        re.fullmatch(rf"{time}-{time}", text) is not None
        and len({part.zfill(5) for part in text.split("-")}) == 2
    )


def is_container_name(text: str) -> bool:
    """Whether an engine accepts it as a container's name."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}", text) is not None


def is_engine_address(text: str) -> bool:
    """Whether it is empty or has the form of DOCKER_HOST."""
    return re.fullmatch(r"|(?:unix:///|npipe://|tcp://|https?://|ssh://)\S+", text) is not None


def is_host(text: str) -> bool:
    """Whether it has the form of a host name or of an IP address, without a port."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|[0-9A-Fa-f:.]{2,45}", text) is not None


def is_device(text: str) -> bool:
    """Whether it is a device as PyTorch calls it."""
    return re.fullmatch(r"auto|cpu|mps|cuda(?::\d{1,2})?", text) is not None


def is_throughput(text: str) -> bool:
    """Whether it is a way to find the throughput, or the throughput itself."""
    if text in ("auto", "eval", "dry_run"):
        return True
    try:
        return 0 < float(text) < 1e9
    except ValueError:
        return False


def is_public_name(text: str) -> bool:
    """Whether it may be shown to others; empty is no name."""
    return len(text) <= 100 and text.isprintable()


def is_swarm_name(text: str) -> bool:
    """Whether it may name a swarm; empty is no name."""
    return re.fullmatch(r"|[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", text) is not None


def is_revision(text: str) -> bool:
    """Whether it may name a branch, a tag or a commit; empty leaves it to Petals."""
    return re.fullmatch(r"|(?!.*(?:\.\.|//))[A-Za-z0-9][\w./-]{0,199}", text) is not None


def is_adapter_name(text: str) -> bool:
    """Whether a server may host a LoRA adapter by this name: a hub id, or that of a folder."""
    return _ADAPTER.fullmatch(text) is not None and text.isprintable()


def is_dht_prefix(text: str) -> bool:
    """Whether it may begin the names of blocks in a swarm; empty leaves them to Petals."""
    return re.fullmatch(r"[^\s.]{0,200}", text) is not None


def is_address(text: str) -> bool:
    """Whether it has the form of a multiaddress."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and int(match[1]) <= _PORTS


def is_peer_address(text: str) -> bool:
    """Whether it has the form of a peer's multiaddress, its identity at the end."""
    match = _PEER_ADDRESS.fullmatch(text)
    return match is not None and int(match[1]) <= _PORTS
