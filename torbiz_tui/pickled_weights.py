"""The models whose pickled weights the person has agreed to load, each for itself.

PyTorch's own files are pickles, which can run code of whoever made them when they are loaded.
"""

from __future__ import annotations

from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths
from torbiz_tui.state_file import StateFile

PICKLED = "pickled_weights"
"""The code of the refusal to load what nobody has agreed to."""

_KEY = "pickled_weights"


class AllowedPickles:
    """Remembers what was agreed to, by hub id or folder, for hosting and asking alike."""

    def __init__(self, paths: Paths) -> None:
        self._file = StateFile(paths)

    def allows(self, model: str) -> bool:
        """Whether it was agreed to; not where the memory cannot be read."""
        try:
            return model in _models(self._file.read(_KEY))
        except TorbizError:
            return False

    def allow(self, model: str) -> None:
        """Remember that the owner of this model is trusted. Raises TorbizError when it cannot."""
        if not self.allows(model):
            self._file.change(_KEY, lambda kept: [*_models(kept), model])

    def forget(self, model: str) -> bool:
        """Ask again from now on; whether it had been agreed to. Raises as `allow` does.

        The hub tells no capital letters apart.
        """
        name = model.lower()

        def others(kept: object) -> list[str]:
            return [one for one in _models(kept) if one.lower() != name]

        kept = _models(self._file.read(_KEY))
        if len(others(kept)) == len(kept):
            return False
        self._file.change(_KEY, others)
        return True


def pickled_question(model: str, error: TorbizError) -> str:
    """What a person is asked before the weights of this model are loaded."""
    return (
        f"{error.what}\n{error.why}\n\nLoad what may run code of its owner{_owner(model)} on this"
        " machine? Only if you trust that owner."
    )


def _owner(model: str) -> str:
    """The owner of a model of the hub, to go into the question; a folder has none."""
    owner, slash, name = model.partition("/")
    if not slash or "/" in name or not owner or owner.startswith((".", "~")):
        return ""
    return f" ({owner})"


def _models(kept: object) -> list[str]:
    return [one for one in kept if isinstance(one, str)] if isinstance(kept, list) else []
