"""The Docker panel of Setup: what the engine holds, and what a person may do with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState

from torbiz_tui.environments.docker.docker_commands import DockerCommand
from torbiz_tui.environments.docker.holdings import ContainerInfo, ImageInfo, Owner, same_tag
from torbiz_tui.environments.docker.image import ROLE_IMAGE
from torbiz_tui.environments.docker.shell import run_in_terminal
from torbiz_tui.screens.base import as_torbiz_error
from torbiz_tui.screens.question import QuestionScreen
from torbiz_tui.widgets import keys
from torbiz_tui.widgets.durations import memory, span
from torbiz_tui.widgets.notice import error_content

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.environments.docker.cleanup import Candidate
    from torbiz_tui.environments.docker.inventory import DockerInventory, Overview

OPENS_LOG = "logs"
REBUILDS = "build"
_REBUILD_NOTE = "Setup does it, with its progress"
_CLEAN_NOTE = "removes only what is this program's, after showing the sizes"
_KEYS = {"logs": "l", "stop": "x", "shell": "e", "build": "b", "remove_image": "Del"}
_OWNERS = {Owner.OURS: "ours", Owner.NAMED: "ours by name", Owner.OTHER: ""}


class DockerScreen(ModalScreen[str]):
    """Dismissed with what Setup should do next: `logs`, `build`, or nothing."""

    BINDINGS = [*keys.DOCKER]
    CSS_PATH = "docker.tcss"

    def __init__(
        self, services: Services, inventory: DockerInventory, begin_with: str = ""
    ) -> None:
        super().__init__()
        self._begin_with = begin_with
        self._services = services
        self._inventory = inventory
        self._overview: Overview | None = None
        self._commands: Sequence[DockerCommand] = ()

    def compose(self) -> ComposeResult:
        """The engine, what it holds, what can be done, and what came of it."""
        with Vertical(id="frame") as frame:
            frame.border_title = "Docker"
            frame.border_subtitle = "r looks again, Esc closes"
            with VerticalScroll(id="holdings"):
                yield Static("Asking the engine…", id="facts", markup=False)
            yield OptionList(id="actions", markup=False)
            yield Static(id="message", markup=False)

    def on_mount(self) -> None:
        """Ask the engine."""
        self.query_one("#actions").focus()
        if self._begin_with in (OPENS_LOG, REBUILDS):
            self.dismiss(self._begin_with)
        else:
            self._open()

    @work(group="look", exclusive=True, exit_on_error=False)
    async def _open(self) -> None:
        await self._look()
        if self._begin_with:
            self.action_panel(self._begin_with)

    # What is shown

    @work(group="look", exclusive=True, exit_on_error=False)
    async def action_refresh_panel(self) -> None:
        """Ask the engine again."""
        await self._look()

    async def _look(self) -> None:
        overview = await self._inventory.overview()
        self._overview = overview
        self._commands = await self._inventory.commands()
        self.query_one("#facts", Static).update(_facts(overview, self._inventory.config.image))
        self._show_actions()

    def _show_actions(self) -> None:
        actions = self.query_one("#actions", OptionList)
        chosen = actions.highlighted
        actions.clear_options()
        actions.add_options(self._options())
        actions.highlighted = min(chosen or 0, actions.option_count - 1)

    def _options(self) -> Iterator[Option]:
        name = self._inventory.config.container
        if self._overview is not None and any(
            box.paused and box.name == name for box in self._overview.containers
        ):
            yield Option(_action_line("u", "Let it go on", f"docker unpause {name}"), id="unpause")
        for command in self._commands:
            if command.id in _KEYS:
                line = _REBUILD_NOTE if command.id == REBUILDS else command.line
                yield Option(_action_line(_KEYS[command.id], command.title, line), id=command.id)
        yield Option(_action_line("c", "Clean up", _CLEAN_NOTE), id="clean")
        for command in self._commands:
            if command.id == "prune":
                yield Option(
                    _action_line("", "About system prune", f"{command.line} (not run by this app)"),
                    id="prune",
                )

    def _say(self, content: Content | str) -> None:
        message = self.query_one("#message", Static)
        message.update(content)
        # When another part changes at the same time, it would keep the height that it had.
        self.call_after_refresh(message.refresh, layout=True)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A worker that failed is heard of here."""
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            error = as_torbiz_error(event.worker.error)
            self._say(error_content(error))
            if self._overview is None:
                self.query_one("#facts", Static).update("The engine does not answer.")

    # What the person does

    @on(OptionList.OptionSelected, "#actions")
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        if event.option.id is not None:
            self.action_panel(event.option.id)

    def action_close_panel(self) -> None:
        """Back to Setup."""
        self.dismiss("")

    def action_panel(self, action: str) -> None:
        """Do what is chosen."""
        if action in (OPENS_LOG, REBUILDS):
            self.dismiss(action)
        elif action == "prune":
            self._say(self._prune_note())
        else:
            self._act(action)

    def _prune_note(self) -> str:
        return next(
            (
                f"{command.line}: {command.note}"
                for command in self._commands
                if command.id == "prune"
            ),
            "",
        )

    @work(group="act", exit_on_error=False)
    async def _act(self, action: str) -> None:
        self._say("")
        if action == "stop":
            await self._stop()
        elif action == "unpause":
            await self._inventory.unpause()
            self._say("The container goes on.")
        elif action == "shell":
            await self._shell()
        elif action == "remove_image":
            await self._remove_image()
        elif action == "clean":
            await self._clean()
        await self._look()

    async def _stop(self) -> None:
        self._say(f"Stopping {self._inventory.config.container}; its blocks go offline first…")
        if self._services.sharing.state.active:
            report = await self._services.sharing.stop()
            self._say(report.sentence() if report is not None else "It had stopped already.")
        else:
            self._say(await self._inventory.stop_container())

    async def _shell(self) -> None:
        argv = await self._inventory.shell_command()
        with self.app.suspend():
            run_in_terminal(argv, f"{' '.join(argv[-4:])}: `exit` brings the app back.")
        self._say("Back from the shell.")

    async def _remove_image(self) -> None:
        tag = self._inventory.config.image
        if await self._ask(f"Remove the image {tag}? Setup can build it again.", "Remove it"):
            freed = await self._inventory.remove_image(tag)
            self._say(f"The image {tag} is removed; that freed {memory(freed)}.")

    async def _clean(self) -> None:
        found = await self._inventory.cleanup_candidates()
        free = [candidate for candidate in found if not candidate.in_use]
        if not free:
            self._say(_nothing_to_clean(found))
            return
        if await self._ask(_cleaning(found), "Remove them"):
            lines: list[str] = []
            cleaned = await self._inventory.clean(free, lines.append)
            self._say("\n".join([*lines, f"Freed {memory(cleaned.bytes)}."]))

    async def _ask(self, question: str, yes: str) -> bool:
        screen = QuestionScreen(question, yes=yes, no="Leave it")
        return await self.app.push_screen(screen, wait_for_dismiss=True)


