"""Starting what the form of Share says, with the questions that only a person can answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from textual import work

from torbiz_tui.errors import TorbizError
from torbiz_tui.pickled_weights import PICKLED, pickled_question
from torbiz_tui.screens.preparing import PreparingScreen
from torbiz_tui.screens.question import QuestionScreen
from torbiz_tui.sharing.refusals import DOES_NOT_FIT, NAME_TAKEN, START_STOPPED
from torbiz_tui.sharing.state import Stage

if TYPE_CHECKING:
    from torbiz_tui.assembly import Services
    from torbiz_tui.environments.base import ServerSpec
    from torbiz_tui.sharing.request import ShareRequest
    from torbiz_tui.sharing.state import SharingState


class StartingScreen(PreparingScreen):
    """A screen that starts a server; `request` is what it asked for last."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.request: ShareRequest | None = None
        self.started_as: ServerSpec | None = None
        self.starting = False

    def begin(self, request: ShareRequest, *, from_form: bool = False) -> None:
        """Start beside, unless it is being done; `from_form`: the swarm has to be found first."""
        if not self.starting:
            self._start(request, from_form=from_form)

    @work(group="start", exit_on_error=False)
    async def _start(
        self, request: ShareRequest, *, replace: bool = False, from_form: bool = False
    ) -> None:
        await self.launch(request, replace=replace, from_form=from_form)

    async def launch(
        self, request: ShareRequest, *, replace: bool = False, from_form: bool = False
    ) -> None:
        """Start, and ask where only a person can say whether it may go on."""
        self.starting = True
        self.form.set_starting(starting=True)
        self.notice.close()
        sharing = self.services.sharing
        try:
            if from_form:
                request = await self.placed(request)
            self.request = request
            await sharing.start(request, replace=replace, hub_token=self.form.hub_token)
            self.started_as = sharing.state.spec
        except TorbizError as error:
            if error.code == NAME_TAKEN:
                self._ask_to_replace(request, error)
            elif error.code == DOES_NOT_FIT:
                self._ask_to_share_anyway(request, error)
            elif error.code != START_STOPPED:  # who has stopped it sees that
                self.refused(error)
        finally:
            self.starting = False
            self.form.set_starting(starting=False)

    def would_lose(self) -> list[str]:
        """A start for which something is being installed still: it needs this program."""
        if self.services.sharing.state.stage is not Stage.PREPARING:
            return super().would_lose()
        return [*super().would_lose(), "A server is being started; leaving now ends that."]

    def refused(self, error: TorbizError) -> None:
        """Say it at its field where it has one that can be seen."""
        if not self.form.display or not self.form.show_error(error):
            self.report(error)

    def _ask_to_replace(self, request: ShareRequest, error: TorbizError) -> None:
        def answered(remove: bool | None) -> None:
            if remove:
                self._start(request, replace=True)
            else:
                self.report(error)

        question = QuestionScreen(
            f"{error.what}\n{error.why}\n\nRemove that container and start?",
            yes="Remove it and start",
            no="Leave it",
        )
        self.app.push_screen(question, answered)

    def _ask_to_share_anyway(self, request: ShareRequest, error: TorbizError) -> None:
        def answered(share: bool | None) -> None:
            if share:
                self._start(replace(request, anyway=True))
            else:
                self.report(error)

        question = QuestionScreen(
            f"{error.what}\n{error.why}\n\nShare one block all the same?",
            yes="Share one block",
            no="Leave it",
        )
        self.app.push_screen(question, answered)

    def ask_about_pickled(self, state: SharingState) -> bool:
        """Ask where the server has ended because its weights could run code; False if not."""
        from torbiz_tui.sharing.downloads import download_failure

        report, request = state.exit_report, self.as_it_ran(state)
        failed = download_failure(report.last_lines) if report is not None else None
        if failed is None or failed.code != PICKLED or request is None or request.allow_pickled:
            return False

        def answered(load: bool | None) -> None:
            if load:
                self.begin(replace(request, allow_pickled=True))

        text = pickled_question(request.model, failed)
        question = QuestionScreen(text, yes="Load it", no="Leave it")
        self.app.push_screen(question, answered)
        return True

    def as_it_ran(self, state: SharingState) -> ShareRequest | None:
        """What the server was asked to be; of one that another program started, what it is."""
        from torbiz_tui.sharing.request import request_of

        if state.spec is None:
            return self.request
        if self.request is not None and state.spec == self.started_as:
            return self.request
        return request_of(state.spec)
