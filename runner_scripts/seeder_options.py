"""The command line of run_petals_seeder.py, checked before anything heavy is imported."""

from __future__ import annotations

import argparse
import errno
import os
import re
import socket
import sys
from pathlib import Path

from argument_types import (
    OneSentenceParser,
    address,
    dht_prefix,
    disk_space,
    is_folder,
    model_name,
    number,
    peer_address,
    whole_number,
)
from petals_compat import is_installed
from petals_option_types import OWN, petals_option

_DESCRIPTION = """Hosts blocks of a model in a Petals swarm.

The Hugging Face token is read from HF_TOKEN, HUGGING_FACE_HUB_TOKEN or the file that HF_TOKEN_PATH
names (or the hub's own token file), the node token preferably from TORBIZ_NODE_TOKEN or the file
that TORBIZ_NODE_TOKEN_FILE names. Ends cleanly on SIGTERM, SIGINT, SIGHUP.
Exit codes: 0 stopped, 1 failed, 2 bad usage."""

Blocks = str | int | tuple[int, int]


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line; leaves with exit code 2 and one sentence if it is wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.node_token = (
        options.node_token
        or os.environ.get("TORBIZ_NODE_TOKEN")
        or _token_in(parser, options.node_token_file)
    )
    options.petals = dict(options.petals_option)
    for name in OWN:
        setattr(options, name, options.petals.get(name, getattr(options, name)))
    _check_together(parser, options)
    return options


