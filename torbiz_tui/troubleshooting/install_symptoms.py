"""Symptoms of packages that do not fit together, or cannot be installed."""

from __future__ import annotations

from torbiz_tui.troubleshooting.symptom import LOGS, STACK, Action, Machine, Place, Symptom

_ANEW = "(the app offers it; or `torbiz-tui clean --env`, then `torbiz-tui setup`)"
_PINNED = f"Let Setup install Petals anew, in the versions that fit together {_ANEW}."
_PINNED_ON = {
    Machine.DOCKER_DESKTOP: "Build the image anew (the Docker panel, or Setup): it holds the"
    " versions that fit together. What runs outside of it, Setup's step for Petals installs anew.",
}

INSTALL_SYMPTOMS = (
    Symptom(
        id="pkg_resources_missing",
        title="setuptools is too new for hivemind.",
        patterns=("No module named 'pkg_resources'",),
        cause="New versions of setuptools have no pkg_resources, and hivemind is being built from"
        " its source, which imports it.",
        remedy=f"{_PINNED} They contain hivemind's wheel from PyPI. By hand: `setuptools<81`.",
        action=Action.REINSTALL_STACK,
        places=STACK,
        source="pip, seen when Petals is installed from git",
    ),
    Symptom(
        id="p2pd_download_failed",
        title="hivemind was built from source, and its download failed.",
        patterns=(
            "Failed building wheel for hivemind",
            "The sha256 checksum for p2pd does not match",
            "<urlopen error [Errno -2] Name or service not known>",
        ),
        cause="Building hivemind downloads the program p2pd from GitHub; a network, a proxy or a"
        " certificate is in the way.",
        remedy=f"{_PINNED} They contain hivemind's wheel from PyPI, which needs no such download.",
        action=Action.REINSTALL_STACK,
        places=STACK,
        source="hivemind setup.py, Petals issue 540",
    ),
    Symptom(
        id="certificate_untrusted",
        title="A certificate is shown that is not trusted here.",
        patterns=("CERTIFICATE_VERIFY_FAILED", "invalid peer certificate"),
        cause="Mostly a company's proxy shows its own; or the certificates of this Python are out"
        " of date.",
        remedy="Behind a company's proxy set petals.certificate (or SSL_CERT_FILE) to its bundle.",
        places=STACK,
        source="Python's ssl, uv, Petals issue 540",
    ),
    Symptom(
        id="transformers_version",
        title="transformers has a version that Petals cannot use.",
        patterns=("Please install a proper transformers version",),
        cause="Something has installed another one over that of the stack.",
        remedy=f"{_PINNED} (PETALS_IGNORE_DEPENDENCY_VERSION=1 lets Petals try all the same.)",
        action=Action.REINSTALL_STACK,
        places=STACK,
        source="petals, Petals issue 554",
    ),
    Symptom(
        id="hivemind_too_old_for_torch",
        title="hivemind is too old for this PyTorch.",
        patterns=("cannot import name '_refresh_per_optimizer_state'",),
        cause="PyTorch 2.3 moved what hivemind 1.1.10 imports.",
        remedy=_PINNED,
        remedies=_PINNED_ON,
        action=Action.REINSTALL_STACK,
        places=STACK,
        source="hivemind, Petals issue 576",
    ),
    Symptom(
        id="hivemind_too_old_for_pydantic",
        title="hivemind is too old for this pydantic.",
        patterns=("object has no attribute '__get_validators__'", "PydanticSchemaGenerationError"),
        cause="hivemind 1.1.10 needs pydantic 1, and pydantic 2 is installed.",
        remedy=_PINNED,
        remedies=_PINNED_ON,
        action=Action.REINSTALL_STACK,
        places=STACK,
        source="pydantic, Petals issue 359, hivemind issue 597",
    ),
    Symptom(
        id="p2pd_unusable",
        title="hivemind's program p2pd cannot be run.",
        patterns=("p2pd binary not found at", "p2pd binary format incompatible with your platform"),
        cause="The installation is incomplete, or was made for another kind of processor.",
        remedy=_PINNED,
        remedies=_PINNED_ON,
        action=Action.REINSTALL_STACK,
        places=STACK,
        source="hivemind p2p/p2p_daemon.py",
    ),
    Symptom(
        id="dependency_conflict",
        title="The packages that were asked for do not go together.",
        patterns=(
            "have conflicting dependencies",
            "ResolutionImpossible",
            "pip's dependency resolver does not currently take into account",
            "No module named 'peft'",
            "No module named 'accelerate'",
        ),
        cause="Installing Petals into the Python of the system, as pip resolves it, mixes versions;"
        " on macOS mostly those of peft and accelerate.",
        remedy="Let Setup do it: it has an environment of its own with versions that fit together"
        " and leaves the system's Python alone; on macOS sharing runs in a container.",
        remedies=_PINNED_ON,
        action=Action.REINSTALL_STACK,
        places=STACK,
        source="pip; the guide",
    ),
    Symptom(
        id="asking_not_set_up",
        title="Asking is not set up, or its installation is broken.",
        patterns=(
            "The chat runner cannot start",
            "Direct inference not working",
            "Petals is not installed yet",
        ),
        cause="Asking runs in a managed environment on this machine, without Docker; it is missing,"
        " or something has changed it.",
        remedy="Run Setup again (`torbiz-tui setup`). It needs a Python 3.10, 3.11 or 3.12 and gets"
        " one itself where it may.",
        remedies={
            Machine.DOCKER_DESKTOP: "Run Setup again (`torbiz-tui setup`). Where it finds no"
            " Python: `brew install python@3.11` (https://brew.sh), then Setup again.",
        },
        action=Action.REINSTALL_STACK,
        places=frozenset({Place.CHAT, Place.APP}),
        source="runner_scripts/chat_runner.py; the guide",
    ),
    Symptom(
        id="python_errors",
        title="The Python packages of Petals are damaged or incomplete.",
        patterns=(
            "ModuleNotFoundError: No module named",
            "ImportError: cannot import name",
            "Petals cannot be imported",
            "GPU sharing fails with Python errors",
        ),
        cause="The image, or the managed environment, was changed, or its installation broke off.",
        remedy=f"Let Setup install Petals anew {_ANEW}, or build the image anew; no `docker system"
        " prune -a` is needed for either.",
        remedies={
            Machine.DOCKER_DESKTOP: "Build the image anew (the Docker panel, or Setup). No `docker"
            " system prune -a` is needed: it would take the images of your other projects too.",
        },
        action=Action.REBUILD_IMAGE,
        places=LOGS,
        source="Python; the guide",
    ),
)
