"""The models that the form of Share offers, and what was learned of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torbiz_tui.widgets.model_name import short_model

if TYPE_CHECKING:
    from torbiz_tui.catalogue import ModelInfo


class OfferedModels:
    """Facts by name or source; those of a revision of a model at the hub are its own."""

    def __init__(self) -> None:
        self._models: list[ModelInfo] = []
        self._revised: dict[tuple[str, str], ModelInfo] = {}

    def offer(self, models: Sequence[ModelInfo]) -> None:
        """Offer these; what was learned besides stays known."""
        learned = [one for one in self._models if all(one.source != new.source for new in models)]
        self._models = [*models, *learned]

    def learn(self, model: ModelInfo, revision: str = "") -> None:
        """Take in the facts of one that is not offered, or of a revision."""
        if revision:
            self._revised[model.source, revision] = model
        else:
            self.offer([*(one for one in self._models if one.source != model.source), model])

    def known(self, model: str, revision: str = "") -> ModelInfo | None:
        """The facts of a model, or of a revision of it, where they are known."""
        found = next((one for one in self._models if model in (one.name, one.source)), None)
        if not revision or (found is not None and found.source.startswith(("/", "~", "."))):
            return found
        return self._revised.get((model if found is None else found.source, revision))

    def name(self, model: str) -> str:
        """What is asked for where this model is chosen."""
        known = self.known(model)
        named = known is not None and (known.demo or known.name == known.source)
        return known.name if known is not None and named else model

    def title(self, model: str, revision: str = "") -> str:
        """The model with what tells it from the others."""
        known = self.known(model, revision) or self.known(model)
        if known is None:
            return short_model(model)
        notes = [f"{known.num_blocks} blocks", "demo" if known.demo else known.note]
        return f"{known.name}  ({', '.join(note for note in notes if note)})"
