"""The configuration's schema: its sections together, and every key by its full name.

The file, the `TORBIZ_` variables, the command line, `config.example.yaml` and
`docs/configuration.md` are all read or made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torbiz_tui.config_sections import (
    ApiConfig,
    AskConfig,
    DockerConfig,
    InterfaceConfig,
    LogsConfig,
    PetalsConfig,
    SwarmConfig,
)
from torbiz_tui.config_share import ShareConfig
from torbiz_tui.config_values import Choice, Flag, Kind, Text, declared


@dataclass(frozen=True)
class Config:
    """All that can be configured."""

    environment: str = declared(
        "auto",
        Choice("auto", "docker", "native", "wsl"),
        "Where Petals runs; auto takes what fits this platform.",
        "--environment",
    )
    demo: bool = declared(
        False,
        Flag(),
        "The embedded demo: environment native, a private swarm on loopback, the small model.",
        "--demo",
    )
    model: str = declared(
        "",
        Text(),
        "Model to share and to ask: a Hugging Face id, a folder, or torbiz-demo; empty for none.",
        "--model",
    )
    swarm: SwarmConfig = field(
        default_factory=SwarmConfig, metadata={"doc": "Which swarm to join."}
    )
    share: ShareConfig = field(
        default_factory=ShareConfig, metadata={"doc": "How this machine hosts."}
    )
    ask: AskConfig = field(
        default_factory=AskConfig, metadata={"doc": "How questions are answered."}
    )
    api: ApiConfig = field(
        default_factory=ApiConfig, metadata={"doc": "The endpoint for other programs."}
    )
    petals: PetalsConfig = field(
        default_factory=PetalsConfig,
        metadata={
            "doc": "How Petals is installed. Where a key is empty, the settings of pip and uv hold."
        },
    )
    docker: DockerConfig = field(
        default_factory=DockerConfig,
        metadata={"doc": "The container that hosts, and the image that it is made from."},
    )
    logs: LogsConfig = field(
        default_factory=LogsConfig, metadata={"doc": "What is logged, and how much of it is shown."}
    )
    interface: InterfaceConfig = field(
        default_factory=InterfaceConfig, metadata={"doc": "The full-screen app."}
    )


@dataclass(frozen=True)
class Setting:
    """One key: its full name, what it accepts, its meaning, its default, its option if any."""

    key: str
    kind: Kind
    doc: str
    default: Any
    option: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "TORBIZ_" + self.key.replace(".", "_").upper()

    @property
    def section(self) -> str:
        """The section it is in; empty at the top."""
        return self.key.rpartition(".")[0]


def _collect() -> tuple[dict[str, Setting], dict[str, str], dict[str, type]]:
    found: dict[str, Setting] = {}
    docs: dict[str, str] = {}
    classes: dict[str, type] = {}
    for entry in fields(Config):
        if "kind" in entry.metadata:
            found[entry.name] = _setting(entry.name, entry, getattr(Config(), entry.name))
            continue
        section = getattr(Config(), entry.name)
        docs[entry.name] = entry.metadata["doc"]
        classes[entry.name] = type(section)
        for inner in fields(section):
            key = f"{entry.name}.{inner.name}"
            found[key] = _setting(key, inner, getattr(section, inner.name))
    return found, docs, classes


def _setting(key: str, entry: Any, default: object) -> Setting:
    facts = entry.metadata
    return Setting(key, facts["kind"], facts["doc"], default, facts["option"])


SETTINGS, SECTIONS, _CLASSES = _collect()
"""Every key by its full name, and the meaning of every section, both in their order."""


def build(values: Mapping[str, object]) -> Config:
    """The configuration with these values by full name; what is not among them has its default."""
    top: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (sections[section] if section else top)[name] = value
    for name, inner in sections.items():
        top[name] = _CLASSES[name](**inner)
    return Config(**top)
