"""The grammar of the command line: its commands and their options."""

from __future__ import annotations

import argparse
from typing import Any

from torbiz_tui import __version__
from torbiz_tui.commands.autostart_options import add_autostart
from torbiz_tui.commands.logs_options import add_logs
from torbiz_tui.commands.options import (
    Parser,
    add_json,
    add_peers,
    add_setting,
    add_swarm_name,
    seconds_up_to,
)
from torbiz_tui.commands.output import PROGRAM
from torbiz_tui.commands.swarm_map_options import add_swarm
from torbiz_tui.commands.swarm_options import add_swarms
from torbiz_tui.config_errors import nearest

SCREENS = ("setup", "share", "ask", "logs")

_ABOUT = """\
Lend this machine to a Petals swarm, and talk to the models it serves.
Without a command the full-screen app opens."""

_EXIT_CODES = """\
examples:
  torbiz-tui --demo                 the app, with the small model that ships with it
  torbiz-tui setup --yes --demo     install what is missing, without asking
  torbiz-tui share torbiz-demo --new-swarm --wait
  torbiz-tui ask --demo "What is Petals?"

exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 only you can go on (setup,
doctor), 4 not serving (status), 5 nobody serves the model (ask, swarm), 130 interrupted.
The configuration is explained by `torbiz-tui config init`, which writes it with comments."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options of a call. Leaves (SystemExit) after help, version, or wrong usage."""
    parser, commands = _grammar()
    options, rest = parser.parse_known_args(arguments)
    if rest:
        command = commands.get(options.command, parser)
        near = nearest(rest[0], command.known_options()) if rest[0].startswith("-") else ""
        hint = f"; did you mean {near}?" if near else "."
        command.error(f"{rest[0]!r} is not understood{hint}")
    if options.command is not None and getattr(options, "screen", None) is not None:
        parser.error("--screen chooses a screen of the full-screen app; leave out the command.")
    return options


def _grammar() -> tuple[Parser, dict[str, Parser]]:
    everywhere = _global_options()
    parser = Parser(prog=PROGRAM, description=_ABOUT, epilog=_EXIT_CODES, parents=[everywhere])
    parser.add_argument(
        "--screen", choices=SCREENS, metavar="NAME", help=f"first screen: {', '.join(SCREENS)}"
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    made: dict[str, Parser] = {}

    def command(name: str, summary: str, about: str, *examples: str) -> Parser:
        epilog = "\n".join(["examples:", *(f"  {PROGRAM} {example}" for example in examples)])
        made[name] = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.\n{about}".rstrip(),
            epilog=epilog,
            parents=[everywhere],
        )
        made[name].set_defaults(command=name)
        return made[name]

    _add_setup(command)
    _add_sharing(command)
    add_autostart(command)
    add_swarms(command)
    _add_ask(command)
    _add_api(command)
    _add_looking(command)
    return parser, made


def _global_options() -> Parser:
    # SUPPRESS: the defaults of a command must not undo what stood before it.
    parser = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("global options, before or after the command")
    group.add_argument(
        "--demo", action="store_true", help="the embedded demo: works with nothing else"
    )
    add_setting(group, "environment", "NAME")
    group.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    group.add_argument("--config", metavar="FILE", help="configuration file")
    group.add_argument(
        "--home", metavar="DIR", help="folder of everything (default: $TORBIZ_HOME or ~/.torbiz)"
    )
    return parser


def _add_setup(command: Any) -> None:
    setup = command(
        "setup",
        "install and verify what is missing",
        "Steps that are done already are only checked. Progress goes to stderr.\n"
        "Exit code: 0 ready, 1 a step failed, 3 something that only you can do.",
        "setup",
        "setup --yes --json",
    )
    setup.add_argument(
        "--yes", "-y", action="store_true", help="do not ask before something is downloaded"
    )
    add_json(setup)
    doctor = command(
        "doctor",
        "check everything, change nothing",
        "Exit code: 0 ready, 1 something is missing, 3 something that only you can do.",
        "doctor",
        "doctor --json",
    )
    add_json(doctor)


