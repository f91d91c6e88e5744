"""What the options are made of; those that set a key take their help from the schema."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NoReturn

from torbiz_tui.commands.output import PROGRAM, tell
from torbiz_tui.config_errors import nearest
from torbiz_tui.config_schema import SETTINGS
from torbiz_tui.config_values import Flag, Kind, Text, TextList
from torbiz_tui.errors import ExitCode

# argparse's own words for a choice that it does not have.
_INVALID_CHOICE = re.compile(r"(\S+): invalid choice: '(.*)' \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """An argument parser that complains in one sentence and knows what was meant."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and how to learn more; leave with exit code 2."""
        message = message.removeprefix("argument ")
        if match := _INVALID_CHOICE.fullmatch(message):
            what, given, known = match.groups()
            near = nearest(given, re.findall(r"'(.*?)'", known))
            hint = (
                f"; did you mean {near}?" if near else f"; known are {known.replace(chr(39), '')}."
            )
            message = f"{what}: {given!r} is not known{hint}"
        tell(f"{PROGRAM}: {message}")
        tell(f"  See `{self.prog} --help`.")
        raise SystemExit(int(ExitCode.USAGE))

    def known_options(self) -> list[str]:
        """The options of this command."""
        return [option for action in self._actions for option in action.option_strings]


def add_setting(parser: Any, key: str, metavar: str = "", **more: Any) -> None:
    """Add the option of a key; the configuration checks its value, with all others.

    One that is true or false has no value, and a `--no-` option beside it.
    """
    setting = SETTINGS[key]
    # Not in an abbreviation such as TCP.
    text = setting.doc if setting.doc[:2].isupper() else setting.doc[0].lower() + setting.doc[1:]
    kind: Kind = setting.kind
    if isinstance(kind, Flag):
        more.setdefault("action", argparse.BooleanOptionalAction)
    else:
        more.setdefault("metavar", metavar)
        kind = kind.item if isinstance(kind, TextList) else kind
        if kind.accepted != Text.accepted:
            text += f" Accepted: {kind.accepted}."
    parser.add_argument(
        setting.option,
        dest=key,
        default=argparse.SUPPRESS,
        help=text.replace("%", "%%"),
        **more,
    )


def add_json(parser: Parser) -> None:
    """Add `--json` for one object."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_peers(parser: Any) -> None:
    """Add `--initial-peer`, `--join` and what else says which swarm is meant."""
    parser.add_argument(
        "--initial-peer",
        dest="swarm.initial_peers",
        action="append",
        default=argparse.SUPPRESS,
        metavar="MADDR",
        help="address of a peer of the swarm, such as /ip4/192.0.2.7/tcp/31337/p2p/Qm…; repeatable",
    )
    parser.add_argument(
        "--join",
        default=argparse.SUPPRESS,
        metavar="CODE",
        help="invite code of a private swarm (torbiz1-…): its peers, and its model",
    )


def add_swarm_name(parser: Any, text: str) -> None:
    """Add `--swarm`, the name of a known swarm."""
    parser.add_argument(
        "--swarm", dest="swarm_name", default=argparse.SUPPRESS, metavar="NAME", help=text
    )


def seconds_up_to(most: float) -> Callable[[str], float]:
    """A type of argument: seconds, above 0 and at most `most`."""

    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give seconds, above 0.")
        return value

    return seconds
