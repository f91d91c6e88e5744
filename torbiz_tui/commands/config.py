"""`config`: shows, checks, begins the configuration, and says where it is."""

from __future__ import annotations

from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import write_line, write_table
from torbiz_tui.config import SETTINGS, example_text, value_text
from torbiz_tui.errors import ExitCode, TorbizError
from torbiz_tui.logs.redaction import redact


def run(call: Call) -> int:
    """Do what the word after `config` says."""
    action: str = call.options.action
    return {"show": _show, "check": _check, "init": _init, "path": _path}[action](call)


def _show(call: Call) -> int:
    loaded = call.loaded
    rows = [("KEY", "VALUE", "FROM")]
    for key, setting in SETTINGS.items():
        value = redact(value_text(setting, loaded.value(key)))
        rows.append((key, value, str(loaded.origins[key])))
    write_table(rows)
    return ExitCode.OK


def _check(call: Call) -> int:
    there = call.loaded.file.exists()
    write_line(f"{call.config_file}: {'ok' if there else 'not there, so the defaults hold'}")
    return ExitCode.OK


def _init(call: Call) -> int:
    file = call.config_file
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(example_text())
    except FileExistsError as error:
        raise TorbizError(
            f"{error.filename} is there already; it was left as it is.", code="config_exists"
        ) from error
    except OSError as error:
        raise TorbizError(
            f"{file} cannot be written.", why=f"{error.strerror}.", code="config_not_writable"
        ) from error
    write_line(str(file))
    return ExitCode.OK


def _path(call: Call) -> int:
    write_line(str(call.config_file))
    return ExitCode.OK
