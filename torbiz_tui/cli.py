"""The command line: parses, calls a command, turns what goes wrong into a sentence and a code."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TextIO

from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import PROGRAM, OutputClosedError, silence, tell, tell_error
from torbiz_tui.commands.parser import parse
from torbiz_tui.errors import ExitCode, TorbizError, UsageError


def main(argv: list[str] | None = None) -> int:
    """Run one call; returns the exit code that `docs/commands.md` lists."""
    _fill_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        _survive_any_character(stream)
    try:
        code = _run(argv)
    except KeyboardInterrupt:
        tell("Interrupted.")
        code = ExitCode.INTERRUPTED
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else ExitCode.OK
    # A reader that has seen enough (head, a pager) is no failure.
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        silence(sys.stdout)
    return int(code)


def _run(argv: list[str] | None) -> int:
    call = Call(parse(argv))
    try:
        return _dispatch(call)
    except TorbizError as error:
        tell_error(error)
        return error.exit_code
    except OutputClosedError:
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 (nobody should have to read a traceback)
        return _unexpected(call, error)
    finally:
        _tell_write_failures()


def _dispatch(call: Call) -> int:
    if call.options.command is None:
        return _open_app(call)
    command = import_module(f"torbiz_tui.commands.{call.options.command}")
    return int(command.run(call))


def _open_app(call: Call) -> int:
    """Open the full-screen app. Raises UsageError where there is no terminal for it."""
    # Textual draws on standard error.
    streams = {
        "standard input": sys.stdin,
        "standard output": sys.stdout,
        "standard error": sys.stderr,
    }
    for name, stream in streams.items():
        if stream is None or not stream.isatty():
            raise UsageError(
                f"The full-screen app needs a terminal, and {name} is none.",
                remedy=f"`{PROGRAM} --help` lists the commands that work without one.",
                code="no_terminal",
            )
    # What is made until the first paint stays; to look for garbage in it takes a tenth of the time.
    # The app enables it again.
    gc.disable()
    loaded = call.loaded
    call.start_log(create=True)
    from torbiz_tui.app import run_app

    return run_app(loaded, call.paths, getattr(call.options, "screen", None))


def _unexpected(call: Call, error: Exception) -> int:
    tell(f"{PROGRAM}: Something unexpected happened: {type(error).__name__}: {error}")
    # The log is for later; that it cannot be written must not hide the error itself.
    with suppress(Exception):
        call.paths.ensure()
        from torbiz_tui.logs.writing import logger, start_logging

        start_logging(call.paths)
        logger("app").error("unexpected error in %s", sys.argv[1:2], exc_info=error)
        tell(f"  The details are in {call.paths.logs / 'app.log'}.")
    return ExitCode.FAILED


def _tell_write_failures() -> None:
    writing = sys.modules.get("torbiz_tui.logs.writing")
    if writing is not None:
        for failure in writing.write_failures:
            tell(f"{PROGRAM}: {failure}")
        writing.write_failures.clear()


def _fill_closed_streams() -> None:
    """Let a stream that was closed by who called (`>&-`) lead nowhere.

    Its number would go to the next file that is opened, such as the history.
    """
    for name, number, how in (
        ("stdin", 0, os.O_RDONLY),
        ("stdout", 1, os.O_WRONLY),
        ("stderr", 2, os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, how)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(
                sys, name, os.fdopen(number, "r" if how == os.O_RDONLY else "w", encoding="utf-8")
            )


def _survive_any_character(stream: TextIO | None) -> None:
    """Show what the terminal's encoding lacks as a question mark, instead of failing on it."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
