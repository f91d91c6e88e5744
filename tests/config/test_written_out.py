"""The example and the documentation say what the schema says."""

from __future__ import annotations

import re
from pathlib import Path

from torbiz_tui.config import SETTINGS, Config, example_text, load_config
from torbiz_tui.paths import bundled

ROOT = Path(__file__).parents[2]
COMMENTED_KEY = re.compile(r"^(\s*)#(?=[a-z_]+:)", re.MULTILINE)


def test_the_example_is_the_one_that_the_schema_makes() -> None:
    example = bundled() / "config.example.yaml"
    assert example.read_text("utf-8") == example_text(), (
        "write it anew: torbiz-tui --config config.example.yaml config init, after removing it"
    )


def test_the_example_loads_as_it_is_and_sets_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(example_text(), encoding="utf-8")
    loaded = load_config(file, {}, {})
    assert {str(origin) for origin in loaded.origins.values()} == {"default"}


def test_the_example_names_every_key_with_its_default(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(COMMENTED_KEY.sub(r"\1", example_text()), encoding="utf-8")
    loaded = load_config(file, {}, {})
    assert loaded.config == Config()
    assert {origin.kind for origin in loaded.origins.values()} == {"file"}


def test_the_documentation_lists_every_key(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \|(.*)\|$", text, re.MULTILINE))
    assert list(rows) == list(SETTINGS)
    for key, setting in SETTINGS.items():
        written = f"| `{key}` | `{setting.kind.yaml(setting.default)}` | {setting.kind.accepted} |"
        assert written in text, key
        assert setting.doc in rows[key], key
        if setting.option:
            assert f"`{setting.option}`" in rows[key], key
