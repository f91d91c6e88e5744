"""The options of `logs`."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

# As `logs.parsing` has them, which nobody needs for the grammar.
LEVELS = ("debug", "info", "warning", "error", "critical")


def add_logs(command: Any) -> None:
    """Add the command and its options."""
    logs = command(
        "logs",
        "print the logs",
        "Without SOURCE all of them, each below its name, their last lines (logs.tail_lines).\n"
        "With --grep, --level, --since or --until all lines that fit, unless -n is given; a\n"
        "traceback is one with its line. Colours are only for a terminal (NO_COLOR: never).",
        "logs",
        "logs seeder -f --level warning",
        "logs --merge --since 10m",
        "logs setup -n 200 --grep 'error|denied' --explain",
    )
    logs.add_argument(
        "names",
        nargs="*",
        metavar="SOURCE",
        help="seeder, container, inference, monitor, setup, app, or another log in logs/",
    )
    logs.add_argument(
        "--source",
        dest="more_names",
        action="append",
        default=[],
        metavar="SOURCE",
        help="as SOURCE; repeatable",
    )
    logs.add_argument("-f", "--follow", action="store_true", help="print what comes, until Ctrl-C")
    logs.add_argument(
        "-n",
        "--lines",
        type=_line_count,
        metavar="N",
        help="the last N lines, and of these what fits",
    )
    logs.add_argument(
        "--grep",
        metavar="RE",
        help="only lines in which this expression is found; case matters if it has a capital",
    )
    logs.add_argument(
        "--level",
        choices=LEVELS,
        metavar="LEVEL",
        help=f"only lines of this level and above: {', '.join(LEVELS)}",
    )
    for option, which in (("--since", "since"), ("--until", "until")):
        logs.add_argument(
            option,
            type=_moment,
            metavar="TIME",
            help=f"only lines {which} then: 10m, 2h, 12:30, 2026-11-24T12:30",
        )
    logs.add_argument(
        "--merge", action="store_true", help="all by time, with the source in front of each line"
    )
    logs.add_argument(
        "--explain",
        action="store_true",
        help="below a line that shows a known trouble, its cause and its remedy, once each",
    )
    logs.add_argument("--json", action="store_true", help="print a JSON object for each line")


def _moment(text: str) -> datetime:
    # Only `logs` needs it.
    from torbiz_tui.logs.moments import moment_of

    try:
        return moment_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _line_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: give a number of lines.")
    return int(text)
