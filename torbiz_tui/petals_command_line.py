"""The options of Petals' own command line (petals 2.2.0, petals/cli/run_server.py), one by one.

What is passed on has a kind; what is said in another way here says in which.
`docs/petals-options.md` is made from this table, and a test compares it with Petals' source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from torbiz_tui.config_errors import nearest, shown
from torbiz_tui.config_forms import is_adapter_name, is_address, is_revision
from torbiz_tui.config_values import Choice, Flag, Kind, Number, RejectedError, Text, Whole

_DAY_S, _WEEK_S = 86_400, 604_800
_TOKENS = 10_000_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)\s*([A-Za-z]{0,3})")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}")


@dataclass(frozen=True)
class ByteCount(Kind):
    """A number of bytes as Petals reads it: `50GB` and `100GiB` differ. Its text is in bytes."""

    low: int
    accepted: str = "a size such as 50GB, 100GiB or 1500MB"

    def parse(self, text: str) -> int:
        """Bytes, or a number with a unit of powers of 1000 (GB) or 1024 (GiB)."""
        units = {"": 1, "B": 1}
        for power, letter in enumerate("KMGT", start=1):
            units[f"{letter}B"], units[f"{letter}IB"] = 1000**power, 1024**power
        match = _SIZE.fullmatch(text.strip())
        if match is None or match[2].upper() not in units:
            raise RejectedError
        return self.check(int(float(match[1]) * units[match[2].upper()]))

    def check(self, value: object) -> int:
        """A number of bytes."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value < 2**56:
            raise RejectedError
        return value


@dataclass(frozen=True)
class Words(Kind):
    """One or several words of one form; blanks or commas between them, in its text blanks."""

    item: Text

    @property
    def accepted(self) -> str:  # type: ignore[override]
        """The form in words."""
        return f"one or several, with blanks between them, each {self.item.accepted}"

    def parse(self, text: str) -> tuple[str, ...]:
        """The words, each once."""
        return self.check(tuple(dict.fromkeys(text.replace(",", " ").split())))

    def check(self, value: object) -> tuple[str, ...]:
        """A tuple of at least one such word."""
        if not isinstance(value, tuple) or not value:
            raise RejectedError
        return tuple(self.item.check(word) for word in value)

    def text(self, value: object) -> str:
        """With blanks between."""
        return " ".join(value) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class PetalsOption:
    """An option of Petals: what it means and its default there, in words.

    `kind` is what is accepted where it is passed on. Otherwise `instead` names how the same is said
    here.
    """

    meaning: str
    default: str
    kind: Kind | None = None
    instead: str = ""


def _passed(meaning: str, default: str, kind: Kind) -> PetalsOption:
    return PetalsOption(meaning, default, kind)


def _ours(meaning: str, default: str, instead: str) -> PetalsOption:
    return PetalsOption(meaning, default, instead=instead)


def _is_adapter(text: str) -> bool:
    if text.startswith(("/", "~/")):
        return is_adapter_name(PurePosixPath(text).name)
    return _HUB_ID.fullmatch(text) is not None and is_adapter_name(text)


def _seconds(least: float = 1, most: float = _WEEK_S) -> Number:
    return Number(least, most)


_BY_MODEL = "8192 for models whose heads share keys (Llama 2 70B, Falcon), else 2048"

