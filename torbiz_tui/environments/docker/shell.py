"""Handing the terminal to another program while the app steps aside."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from torbiz_tui.errors import TorbizError


def run_in_terminal(argv: Sequence[str], banner: str) -> int:
    """Run a program on this terminal until it ends; returns its exit code.

    Ctrl-C belongs to that program meanwhile. Raises TorbizError when it cannot be started.
    """
    sys.stdout.write(f"{banner}\n")
    sys.stdout.flush()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # The child gets SIGINT's default back: what is ignored would stay ignored through exec.
        return subprocess.Popen(
            list(argv), restore_signals=True, preexec_fn=_listen_to_ctrl_c
        ).wait()
    except OSError as error:
        raise TorbizError(
            f"{argv[0]} cannot be started.", why=f"{error.strerror}.", code="no_docker_client"
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)


def _listen_to_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
