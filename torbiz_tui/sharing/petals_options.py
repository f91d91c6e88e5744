"""Options of Petals' own command line in a request: checked, put in order, looked up.

The table is `PETALS_OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config_errors import shown
from torbiz_tui.config_values import Flag, RejectedError
from torbiz_tui.errors import UsageError
from torbiz_tui.petals_command_line import PETALS_OPTIONS, option_text, read_option, read_options

__all__ = [
    "PETALS_OPTIONS",
    "Addresses",
    "addresses_of",
    "normalised",
    "problem_of",
    "require_hosting",
    "require_hub_model",
    "value_of",
    "without_revision",
]


def normalised(texts: Iterable[str]) -> tuple[str, ...]:
    """The options as `name=value`, sorted, each once; a flag that is off is left out.

    Raises UsageError (`petals_option`) that names the option, what was given, and what is accepted.
    """
    try:
        values = read_options(texts)
    except RejectedError as error:
        raise _refused(error.reason) from None
    return tuple(
        option_text(name, value)
        for name, value in sorted(values.items())
        if not (isinstance(PETALS_OPTIONS[name].kind, Flag) and value is False)
    )


def problem_of(texts: Iterable[str]) -> str:
    """What is wrong with these options, in a sentence; empty where nothing is."""
    try:
        normalised(texts)
    except UsageError as error:
        return error.what
    return ""


def value_of(options: Iterable[str], name: str) -> object:
    """The value of an option among those that `normalised` gave; None where it is not given."""
    text = next((text for text in options if text.partition("=")[0] == name), None)
    return None if text is None else read_option(text)[1]


def without_revision(options: Iterable[str]) -> tuple[str, ...]:
    """The options that hold for any model."""
    return tuple(text for text in options if text.partition("=")[0] != "revision")


@dataclass(frozen=True)
class Addresses:
    """Where the server listens and what it announces; empty where that is not said."""

    host: tuple[str, ...]
    announce: tuple[str, ...]


def addresses_of(options: Iterable[str], port: int, announced: tuple[str, ...]) -> Addresses:
    """What the options say of addresses; `port` and `announced` are those of the request.

    Raises UsageError for another port, which nothing would find, and for two ways to announce.
    """
    options = tuple(options)
    host = value_of(options, "host_maddrs")
    own = value_of(options, "public_ip")
    for address in host if isinstance(host, tuple) else ():
        if f"/{port}/" not in f"{address}/":
            raise _refused(
                f"host_maddrs: {shown(address)} has another port than {port}; give that, or change"
                " it with --port / share.port."
            )
    if own is not None and announced:
        raise _refused("public_ip and share.announce_maddrs: give one of the two.")
    announce = announced if own is None else (f"/ip4/{own}/tcp/{port}",)
    return Addresses(host if isinstance(host, tuple) else (), announce)


def require_hub_model(options: Iterable[str], model: ModelInfo) -> None:
    """Raises UsageError for a `revision` of a model that is a folder here."""
    revision = value_of(options, "revision")
    if revision is not None and model.source.startswith(("/", "~", ".")):
        raise _refused(
            f"revision={revision}: {model.name} is a folder on this machine, which has no revisions."
        )


def require_hosting(options: Iterable[str], hosting: str) -> None:
    """Raises UsageError for what cannot be where the server runs (`docker`, `native`)."""
    if hosting != "docker":
        return
    options = tuple(options)
    if value_of(options, "adapters") is not None:
        raise _refused(
            "adapters cannot be had in a container: its image has no peft. Share natively"
            " (--environment native)."
        )
    if file := value_of(options, "custom_module_path"):
        raise _refused(f"custom_module_path={file}: a container sees only its own files.")


def _refused(what: str) -> UsageError:
    return UsageError(
        f"Petals' options: {what}",
        remedy="docs/petals-options.md lists all of them, with what is accepted.",
        code="petals_option",
    )