PETALS_OPTIONS: Mapping[str, PetalsOption] = {
    "config": _ours(
        "File with options.", "config.yml", "the configuration of torbiz-tui: --config FILE"
    ),
    "converted_model_name_or_path": _ours(
        "The model.", "none", "`torbiz-tui share MODEL`, or the key `model`"
    ),
    "model": _ours("The model.", "none", "`torbiz-tui share MODEL`, or the key `model`"),
    "public_name": _ours("Name shown to others.", "none", "--public-name / share.public_name"),
    "token": _ours(
        "Token for the hub.", "none", "HF_TOKEN in the environment, or the form of Share"
    ),
    "use_auth_token": _ours(
        "Take the hub's own token file.", "off", "that file is taken where HF_TOKEN is not set"
    ),
    "num_blocks": _ours("How many blocks.", "what fits on the GPU", "--blocks N / share.blocks"),
    "block_indices": _ours("Which blocks.", "chosen by Petals", "--blocks A:B / share.blocks"),
    "dht_prefix": _ours("Name of the blocks in the swarm.", "the model's", "swarm.dht_prefix"),
    "port": _ours("Port to listen on.", "a free one", "--port / share.port"),
    "public_ip": _passed(
        "IPv4 address to announce, with the port. Excludes share.announce_maddrs.",
        "the addresses that are found",
        Text("an IPv4 address such as 192.0.2.7", lambda text: bool(_IPV4.fullmatch(text))),
    ),
    "no_auto_relay": _passed("Look for no relays behind a NAT or a firewall.", "off", Flag()),
    "host_maddrs": _passed(
        "Addresses to listen on; their port is share.port.",
        "all interfaces, IPv4 and IPv6",
        Words(Text("an address such as /ip4/0.0.0.0/tcp/31337", is_address)),
    ),
    "announce_maddrs": _ours(
        "Addresses to announce.", "those found", "--announce-maddr / share.announce_maddrs"
    ),
    "daemon_startup_timeout": _passed(
        "Seconds that connecting to the initial peers may take.", "60", _seconds(1, 3600)
    ),
    "compression": _passed(
        "How answers are compressed on their way; not for bfloat16 blocks.",
        "none",
        Choice("none", "float16", "meanstd_16bit"),
    ),
    "num_handlers": _passed(
        "Processes that take requests.", "8; here 2 to 4 on a processor", Whole(1, 64)
    ),
    "prefetch_batches": _passed("Batches to form while one is computed.", "1", Whole(1, 64)),
    "sender_threads": _passed("Threads that hand results back.", "1", Whole(1, 64)),
    "inference_max_length": _passed(
        "Tokens of the longest session that is taken, the answer included.",
        _BY_MODEL,
        Whole(1, _TOKENS),
    ),
    "min_batch_size": _passed("Least tokens of a request.", "1", Whole(1, _TOKENS)),
    "max_batch_size": _passed(
        "Most tokens that are computed in one batch; longer prompts are refused.",
        _BY_MODEL,
        Whole(1, _TOKENS),
    ),
    "max_chunk_size_bytes": _passed(
        "Prompts are computed in pieces whose attention takes at most this.",
        "256MiB; here 64MiB on a processor",
        ByteCount(1024),
    ),
    "attn_cache_tokens": _ours(
        "Size of the attention cache.",
        "16384 for models whose heads share keys, else 4096",
        "--cache-tokens / share.attn_cache_tokens",
    ),
    "cache_dir": _ours(
        "Folder of downloaded models.",
        "PETALS_CACHE",
        "the folder cache/ of the home (--home); in a container docker.model_cache",
    ),
    "max_disk_space": _passed(
        "Most that downloaded models may take; what was used longest ago is removed.",
        "unlimited",
        ByteCount(1024),
    ),
    "device": _ours("Where the blocks are computed.", "a GPU if any", "--device / share.device"),
    "torch_dtype": _ours("Number format.", "auto", "--dtype / share.torch_dtype"),
    "max_alloc_timeout": _passed(
        "Seconds that a request waits for room in the attention cache.", "600", _seconds(0)
    ),
    "revision": _passed(
        "Branch, tag or commit of the model at the hub.",
        "main",
        Text("a branch, a tag or a commit", is_revision),
    ),
    "throughput": _ours("Throughput to announce.", "auto", "--throughput / share.throughput"),
    "update_period": _passed(
        "Seconds between two announcements.", "120; for the demo 10", _seconds(1, 3600)
    ),
    "expiration": _passed(
        "Seconds that an announcement holds; more than update_period.",
        "twice update_period",
        _seconds(1, _DAY_S),
    ),
    "request_timeout": _passed(
        "Seconds that a request without a session may take.", "180", _seconds()
    ),
    "session_timeout": _passed("Seconds that a session may take.", "1800", _seconds()),
    "step_timeout": _passed("Seconds that a session waits for its next step.", "300", _seconds()),
    "initial_peers": _ours(
        "Peers of the swarm.", "the public swarm's", "--initial-peer / swarm.initial_peers"
    ),
    "new_swarm": _ours("Start a private swarm.", "off", "--new-swarm / swarm.new_swarm"),
    "increase_file_limit": _passed(
        "Files that the server may have open; 0 keeps the system's limit.",
        "4096",
        Whole(0, 2**20),
    ),
    "stats_report_interval": _passed(
        "Seconds between reports of batches in the log.", "no reports", Whole(1, _DAY_S)
    ),
    "custom_module_path": _passed(
        "File with Python code that the server runs at its start.",
        "none",
        Text("the whole path of a file", lambda text: text.startswith("/") and text.isprintable()),
    ),
    "identity_path": _ours(
        "File with the key of this peer.", "a new key at each start", "kept for each swarm"
    ),
    "balance_quality": _passed(
        "Move to other blocks where the swarm is below this share of its best; 0 never moves.",
        "0.75",
        Number(0, 100),
    ),
    "mean_balance_check_period": _passed(
        "Seconds between two looks at that balance, on average.",
        "60",
        Number(0, _DAY_S, above=True),
    ),
    "quant_type": _ours("Quantization.", "nf4 on a GPU", "--quantization / share.quantization"),
    "tensor_parallel_devices": _passed(
        "CUDA devices that each block is split between.",
        "one device",
        Words(
            Text("a device such as cuda:0", lambda text: bool(re.fullmatch(r"cuda:\d{1,2}", text)))
        ),
    ),
    "skip_reachability_check": _passed(
        "Do not ask health.petals.dev whether the Internet reaches this server.", "off", Flag()
    ),
    "adapters": _passed(
        "LoRA adapters to load.",
        "none",
        Words(
            Text(
                "a Hugging Face id or the whole path of a folder, with no dot in the name",
                _is_adapter,
            )
        ),
    ),
}


