"""All known symptoms, in the order of looking: the more telling ones come first."""

from __future__ import annotations

from torbiz_tui.troubleshooting.build_words import BUILD_WORDS
from torbiz_tui.troubleshooting.docker_symptoms import DOCKER_SYMPTOMS
from torbiz_tui.troubleshooting.engine_words import ENGINE_WORDS
from torbiz_tui.troubleshooting.install_symptoms import INSTALL_SYMPTOMS
from torbiz_tui.troubleshooting.server_symptoms import SERVER_SYMPTOMS
from torbiz_tui.troubleshooting.swarm_symptoms import SWARM_SYMPTOMS
from torbiz_tui.troubleshooting.symptom import Symptom

SYMPTOMS: tuple[Symptom, ...] = (
    *SWARM_SYMPTOMS,
    *SERVER_SYMPTOMS,
    *DOCKER_SYMPTOMS,
    *INSTALL_SYMPTOMS,
    *ENGINE_WORDS,
    *BUILD_WORDS,
)
