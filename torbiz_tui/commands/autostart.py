"""`autostart`: sharing that begins with the machine's login."""

from __future__ import annotations

import os
import shlex

from torbiz_tui.autostart import Autostart, share_command
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import PROGRAM, tell, write_json, write_line
from torbiz_tui.errors import ExitCode, UsageError
from torbiz_tui.paths import shown

# Where things are is in the command itself, and tokens are never written down.
_NOT_SETTINGS = {"TORBIZ_HOME", "TORBIZ_NODE_TOKEN", "TORBIZ_NODE_TOKEN_FILE", "TORBIZ_API_KEY"}


def run(call: Call) -> int:
    """Switch it on or off, or say how it is."""
    autostart = Autostart()
    action: str = call.options.action
    if action == "on":
        _switch_on(call, autostart)
    elif action == "off":
        was_on = autostart.switch_off()
        tell("Sharing no longer begins at login." if was_on else "Sharing did not begin at login.")
    state = autostart.state()
    if call.options.json:
        write_json({"on": state.on, "file": str(state.file), "command": state.command or None})
    elif action == "status":
        write_line(f"on: {shown(state.file)}" if state.on else "off")
        if state.on:
            write_line(state.command)
    return ExitCode.OK


def _switch_on(call: Call, autostart: Autostart) -> None:
    config = call.loaded.config
    origin = call.loaded.origins["model"]
    if not config.model or origin.kind == "variable":
        raise UsageError(
            "Which model should be shared at login?",
            why=f"A login does not have the variable {origin}." if config.model else "",
            remedy=f"Set model in {shown(call.config_file)} (`{PROGRAM} config init` begins it).",
            code="no_model",
        )
    options = []
    if getattr(call.options, "config", None) is not None:
        options += ["--config", str(call.config_file)]
    if getattr(call.options, "demo", False):
        options.append("--demo")
    if environment := getattr(call.options, "environment", ""):
        options += ["--environment", environment]
    call.paths.ensure()
    state = autostart.switch_on(
        share_command(call.paths.home, [*options, "share", "--wait"]),
        share_command(call.paths.home, [*options, "stop"]),
        # What is being answered may finish before.
        stop_grace_s=config.share.drain_s + config.share.stop_grace_s,
        log=call.paths.logs / "autostart.log",
    )
    tell(f"From the next login on this machine shares {config.model} ({shown(state.file)}).")
    home = ["--home", str(call.paths.home)] if hasattr(call.options, "home") else []
    now = shlex.join([PROGRAM, *home, *options, "share"])
    tell(f"`{now}` begins now; `{PROGRAM} autostart off` undoes it.")
    left = sorted(
        name for name in os.environ if name.startswith("TORBIZ_") and name not in _NOT_SETTINGS
    )
    if left:
        tell(f"Not carried over, since a login has other variables: {', '.join(left)}.")
    if any(os.environ.get(name) for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")):
        tell("The token is not written down: keep it in the hub's token file for a gated model.")