def _add_sharing(command: Any) -> None:
    share = command(
        "share",
        "host blocks of a model in the background",
        "The server goes on after this command; `status` looks at it, `stop` ends it.\n"
        "Options that are left out come from the configuration.",
        "share torbiz-demo --new-swarm --wait",
        "share petals-team/StableBeluga2 --blocks 4 --wait --timeout 900",
        "share --join torbiz1-AE0EaG9tZQEL…",
        "share my-model --initial-peer /ip4/192.0.2.7/tcp/31337/p2p/Qm…",
    )
    share.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        default=argparse.SUPPRESS,
        help="Hugging Face id, folder, or torbiz-demo (default: the configured model)",
    )
    add_setting(share, "share.blocks", "BLOCKS")
    add_setting(share, "share.device", "DEVICE")
    add_setting(share, "share.torch_dtype", "DTYPE")
    add_setting(share, "share.quantization", "KIND")
    add_setting(share, "share.port", "N")
    add_setting(share, "share.throughput", "RATE")
    add_setting(share, "share.public_name", "NAME")
    add_setting(share, "share.petals_options", "NAME=VALUE", action="append")
    add_setting(share, "share.announce_maddrs", "MADDR", action="append")
    add_setting(share, "share.attn_cache_tokens", "N")
    add_setting(share, "share.reserve_percent", "PERCENT")
    add_setting(share, "share.hours", "HOURS")
    add_setting(share, "share.mains_only")
    add_setting(share, "share.pause_when_busy", "PERCENT")
    add_setting(share, "share.restart_on_crash")
    swarm = share.add_mutually_exclusive_group()
    swarm.add_argument(
        "--new-swarm",
        dest="swarm.new_swarm",
        action="store_true",
        default=argparse.SUPPRESS,
        help="start a private swarm of your own",
    )
    add_peers(swarm)
    add_swarm_name(share, "a known private swarm by its name, or the name of the new one")
    share.add_argument("--wait", action="store_true", help="return when the blocks are served")
    share.add_argument(
        "--anyway", action="store_true", help="share also where not one block seems to fit"
    )
    _add_pickled(share)
    share.add_argument(
        "--replace",
        action="store_true",
        help="remove a foreign container that has the name (docker.container)",
    )
    share.add_argument(
        "--show-command",
        action="store_true",
        help="print the command that would host, such as docker run, and start nothing",
    )
    share.add_argument(
        "--timeout",
        type=seconds_up_to(1e7),
        metavar="S",
        help="with --wait: give up waiting after S seconds",
    )
    status = command(
        "status",
        "what is shared, at what rate, and where it is reached",
        "Exit code: 0 serving, 4 not serving (not sharing, or still starting).",
        "status",
        "status --json",
    )
    add_json(status)
    stop = command(
        "stop",
        "stop sharing gracefully",
        "The blocks are announced offline first, and running answers get some time to finish\n"
        "(share.drain_s). That nothing is shared is no failure.",
        "stop",
        "stop --now",
    )
    stop.add_argument("--now", action="store_true", help="cut off what is being answered")


def _add_ask(command: Any) -> None:
    ask = command(
        "ask",
        "ask a model of the swarm; the answer streams to stdout",
        "The chat runner stays warm for a while (ask.keep_warm_s), so the next question is\n"
        "answered at once. Questions and answers are kept in the history.\n"
        "Exit code: 0 answered, 1 failed, 5 nobody serves the model, 130 interrupted.",
        'ask --model torbiz-demo "What is Petals?"',
        'ask --continue "And what is a block?"',
        "ask --demo --json < question.txt",
    )
    ask.add_argument(
        "prompt",
        nargs="*",
        metavar="PROMPT",
        help="the question; - or nothing reads it from standard input",
    )
    add_setting(ask, "model", "M")
    add_setting(ask, "ask.revision", "REVISION")
    add_setting(ask, "ask.adapter", "NAME")
    add_setting(ask, "ask.system_prompt", "S")
    add_setting(ask, "ask.max_new_tokens", "N")
    add_setting(ask, "ask.temperature", "T")
    add_setting(ask, "ask.top_p", "P")
    add_setting(ask, "ask.seed", "S")
    add_setting(ask, "ask.stop", "TEXT", action="append")
    ask.add_argument(
        "--local",
        dest="ask.local",
        action="store_true",
        default=argparse.SUPPRESS,
        help="load the model into this machine's memory and ask no swarm",
    )
    _add_pickled(ask)
    add_peers(ask)
    add_swarm_name(ask, "ask in a known private swarm (see `torbiz-tui swarms`)")
    conversation = ask.add_mutually_exclusive_group()
    conversation.add_argument(
        "--continue",
        "-c",
        dest="go_on",
        action="store_true",
        help="go on with the conversation in which something was said last",
    )
    conversation.add_argument(
        "--no-history", dest="keep", action="store_false", help="keep nothing of it"
    )
    ask.add_argument("--json", action="store_true", help="print a JSON line for each event")


