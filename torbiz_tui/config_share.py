"""The section of the configuration on hosting, with each key declared once, as in the file."""

from __future__ import annotations

from dataclasses import dataclass

from torbiz_tui.config_forms import (
    is_address,
    is_blocks,
    is_device,
    is_hours,
    is_public_name,
    is_throughput,
)
from torbiz_tui.config_values import Choice, Flag, Number, Text, TextList, Whole, declared

_ADDRESS = Text("an address such as /ip4/192.0.2.7/tcp/31337", is_address)


class _PetalsOption(Text):
    """An option of Petals with its value; the table of them is loaded when there is one to read."""

    def parse(self, text: str) -> str:
        """The option in the spelling of `option_text`."""
        from torbiz_tui.petals_command_line import option_text, read_option

        return option_text(*read_option(text))


class _PetalsOptions(TextList):
    """Several of them, none of which contradicts another."""

    def check(self, value: object) -> tuple[str, ...]:
        """A list or tuple of options that go together."""
        options = super().check(value)
        if options:
            from torbiz_tui.petals_command_line import read_options

            read_options(options)
        return options


@dataclass(frozen=True)
class ShareConfig:
    """How this machine hosts."""

    blocks: str = declared(
        "auto",
        Text("auto, a number of blocks, or FIRST:END with FIRST below END", is_blocks),
        "Which blocks to host: as many as fit, so many, or exactly these.",
        "--blocks",
    )
    device: str = declared(
        "auto",
        Text("auto, cpu, cuda, cuda:N or mps", is_device),
        "Where the blocks are computed; auto takes a GPU when there is one.",
        "--device",
    )
    torch_dtype: str = declared(
        "auto",
        Choice("auto", "float32", "float16", "bfloat16"),
        "Number format of the weights; auto takes that of the model.",
        "--dtype",
    )
    quantization: str = declared(
        "none",
        Choice("none", "int8", "nf4"),
        "Compress the weights; int8 and nf4 need an NVIDIA GPU.",
        "--quantization",
    )
    throughput: str = declared(
        "auto",
        Text("auto, eval, dry_run or a number above 0", is_throughput),
        "Tokens per second to announce; auto measures once, eval measures again.",
        "--throughput",
    )
    port: int = declared(31337, Whole(1, 65_535), "TCP port that the server listens on.", "--port")
    public_name: str = declared(
        "",
        Text("a text of at most 100 printable characters", is_public_name),
        "Name that others in the swarm see; empty shows none.",
        "--public-name",
    )
    announce_maddrs: tuple[str, ...] = declared(
        (),
        TextList(_ADDRESS),
        "Addresses to announce instead of those found, for machines behind a NAT.",
        "--announce-maddr",
    )
    attn_cache_tokens: int | None = declared(
        None,
        Whole(16, 10_000_000, optional=True),
        "Tokens of all sessions together kept in the attention cache; null leaves it to Petals.",
        "--cache-tokens",
    )
    petals_options: tuple[str, ...] = declared(
        (),
        _PetalsOptions(
            _PetalsOption("an option of Petals such as num_handlers=3 (docs/petals-options.md)")
        ),
        "Further options of Petals' own command line, NAME=VALUE each; docs/petals-options.md lists"
        " them.",
        "--petals",
    )
    reserve_percent: int = declared(
        20,
        Whole(0, 90),
        "Percent of the free memory to keep back when it is said or chosen how many blocks fit.",
        "--reserve",
    )
    drain_s: float = declared(
        30.0,
        Number(0, 600),
        "Seconds that running answers get to finish when sharing is stopped; 0 cuts them off.",
    )
    stop_grace_s: float = declared(
        20.0,
        Number(0, 600, above=True),
        "Seconds that a server gets to stop by itself before it is killed.",
    )
    hours: str = declared(
        "",
        Text("hours such as 22:00-07:00, or empty", is_hours),
        "Hours of the day to serve at, local time; outside of them the server pauses. Empty serves"
        " always.",
        "--hours",
    )
    mains_only: bool = declared(
        False,
        Flag(),
        "Pause while the machine runs on its battery; a container engine in a virtual machine"
        " does not know.",
        "--mains-only",
    )
    pause_when_busy: int | None = declared(
        None,
        Whole(5, 95, optional=True),
        "Pause while other programs use more than this percent of all processors for a minute, until"
        " they have been well below it for three; null never pauses.",
        "--pause-when-busy",
    )
    restart_on_crash: bool = declared(
        True,
        Flag(),
        "Start a server that crashes again, at most five times in an hour.",
        "--restart-on-crash",
    )
