"""Argument types shared by the runner scripts: each error names the value and what is accepted."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from typing import NoReturn

_HOST = r"/(?:ip4|ip6|dns|dns4|dns6|dnsaddr)/[^/\s]+"
_ADDRESS = re.compile(rf"{_HOST}/(?:tcp|udp)/\d{{1,5}}(?:/[^\s]*)?")
# torch names a module by it, which takes no dot; `app` has the same in config_forms.py.
_ADAPTER = re.compile(r"(?!-)[^\s./\\]{1,96}(?:/[^\s./\\]{1,96})?")
_PEER_ID = re.compile(r"/p2p/[1-9A-HJ-NP-Za-km-z]{20,}(?:/|$)")


class OneSentenceParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and leave with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message.removeprefix('argument ')}\n")


def whole_number(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a type for whole numbers from `low` to `high`."""
    accepted = f"a whole number from {low} to {high}" if high else f"a whole number from {low} up"

    def parse(text: str) -> int:
        if re.fullmatch(r"-?\d{1,18}", text):
            value = int(text)
            if low <= value and (high is None or value <= high):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give {accepted}.")

    return parse


def number(low: float, high: float, *, above_low: bool = False) -> Callable[[str], float]:
    """Return a type for numbers between `low` and `high`, both included unless `above_low`."""
    accepted = f"a number {'above' if above_low else 'from'} {low:g} {'up ' * above_low}to {high:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if low <= value <= high and not (above_low and value == low):
            return value
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give {accepted}.")

    return parse


def disk_space(text: str) -> int:
    """Accept a size with a unit of powers of 1000 (GB) or 1024 (GiB); return bytes."""
    units = {"": 1, "B": 1}
    for power, letter in enumerate("KMGT", start=1):
        units[f"{letter}B"], units[f"{letter}IB"] = 1000**power, 1024**power
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    if match and match[2].upper() in units:
        return int(float(match[1]) * units[match[2].upper()])
    raise argparse.ArgumentTypeError(
        f"{text!r} is not accepted: give a size such as 50GB, 100GiB or 1500MB."
    )


def address(text: str) -> str:
    """Accept a multiaddress to listen on or to announce."""
    if not _ADDRESS.fullmatch(text) or not _port_fits(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not accepted: give a multiaddress such as /ip4/127.0.0.1/tcp/31337."
        )
    return text


def peer_address(text: str) -> str:
    """Accept a multiaddress of a peer, which ends with its identity."""
    if not _ADDRESS.fullmatch(text) or not _port_fits(text) or not _PEER_ID.search(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not accepted: give a peer's multiaddress such as"
            " /ip4/192.0.2.7/tcp/31337/p2p/QmPeerIdentity (with its full identity)."
        )
    return text


def _port_fits(text: str) -> bool:
    return all(int(port) < 65536 for port in re.findall(r"/(?:tcp|udp)/(\d+)", text))


def model_name(text: str) -> str:
    """Accept a hub id or the path of a local folder."""
    if re.fullmatch(r"[\w.-]+(?:/[\w.-]+)?", text) or re.match(r"[~./]|[A-Za-z]:", text):
        return text
    if "/" in text and not re.search(r"[\s:?#*]", text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not accepted: give a model of the Hugging Face hub"
        " (owner/name) or a local folder."
    )


def is_folder(model: str) -> bool:
    """Tell whether `model` is a folder here, which is looked for before a model of the hub."""
    return os.path.isdir(os.path.expanduser(model))  # noqa: PTH111, PTH112


def revision(text: str) -> str:
    """Accept the name of a branch, a tag or a commit."""
    if re.fullmatch(r"(?!.*(?:\.\.|//))[A-Za-z0-9][\w./-]{0,199}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give a branch, a tag or a commit.")


def is_adapter_name(text: str) -> bool:
    """Tell whether a server may host a LoRA adapter by this name: a hub id, or that of a folder."""
    return _ADAPTER.fullmatch(text) is not None and text.isprintable()


def adapter_name(text: str) -> str:
    """Accept the name by which a server hosts a LoRA adapter."""
    if is_adapter_name(text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not accepted: give the name by which servers host it, a Hugging Face id or"
        " that of a folder, without dots and blanks."
    )


def dht_prefix(text: str) -> str:
    """Accept a DHT prefix: '.' and ' ' are delimiters in Petals' keys."""
    if not re.fullmatch(r"[^\s.]{1,200}", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not accepted: give a name without dots and spaces."
        )
    return text