def _add_api(command: Any) -> None:
    api = command(
        "api",
        "serve OpenAI's HTTP interface to other programs, until Ctrl-C",
        "It has /v1/models, /v1/chat/completions and /v1/completions, for one model.\n"
        "On loopback a key is needed only where TORBIZ_API_KEY holds one; elsewhere always.\n"
        "What a request leaves out comes from the configuration (ask.temperature …).",
        "api --demo",
        "api --model petals-team/StableBeluga2 --port 8000",
        "api --host 0.0.0.0",
    )
    add_setting(api, "model", "M")
    add_setting(api, "ask.revision", "REVISION")
    add_setting(api, "ask.adapter", "NAME")
    add_setting(api, "api.host", "HOST")
    add_setting(api, "api.port", "N")
    api.add_argument(
        "--local",
        dest="ask.local",
        action="store_true",
        default=argparse.SUPPRESS,
        help="load the model into this machine's memory, and ask no swarm",
    )
    _add_pickled(api)
    add_peers(api)
    add_swarm_name(api, "ask in a known private swarm (see `torbiz-tui swarms`)")


def _add_pickled(parser: Parser) -> None:
    parser.add_argument(
        "--allow-pickled-weights",
        dest="allow_pickled",
        action="store_true",
        help="take weights that can run code, of an owner you trust, where there are no safetensors",
    )


def _add_looking(command: Any) -> None:
    add_swarm(command)
    add_logs(command)
    models = command(
        "models",
        "list the models that Petals can serve, and how they fit on this machine",
        "With MODEL, all that its own config says: its blocks, their sizes, and what fits.\n"
        "What Petals cannot serve is refused with the reason (exit code 2).",
        "models",
        "models petals-team/StableBeluga2",
        "models --json",
    )
    models.add_argument(
        "name", nargs="?", metavar="MODEL", help="a Hugging Face id, a folder, or torbiz-demo"
    )
    add_json(models)
    clean = command(
        "clean",
        "show the disk that the program uses, and free it",
        "Without options it shows the parts, and on a terminal asks for each of them.\n"
        "Only what this program made is removed; images of others are never touched.\n"
        "Exit code: 0 done, 1 something that was asked for stays.",
        "clean",
        "clean --image --env --dry-run",
        "clean --models --yes",
    )
    clean.add_argument(
        "--image", action="store_true", help="the Docker images of this program, and what they left"
    )
    clean.add_argument("--env", action="store_true", help="the venv that Petals is installed in")
    clean.add_argument(
        "--models", action="store_true", help="blocks that Petals has downloaded (not your models)"
    )
    clean.add_argument("--logs", action="store_true", help="the log files")
    clean.add_argument("--yes", "-y", action="store_true", help="do not ask")
    clean.add_argument("--dry-run", action="store_true", help="say what would be freed, only")
    add_json(clean)
    cache = command(
        "cache",
        "list the models that were downloaded, and remove one",
        "  list   every model: size, revisions, when it was last used, and where (the default)\n"
        "  clean  remove MODEL; one that is being shared stays\n"
        "What the Hugging Face cache holds is other programs' too: it goes only with --shared.",
        "cache",
        "cache clean petals-team/StableBeluga2",
        "cache --json",
    )
    cache.add_argument(
        "action", nargs="?", choices=("list", "clean"), default="list", metavar="ACTION"
    )
    cache.add_argument("name", nargs="?", metavar="MODEL", help="the model to remove")
    cache.add_argument("--shared", action="store_true", help="also from the Hugging Face cache")
    cache.add_argument("--yes", "-y", action="store_true", help="do not ask")
    add_json(cache)
    config = command(
        "config",
        "show, check or begin the configuration",
        "  show   every key, its value, and where it came from\n"
        "  check  check the file and the variables; exit code 2 if something is wrong\n"
        "  init   write a file with every key explained, unless there is one\n"
        "  path   print where the file is",
        "config init",
        "config show --demo",
    )
    config.add_argument("action", choices=("show", "check", "init", "path"), metavar="ACTION")