def _parser() -> OneSentenceParser:
    parser = OneSentenceParser(
        description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model-name", required=True, type=model_name, help="hub id or local folder")
    add("--dht-prefix", type=dht_prefix, help="name of the blocks in the swarm (default: derived)")
    add("--node-token", help="identifies this node to Torbiz; not used by Petals, never printed")
    add("--node-token-file", type=Path, help="file that holds the node token")
    add("--log-file", type=Path, help="append all that goes to stderr to this file as well")
    add("--device", type=_device, default="auto", help="auto, cpu, cuda, cuda:N or mps")
    add(
        "--torch-dtype",
        choices=("auto", "float32", "float16", "bfloat16"),
        default="auto",
        help="auto on a CPU: float32 for a float32 checkpoint, otherwise bfloat16",
    )
    add("--quantization", choices=("none", "int8", "nf4"), help="default: none")
    add("--port", type=whole_number(0, 65535), help="on all interfaces (default: a free one)")
    add(
        "--host-maddr",
        action="append",
        type=address,
        help="address to listen on, instead of all interfaces; repeatable",
    )
    add("--announce-maddr", action="append", type=address, help="address to tell; repeatable")
    add("--public-ip", type=_ipv4, help="announce this address with --port")
    add("--public-name", type=_public_name, help="shown to others in the swarm")
    add("--blocks", type=_blocks, default="auto", help="auto, a number, or FIRST:END")
    add("--throughput", type=_throughput, default="auto", help="auto, eval, dry_run or a number")
    swarm = parser.add_mutually_exclusive_group()
    swarm.add_argument("--new-swarm", action="store_true", help="start a private swarm")
    swarm.add_argument(
        "--initial-peer", action="append", type=peer_address, help="peer of a swarm; repeatable"
    )
    add("--known-peer", action="append", type=peer_address, help="was in it before; repeatable")
    add("--identity", type=Path, help="file with this node's key; created when missing")
    add("--attn-cache-tokens", type=whole_number(16, 10_000_000))
    add("--max-disk-space", type=disk_space, help="for downloaded blocks, such as 50GB")
    add(
        "--update-period", type=number(1, 3600), default=120.0, help="seconds between announcements"
    )
    add("--request-timeout", type=number(1, 3600), default=180.0, help="seconds")
    add("--cache-dir", type=Path, help="folder of downloaded blocks (default: PETALS_CACHE)")
    add(
        "--allow-pickled",
        action="store_true",
        help="take weights that can run code when they are loaded, where there are no safetensors",
    )
    add(
        "--download-patience",
        type=number(0, 86_400),
        default=120.0,
        help="seconds to go on trying while the hub does not answer",
    )
    add(
        "--no-rewind",
        dest="rewind",
        action="store_false",
        help="sessions only go forward, as with Petals 2.2.0",
    )
    add("--num-handlers", type=whole_number(1, 64), help="processes that take requests")
    add(
        "--petals-option",
        action="append",
        type=petals_option,
        default=[],
        metavar="NAME=VALUE",
        help="another option of Petals' own command line; repeatable",
    )
    return parser


def _token_in(parser: OneSentenceParser, given: Path | None) -> str | None:
    named = os.environ.get("TORBIZ_NODE_TOKEN_FILE")
    file = given or (Path(named) if named else None)
    if file is None:
        return None
    try:
        return file.read_text("utf-8").strip() or None
    except (OSError, ValueError) as error:
        parser.error(f"--node-token-file {str(file)!r} cannot be read: {error}.")


def _check_together(parser: OneSentenceParser, options: argparse.Namespace) -> None:
    if options.public_ip and options.announce_maddr:
        parser.error("--public-ip and --announce-maddr: give one of the two.")
    if options.public_ip and not options.port:
        parser.error(f"--public-ip {options.public_ip}: needs --port, such as --port 31337.")
    if options.device == "cpu" and options.torch_dtype == "float16":
        parser.error(
            "--torch-dtype 'float16' is not accepted with --device cpu:"
            " give auto, float32 or bfloat16."
        )
    quantized = options.quantization in ("int8", "nf4")
    if quantized and (options.device in ("cpu", "mps")):
        parser.error(
            f"--quantization {options.quantization!r} is not accepted with --device"
            f" {options.device}: give none, or a CUDA device."
        )
    if quantized and not is_installed("bitsandbytes"):
        parser.error(
            f"--quantization {options.quantization!r} is not accepted here:"
            " bitsandbytes is not installed; give none."
        )
    if options.petals.get("adapters") and not is_installed("peft"):
        parser.error(
            "--petals-option adapters: peft is not installed where the server runs, which it needs;"
            " `torbiz-tui share` installs it, natively."
        )
    expiration = options.petals.get("expiration")
    if expiration is not None and expiration <= options.update_period:
        parser.error(
            f"--petals-option expiration={expiration:g}: is not above the update period of"
            f" {options.update_period:g} s; the blocks would vanish between two announcements."
        )
    if (revision := options.petals.get("revision")) and is_folder(options.model_name):
        parser.error(
            f"--petals-option revision={revision}: {options.model_name} is a folder,"
            " which has no revisions."
        )
    identity: Path | None = options.identity
    if identity is not None:
        options.identity = identity = identity.expanduser()
        if identity.is_dir() or not identity.parent.is_dir():
            parser.error(
                f"--identity {str(identity)!r} is not accepted: give a file in an existing folder."
            )


def _device(text: str) -> str:
    if text in ("auto", "cpu", "cuda", "mps") or re.fullmatch(r"cuda:\d{1,2}", text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not accepted: give auto, cpu, cuda, cuda:N or mps."
    )


def _blocks(text: str) -> Blocks:
    if text == "auto":
        return text
    if re.fullmatch(r"\d{1,4}", text) and int(text) > 0:
        return int(text)
    if match := re.fullmatch(r"(\d{1,4}):(\d{1,4})", text):
        first, end = int(match[1]), int(match[2])
        if first < end:
            return first, end
    raise argparse.ArgumentTypeError(
        f"{text!r} is not accepted: give auto, a number of blocks above 0, or FIRST:END"
        " with FIRST below END."
    )


def _throughput(text: str) -> str | float:
    if text in ("auto", "eval", "dry_run"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 < value < 1e9:
        return value
    raise argparse.ArgumentTypeError(
        f"{text!r} is not accepted: give auto, eval, dry_run or a number above 0."
    )


def _ipv4(text: str) -> str:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except OSError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not accepted: give an IPv4 address such as 192.0.2.7."
        ) from None
    return text


def _public_name(text: str) -> str:
    if 0 < len(text) <= 100 and text.isprintable():
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is not accepted: give 1 to 100 printable characters."
    )


def listening_addresses(options: argparse.Namespace) -> list[str]:
    """Return the multiaddresses to listen on."""
    if options.host_maddr:
        return list(options.host_maddr)
    port = options.port or 0
    return [f"/ip4/0.0.0.0/tcp/{port}", f"/ip6/::/tcp/{port}"]


def port_in_use(maddrs: list[str]) -> int | None:
    """Return a port of `maddrs` that somebody listens on already.

    p2pd shares ports (SO_REUSEPORT): two servers on one port start without an error, and half
    of the requests reach the wrong one.
    """
    for maddr in maddrs:
        match = re.match(r"/(ip4|ip6)/([^/]+)/tcp/(\d+)", maddr)
        if not match or match[3] == "0":
            continue
        family = socket.AF_INET6 if match[1] == "ip6" else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if sys.platform != "win32":  # connections in TIME_WAIT are no reason to refuse
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((match[2], int(match[3])))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return int(match[3])
    return None