NOTES: Sequence[str] = (
    "`balance_quality` and `mean_balance_check_period` hold where Petals has chosen the blocks: a"
    " number of blocks that is not all of them. Exact blocks (A:B), and all blocks, stay as they are.",
    "`compression`: hivemind's `quantile_8bit` and `uniform_8bit` fail with the numpy of these pins,"
    " and `blockwise_8bit` needs bitsandbytes in the server and with everyone who asks it. The two"
    " that work take no bfloat16 (--dtype float32, or float16 on a GPU).",
    "`host_maddrs` in a container with `docker.network: published` only says whether the port is"
    " published to all interfaces or to loopback.",
    "`revision`: the fit, the download and Petals' server read that one, and it need not be main. It"
    " holds for the `model` that is configured beside it, not for another one (`share OTHER`, another"
    " choice in the form). Who"
    " asks must load the same for right answers: the programs of this machine do so by themselves,"
    " friends who join with an invite code or line, which hold it, and others with `ask --revision`"
    " (`ask.revision`). The map does not tell it.",
    "`tensor_parallel_devices` was never run: it needs a machine with several CUDA GPUs. How many"
    " blocks fit is reckoned for one of them.",
    "`adapters`: peft 0.5.0 is installed into the managed venv when they are first asked for, which is"
    " the first stage of the start then and ends at a stop, `torbiz-tui stop` of another terminal"
    " included; in a"
    " container they are refused, and so is what Petals does not compute (DoRA, rsLoRA, changed"
    " biases or embeddings, pickled weights, adapters of another architecture or size) and a name"
    " with a dot: a folder can be renamed. They are got before the model. The swarm is told the hub id, or the folder's own"
    " name; `torbiz-tui ask --adapter NAME` asks with one of them (Petals' client with"
    " `active_adapter=NAME`). How many blocks fit counts them: by the file of a folder, or by the size"
    " that the hub tells; one whose size is not known is said to be left out.",
    "`custom_module_path` is for experts of hivemind, which Petals itself serves none of; a container"
    " sees only its own files.",
)
"""What is to be known besides, for `docs/petals-options.md`."""


def read_option(text: str) -> tuple[str, object]:
    """The name and the value that `name=value` gives; a flag alone is on.

    Dashes and underscores are alike, and leading dashes do not count. Raises RejectedError whose
    reason names the option, what was given, and what is accepted.
    """
    given, equals, value = text.strip().partition("=")
    given = given.strip()
    name = given.lstrip("-").replace("-", "_")
    option = PETALS_OPTIONS.get(name)
    if option is None:
        raise RejectedError(reason=_unknown(given, name))
    if option.kind is None:
        raise RejectedError(reason=f"{name}: there is another way here: {option.instead}.")
    if not equals and isinstance(option.kind, Flag):
        return name, True
    if not equals or not value.strip():
        raise RejectedError(
            reason=f"{name} needs a value: {name}=…; accepted is {option.kind.accepted}."
        )
    word = value.strip().lower() if isinstance(option.kind, Choice) else value.strip()
    try:
        return name, option.kind.parse(word)
    except RejectedError:
        raise RejectedError(
            reason=f"{name}: {shown(value.strip())} is not accepted; accepted is {option.kind.accepted}."
        ) from None


def read_options(texts: Iterable[str]) -> dict[str, object]:
    """The values by name of options that are given together.

    Raises RejectedError as `read_option` does, and for two that contradict each other.
    """
    values: dict[str, object] = {}
    for text in texts:
        name, value = read_option(text)
        if values.get(name, value) != value:
            raise RejectedError(reason=f"{name} is given twice, with different values.")
        values[name] = value
    least, most = values.get("min_batch_size", 1), values.get("max_batch_size")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        raise RejectedError(reason=f"min_batch_size {least} is above max_batch_size {most}.")
    period, expiration = values.get("update_period"), values.get("expiration")
    if isinstance(period, float) and isinstance(expiration, float) and expiration <= period:
        raise RejectedError(
            reason=f"expiration {expiration:g} is not above update_period {period:g}: the blocks"
            " would vanish between two announcements."
        )
    return values


def option_text(name: str, value: object) -> str:
    """`name=value`, as `read_option` reads it and the server's runner takes it."""
    kind = PETALS_OPTIONS[name].kind
    assert kind is not None  # read_option gives no others
    text = kind.text(value)
    return f"{name}={text.removesuffix('.0') if isinstance(kind, Number) else text}"


def _unknown(given: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        return f"{shown(given)} is no option of Petals; give NAME=VALUE, such as num_handlers=3."
    near = nearest(name, PETALS_OPTIONS)
    hint = f"; did you mean {near}?" if near else "; docs/petals-options.md lists all."
    return f"{name} is no option of Petals{hint}"
