"""What is said to be wrong with the fields of Share, each until its value is another one."""

from __future__ import annotations

from collections.abc import Mapping

from textual.widget import Widget
from textual.widgets import Input

from torbiz_tui.widgets.field import Field
from torbiz_tui.widgets.share_more import NAMES, MoreSettings

# In the order in which they stand on the screen.
_FIELDS = ("model", "blocks", "swarm", "peers", "device", *NAMES)


class ShareProblems:
    """The problems of the form's fields as they are shown."""

    def __init__(self, form: Widget) -> None:
        self._form = form
        self._wrong: dict[str, object] = {}

    def show_all(self, problems: Mapping[str, str]) -> str:
        """Show these and no others; the answer is the first field that has one, empty for none."""
        for name in _FIELDS:
            self.show(name, problems.get(name, ""))
        return next((name for name in _FIELDS if name in problems), "")

    def show(self, name: str, text: str) -> None:
        """Show what is wrong with one; an empty text takes it away."""
        if text:
            self._wrong[name] = self._value(name)
        else:
            self._wrong.pop(name, None)
        self._form.query_one(f"#field-{name}", Field).show_problem(text)
        self._form.query_one(MoreSettings).make_room()

    def take_back(self) -> None:
        """What is wrong with a value is not said of another one."""
        for name, value in list(self._wrong.items()):
            if self._value(name) != value:
                self.show(name, "")

    def _value(self, name: str) -> object:
        control = self._form.query_one(f"#{name}")
        if isinstance(control, Input):
            return control.value.strip()
        return getattr(control, "value", None)
