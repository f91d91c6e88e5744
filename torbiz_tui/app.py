"""The full-screen app: modes, palette, themes, keys."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from torbiz_tui.config_errors import did_you_mean
from torbiz_tui.logs.writing import write_failures
from torbiz_tui.screens.base import ModeScreen, as_torbiz_error
from torbiz_tui.sharing.state import Phase
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.ordered_keys import OrderedKeys

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.config import LoadedConfig
    from torbiz_tui.paths import Paths
    from torbiz_tui.screens.leave import Leaving
    from torbiz_tui.sharing.state import SharingState

MODES = ("setup", "share", "ask", "logs")
DOCKER_COMMANDS = (
    ("", "containers and images", "What the engine holds, and whose it is"),
    ("logs", "follow the log", "Of the container that hosts"),
    ("stop", "stop the container", "Gracefully: its blocks go offline first"),
    ("shell", "open a shell", "In the container that hosts"),
    ("remove_image", "remove the image", "Setup builds it again"),
    ("build", "rebuild the image", "Setup shows the progress"),
    ("clean", "clean up", "Frees what only this program uses, after showing the sizes"),
    ("prune", "explain docker system prune", "Why the app does not run it"),
)
_SCREENS = Path(__file__).with_name("screens")
_ATTACH_AFTER_S = 0.2
_LOOK_FOR_TERMINAL_S = 1.0
_PRELOAD_AFTER_S = 1.0
_LOOK_AGAIN_S = 2.0
_ERROR_SHOWN_S = 20.0
# A screen takes a third of a second; none must keep the others for ever.
_OPENING_S = 5.0


class TorbizApp(OrderedKeys):
    """Four modes on the same services; only the first one's module is loaded at the start."""

    TITLE = "torbiz"
    BINDINGS = [*keys.APP]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-medium"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (16, "-tall")]
    CSS = """
    Toast { max-width: 90%; }
    .-narrow FooterKey.-command-palette { display: none; }
    Button.-textual-compact { min-width: 8; }
    """

    def __init__(self, services: Services, first_mode: str = "ask") -> None:
        # Read by App.__init__: so the first paint is already the first screen's.
        self.DEFAULT_MODE = first_mode  # type: ignore[misc]
        # Parsed together with all else; the CSS of a screen that comes later is parsed with it anew.
        super().__init__(css_path=_SCREENS / f"{first_mode}.tcss")
        self.services = services
        self._opened: dict[str, ModeScreen] = {}
        for mode in MODES:
            self.add_mode(mode, partial(self._open, mode))
        self._keymap_given = dict(services.config.interface.keys)
        self._was_active = False
        self._finding: Worker[None] | None = None
        self.stopped_on_leaving = False

    def _open(self, mode: str) -> Screen[Any]:
        if mode == "setup":
            from torbiz_tui.screens.setup import SetupScreen as Chosen
        elif mode == "share":
            from torbiz_tui.screens.share import ShareScreen as Chosen  # type: ignore[assignment]
        elif mode == "ask":
            from torbiz_tui.screens.ask import AskScreen as Chosen  # type: ignore[assignment]
        else:
            from torbiz_tui.screens.logs import LogsScreen as Chosen  # type: ignore[assignment]
        self._opened[mode] = Chosen(self.services)
        return self._opened[mode]

    def on_mount(self) -> None:
        """Take in what the configuration says, and look for a server after the first paint."""
        self._use_theme(self.services.config.interface.theme)
        self._use_keys()
        self._watch_sharing()
        self.set_timer(_ATTACH_AFTER_S, self._started)
        self.set_interval(1.0, self._tell_log_failures)
        self.set_interval(_LOOK_AGAIN_S, self._look_again)
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)
            self.set_interval(_LOOK_FOR_TERMINAL_S, self._leave_without_terminal)
            self.set_timer(_PRELOAD_AFTER_S, self._preload)

    def _leave_without_terminal(self) -> None:
        """Who has started us (make does) may keep a hang-up to itself, and nobody sees us any more."""
        if sys.__stdin__ is None or not sys.__stdin__.isatty():
            self.exit()

    @work(group="preload", exit_on_error=False)
    async def _preload(self) -> None:
        """Load the other screens' code before somebody waits for it, on a machine that is busy."""
        from torbiz_tui.screens.preloading import load_screens
        from torbiz_tui.threads import call_abandonable

        await call_abandonable(load_screens, "load the screens")

    def _started(self) -> None:
        # What start has made stays: to look through it again holds up a frame by some 50 ms.
        gc.freeze()
        gc.enable()
        self._finding = self._find_server()

    def _use_theme(self, name: str) -> None:
        if name in self.available_themes:
            self.theme = name
        elif name:
            known = ", ".join(sorted(self.available_themes))
            self.notify(
                f"There is no theme {name!r}; {self.theme} is used. Known are: {known}.",
                title="interface.theme",
                severity="warning",
                timeout=_ERROR_SHOWN_S,
                markup=False,
            )

    def _use_keys(self) -> None:
        if not self._keymap_given:
            return
        known = keys.known_ids()
        unknown = sorted(set(self._keymap_given) - known)
        if unknown:
            # There are more names than a message can hold.
            wrong = ", ".join(name + did_you_mean(name, known).rstrip(".") for name in unknown)
            self.notify(
                f"Unknown: {wrong}. All names are in docs/keys.md.",
                title="interface.keys",
                severity="warning",
                timeout=_ERROR_SHOWN_S,
                markup=False,
            )
        self.set_keymap({name: key for name, key in self._keymap_given.items() if name in known})

    def get_key_display(self, binding: Binding) -> str:
        """As Textual shows it, function keys in capitals as on the keyboard."""
        shown = super().get_key_display(binding)
        return shown.upper() if shown[:1] == "f" and shown[1:].isdecimal() else shown

    # The hosted server, whatever screen is shown

    @work(group="attach", exit_on_error=False)
    async def _find_server(self) -> None:
        await self.services.sharing.attach()

    def _look_again(self) -> None:
        """A server may have been started from a shell or another terminal meanwhile."""
        state = self.services.sharing.state
        # An engine that is slow to answer is waited for; out of sight, the service looks again.
        looking = self._finding is not None and not self._finding.is_finished
        if not state.active and not state.lost and not looking:
            self._finding = self._find_server()

    @work(group="sharing", exclusive=True, exit_on_error=False)
    async def _watch_sharing(self) -> None:
        with self.services.sharing.subscribe() as states:
            async for state in states:
                self._sharing_changed(state)

    def _sharing_changed(self, state: SharingState) -> None:
        told_here = self._was_active and self.current_mode != "share"
        if state.phase is Phase.FAILED and told_here:
            parts = [state.failure]
            if state.exit_report is not None and state.exit_report.last_lines:
                parts.append(state.exit_report.last_lines[-1])
            parts.append(state.remedy)
            self.notify(
                "\n".join(part for part in parts if part) + "\nF2 shows more.",
                title="The hosted server has ended",
                severity="error",
                timeout=_ERROR_SHOWN_S,
                markup=False,
            )
        elif state.phase is Phase.STOPPED and told_here and state.events:
            self.notify(f"{state.events[-1].text}.", markup=False)
        self._was_active = state.active

    def _tell_log_failures(self) -> None:
        while write_failures:
            self.notify(write_failures.pop(), severity="warning", markup=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A worker of the app that failed is heard of."""
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            self.report(event.worker.error)

    def report(self, error: BaseException) -> None:
        """Show an error, on the screen's message area where it has one."""
        if isinstance(self.screen, ModeScreen):
            self.screen.report(error)
            return
        self.notify(
            "\n".join(as_torbiz_error(error).lines()),
            severity="error",
            timeout=_ERROR_SHOWN_S,
            markup=False,
        )

    @contextmanager
    def batch_update(self) -> Generator[None, None, None]:
        """Hold back drawing, as a footer does that changes its keys.

        What became due meanwhile is drawn at the end: Textual would leave it to the next key, and
        a screen that was just opened stayed invisible.
        """
        with super().batch_update():
            yield
        if self.screen_stack:
            self.screen.check_idle()

    # Going about

    async def action_go(self, mode: str) -> None:
        """Go to a screen."""
        if not isinstance(self.screen, ModeScreen):
            return
        if mode == "share":
            # It says all that the message about the server says, and more.
            self.clear_notifications()
        await self.switch_mode(mode)
        if isinstance(self.screen, ModeScreen):
            # Textual does not wait for it, and the next key would go to a screen without a focus.
            with suppress(TimeoutError):
                async with asyncio.timeout(_OPENING_S):
                    await self.screen.opened.wait()

    async def action_show_log(self, source: str) -> None:
        """Go to a log."""
        await self.action_go("logs")
        from torbiz_tui.screens.logs import LogsScreen

        if isinstance(self.screen, LogsScreen):
            await self.screen.show_source(source)

    def action_help(self) -> None:
        """Say what this screen is for, and its keys."""
        screen = self.screen
        if isinstance(screen, ModeScreen):
            from torbiz_tui.screens.help import HelpScreen

            self.push_screen(
                HelpScreen(screen.MODE.capitalize(), screen.PURPOSE, self._keymap_given)
            )

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Everything that can be done now, by name."""
        for mode in MODES:
            yield SystemCommand(f"Go to {mode.capitalize()}", "", partial(self.action_go, mode))
        if isinstance(screen, ModeScreen):
            yield from screen.palette_commands()
        yield from self._sharing_commands()
        yield from self._docker_commands()
        yield SystemCommand("Help", "What this screen is for, and its keys", self.action_help)
        yield SystemCommand("Theme", "Change the colours", self.action_change_theme)
        yield SystemCommand("Leave", "A hosted server goes on", self.action_quit)

    def _sharing_commands(self) -> Iterable[SystemCommand]:
        from torbiz_tui.screens.share import ShareScreen

        state = self.services.sharing.state

        def on_share(name: str) -> Any:
            async def act() -> None:
                await self.action_go("share")
                if isinstance(self.screen, ShareScreen):
                    await self.screen.run_action(name)

            return act

        if state.phase in (Phase.STARTING, Phase.SERVING):
            yield SystemCommand("Stop sharing", "Stop the hosted server", on_share("stop"))
        elif not state.active:
            yield SystemCommand(
                "Start sharing", "With what the form of Share says", on_share("start")
            )
        if state.active and state.addresses:
            from torbiz_tui.sharing.inviting import offers

            for offer in offers(state):
                act = on_share(f"copy_invite({offer.key!r})")
                text = offer.text if len(offer.text) < 80 else f"{offer.text[:60]}…"
                yield SystemCommand(f"Copy {offer.title}", text, act)

    def _docker_commands(self) -> Iterable[SystemCommand]:
        if self.services.inventory is None:
            return
        for action, title, text in DOCKER_COMMANDS:
            yield SystemCommand(f"Docker: {title}", text, partial(self.action_docker_panel, action))

    async def action_docker_panel(self, action: str) -> None:
        """Do something on the Docker panel of Setup."""
        from torbiz_tui.screens.setup import SetupScreen

        await self.action_go("setup")
        if isinstance(self.screen, SetupScreen):
            self.screen.action_docker(action)

    # Leaving

    async def action_quit(self) -> None:
        """Leave; asks only when something would be lost."""
        from torbiz_tui.screens.leave import LeaveScreen

        if isinstance(self.screen, LeaveScreen):
            return
        losses = [loss for screen in self._opened.values() for loss in screen.would_lose()]
        if not losses:
            self.exit()
            return
        question = LeaveScreen(losses, sharing=self.services.sharing.state.active)
        self.push_screen(question, self._leave_answered)

    def _leave_answered(self, answer: Leaving | None) -> None:
        if answer == "leave":
            self.exit()
        elif answer == "stop":
            self._stop_and_leave()

    @work(group="leave", exit_on_error=False)
    async def _stop_and_leave(self) -> None:
        self.notify("Stopping the server, then leaving.", markup=False)
        await self.services.sharing.stop()
        self.exit()


def goodbye(state: SharingState) -> str:
    """What to say on the terminal after leaving: that the server goes on, and how to stop it."""
    if not state.active or state.phase is Phase.STOPPING:
        return ""
    model = state.spec.model if state.spec is not None else "the model"
    return (
        f"The server goes on sharing {model}. "
        "`torbiz-tui status` shows it, `torbiz-tui stop` stops it."
    )


def run_app(loaded: LoadedConfig, paths: Paths, screen: str | None) -> int:
    """Run the full-screen app until the person leaves; returns the exit code."""
    from torbiz_tui.assembly import build_services, looks_ready

    services = build_services(loaded.config, paths)
    first = screen or ("ask" if looks_ready(loaded.config, paths) else "setup")

    async def run() -> int:
        app = TorbizApp(services, first)
        try:
            await app.run_async()
        finally:
            farewell = goodbye(services.sharing.state)
            await services.close()
        if farewell:
            sys.stdout.write(farewell + "\n")
        return app.return_code or 0

    return asyncio.run(run())
