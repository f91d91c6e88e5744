"""The index of weights that lie in several files: which file holds which parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from hub_errors import DownloadError


def files_with(index: Path, wanted: Callable[[str], bool], what: str, model: str) -> list[str]:
    """The files that hold the wanted parameters, in order. Raises DownloadError."""
    try:
        placed = json.loads(index.read_bytes())["weight_map"]
        names = {str(file) for parameter, file in placed.items() if wanted(parameter)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(
            "index_unusable",
            f"The index of {model}'s weights cannot be read.",
            why=f"{index.name}: {type(error).__name__}.",
            remedy=f"Remove it with `torbiz-tui cache clean {model}`, then start again.",
        ) from error
    # The names become paths of this machine.
    bad = [name for name in names if not re.fullmatch(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)*", name)]
    if bad or not names:
        raise DownloadError(
            "index_unusable",
            f"The index of {model}'s weights names no usable files for {what}.",
            remedy="Choose another upload of the model.",
        )
    return sorted(names)
