"""`models`: the models that Petals can serve."""

from __future__ import annotations

from dataclasses import asdict

from torbiz_tui.catalogue import ModelInfo, known_models
from torbiz_tui.commands.call import Call
from torbiz_tui.commands.output import write_json, write_table
from torbiz_tui.errors import ExitCode


def run(call: Call) -> int:
    """Print the catalogue."""
    models = known_models(call.paths)
    if call.options.json:
        write_json({"models": [asdict(model) for model in models]})
        return ExitCode.OK
    rows = [("MODEL", "TYPE", "BLOCKS", "PARAMETERS", "NOTE")]
    rows += [
        (model.name, model.model_type, str(model.num_blocks), _count(model), model.note)
        for model in models
    ]
    write_table(rows)
    return ExitCode.OK


def _count(model: ModelInfo) -> str:
    if model.parameters is None:
        return "?"
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if model.parameters >= size:
            return f"{model.parameters / size:.3g}{unit}"
    return str(model.parameters)
