"""Write docs/troubleshooting.md from the symptoms that the program knows.

python docs/write_troubleshooting.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from torbiz_tui.troubleshooting.build_words import BUILD_WORDS  # noqa: E402
from torbiz_tui.troubleshooting.docker_symptoms import DOCKER_SYMPTOMS  # noqa: E402
from torbiz_tui.troubleshooting.engine_words import ENGINE_WORDS  # noqa: E402
from torbiz_tui.troubleshooting.install_symptoms import INSTALL_SYMPTOMS  # noqa: E402
from torbiz_tui.troubleshooting.server_symptoms import SERVER_SYMPTOMS  # noqa: E402
from torbiz_tui.troubleshooting.swarm_symptoms import SWARM_SYMPTOMS  # noqa: E402
from torbiz_tui.troubleshooting.symptom import GAP, Severity, Symptom  # noqa: E402

FILE = ROOT / "docs" / "troubleshooting.md"
_SHOWN_PATTERNS = 12
_BEGINNING = """\
# When something goes wrong

This page is made from what the program itself looks for in its logs and in what its tools print:
the strings as they are printed, what they mean, and what to do. Case does not matter, and `…` is
whatever varies. You need not search for them yourself:

- `torbiz-tui doctor` says which of them are in the last 200 lines of each log, the newest first;
- Logs marks such lines with `!`; Enter tells what they mean, and does what can be done from there;
- Setup, Share and Ask name the cause when they fail.

## Do I need `docker system prune -a`?

No, and the program never runs it. It removes every image that no container is using, also those of
your other projects, and every stopped container. The guide gives it as the remedy for Python errors
while sharing. What mends those is a new image: do Setup's step for the image again, or take "Build
the image anew" in the Docker panel. To free disk space, `torbiz-tui clean` shows what this program
has made and how much each part would free; `torbiz-tui clean --image` removes only images and
containers that carry its label or name, and leaves one that runs alone.
"""
_GROUPS: Sequence[tuple[str, str, Sequence[Symptom]]] = (
    ("The swarm", "", SWARM_SYMPTOMS),
    ("The machine and the model", "", SERVER_SYMPTOMS),
    ("Docker", "", DOCKER_SYMPTOMS),
    ("Python and its packages", "", INSTALL_SYMPTOMS),
    (
        "What a container engine says",
        "Looked for in the engine's answers to this program.",
        ENGINE_WORDS,
    ),
    (
        "While packages are installed or the image is built",
        "Looked for only in the last lines of a step that has failed: elsewhere most of these words"
        " mean nothing.",
        BUILD_WORDS,
    ),
)


def page() -> str:
    """The whole page."""
    parts = [_BEGINNING]
    for title, note, symptoms in _GROUPS:
        parts.append(f"## {title}\n")
        if note:
            parts.append(f"{note}\n")
        rows = ["| printed | what it means | what to do |", "|---|---|---|"]
        parts.append("\n".join([*rows, *(_row(symptom) for symptom in symptoms)]) + "\n")
    return "\n".join(parts)


def _row(symptom: Symptom) -> str:
    patterns = symptom.patterns
    shown = [f"`{pattern.removeprefix('^').removesuffix('$').strip(GAP)}`" for pattern in patterns]
    if len(shown) > _SHOWN_PATTERNS:
        shown = [shown[0], "to", shown[-1]]
    harmless = " Harmless." if symptom.severity is Severity.BENIGN else ""
    meaning = f"**{symptom.title}**{harmless} {symptom.cause}"
    remedies = [symptom.remedy]
    remedies += [f"{machine.label}: {text}" for machine, text in symptom.remedies.items()]
    cells = ("<br>".join(shown), meaning, "<br>".join(remedies))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    FILE.write_text(page(), "utf-8")