def _nothing_to_clean(found: Sequence[Candidate]) -> str:
    if not found:
        return "There is nothing of this program on the engine."
    return "\n".join(f"{candidate.name} stays. {candidate.in_use}" for candidate in found)


def _cleaning(found: Sequence[Candidate]) -> str:
    lines = ["This is this program's, and nothing else is touched:", ""]
    for candidate in found:
        what = f"stays. {candidate.in_use}" if candidate.in_use else memory(candidate.bytes)
        lines.append(f"{candidate.kind} {candidate.name}: {what}")
        if candidate.by_name and not candidate.in_use:
            lines.append("  This program has not made it: it only has the configured name.")
    freed = sum(candidate.bytes for candidate in found if not candidate.in_use)
    return "\n".join([*lines, "", f"Removing it frees {memory(freed)}."])


def _action_line(key: str, title: str, line: str) -> Content:
    return Content.assemble((f" {key:<4}", "$text-accent"), f"{title:<30} ", (line, "dim"))


def _facts(overview: Overview, tag: str) -> Content:
    parts: list[str | Content | tuple[str, str]] = [(overview.engine_text, "bold")]
    if overview.ours_bytes is not None and overview.total_bytes is not None:
        parts.append(
            f"\nDisk: {memory(overview.total_bytes)} in all, {memory(overview.ours_bytes)} of it"
            " this program's"
        )
    parts.append(("\n\nContainers", "bold"))
    parts += [_container_line(box) for box in overview.containers] or ["\n  none"]
    parts.append(("\n\nImages", "bold"))
    fresh = overview.fresh
    parts += [
        _image_line(image, fresh if same_tag(tag, image.tags) else None)
        for image in _ours_first(overview.images)
    ] or ["\n  none"]
    return Content.assemble(*parts)


def _ours_first(images: Sequence[ImageInfo]) -> list[ImageInfo]:
    return sorted(images, key=lambda image: (image.owner is Owner.OTHER, -image.created_at))


def _container_line(box: ContainerInfo) -> Content:
    mark = "●" if box.running else "○"
    ours = box.owner is not Owner.OTHER
    return Content.assemble(
        (f"\n  {mark} {box.name:<28} ", "" if ours else "dim"),
        (f"{box.status:<24} ", "$text-warning" if box.paused else ("" if ours else "dim")),
        (_OWNERS[box.owner], "$text-success"),
    )


def _image_line(image: ImageInfo, fresh: bool | None) -> Content:
    ours = image.owner is not Owner.OTHER
    style = "" if ours else "dim"
    note = _OWNERS[image.owner]
    if image.role and image.role != ROLE_IMAGE:
        note += f" ({image.role})"
    elif image.owner is Owner.OURS and fresh is not None:
        note += ", fresh" if fresh else ", stale: rebuild it"
    age = span(max(0.0, time.time() - image.created_at))
    return Content.assemble(
        (f"\n  {image.name:<30} {memory(image.size_bytes):>8}  {age + ' old':<16} ", style),
        (note, "$text-success"),
    )
