"""What is imported before a command is known."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "asyncio", "docker", "http", "httpx", "huggingface_hub", "logging", "multiprocessing", "psutil",
    "requests", "rich", "sqlite3", "ssl", "starlette", "textual", "uv", "uvicorn", "yaml",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(' '.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines()[-1].split())


def test_the_command_line_imports_nothing_heavy() -> None:
    assert not loaded_by("import torbiz_tui.cli") & HEAVY


def test_the_help_imports_nothing_heavy() -> None:
    assert not loaded_by("from torbiz_tui.cli import main; main(['share', '--help'])") & HEAVY


def test_the_configuration_imports_yaml_only_for_a_file() -> None:
    without = "from torbiz_tui.config import load_config; from pathlib import Path; "
    loaded = loaded_by(without + "load_config(Path('/nonexistent/x'), {}, {})")
    assert not loaded & HEAVY
