"""The configuration: read from all its sources, checked, and explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.config_errors import ConfigError, Problem, did_you_mean, rejected
from torbiz_tui.config_file import read_text
from torbiz_tui.config_schema import SECTIONS, SETTINGS, Config, Setting, build
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
from torbiz_tui.config_values import Kind, RejectedError

__all__ = [
    "DEMO_VALUES",
    "SECTIONS",
    "SETTINGS",
    "ApiConfig",
    "AskConfig",
    "Config",
    "ConfigError",
    "DockerConfig",
    "InterfaceConfig",
    "LoadedConfig",
    "LogsConfig",
    "Origin",
    "PetalsConfig",
    "Problem",
    "Setting",
    "ShareConfig",
    "SwarmConfig",
    "example_text",
    "load_config",
    "value_text",
]

_PREFIX = "TORBIZ_"
_OTHER_VARIABLES = ("TORBIZ_HOME", "TORBIZ_NODE_TOKEN", "TORBIZ_API_KEY")
_TEST_PREFIX = "TORBIZ_TEST_"
_PEERS, _NEW_SWARM = "swarm.initial_peers", "swarm.new_swarm"
_OPTIONS, _REVISION, _ADAPTER = "share.petals_options", "ask.revision", "ask.adapter"

DEMO_VALUES: Mapping[str, object] = {
    "environment": "native",
    "model": "torbiz-demo",
    _NEW_SWARM: True,
}
"""What `demo` stands for."""


@dataclass(frozen=True)
class Origin:
    """Where a value came from; `place` is the file with its line, the variable, or the option."""

    kind: str
    place: str = ""

    def __str__(self) -> str:
        return self.place or self.kind


_DEFAULT = Origin("default")


@dataclass(frozen=True)
class LoadedConfig:
    """The configuration, where each of its values came from, and what looks like a slip."""

    config: Config
    origins: Mapping[str, Origin]
    file: Path
    warnings: tuple[str, ...] = ()

    def value(self, key: str) -> object:
        """The value of a key by its full name."""
        section, _, name = key.rpartition(".")
        return getattr(getattr(self.config, section) if section else self.config, name)


@dataclass(frozen=True)
class _Layer:
    """The values of one source."""

    values: dict[str, object]
    origins: dict[str, Origin]


def load_config(
    file: Path,
    overrides: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    must_exist: bool = False,
) -> LoadedConfig:
    """The configuration from the file, the variables and the command line.

    `overrides` are the command line's values by full name (`share.port`). `demo` stands for a few
    values that count as if they were given right beneath the source that switched it on. Raises
    ConfigError with all that is wrong, in every source.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    layers = [
        _from_file(file, problems, must_exist=must_exist),
        _from_variables(environ, problems, warnings),
        _from_command_line(overrides, problems),
    ]
    for layer in layers:
        _settle_swarm(layer, problems)
    if problems:
        raise ConfigError(problems)
    values = {key: setting.default for key, setting in SETTINGS.items()}
    origins = dict.fromkeys(SETTINGS, _DEFAULT)
    for layer in layers:
        if layer.values.get("demo"):
            _lay(_demo_layer(layer.origins["demo"]), values, origins)
        _lay(layer, values, origins)
    return LoadedConfig(build(values), origins, file, tuple(warnings))


def _lay(layer: _Layer, values: dict[str, object], origins: dict[str, Origin]) -> None:
    _forget_what_is_the_models(layer, values)
    values.update(layer.values)
    origins.update(layer.origins)


def _from_file(file: Path, problems: list[Problem], *, must_exist: bool) -> _Layer:
    text = read_text(file, problems, must_exist=must_exist)
    if not text.strip():
        return _Layer({}, {})
    # Nobody without a configuration file waits for YAML.
    from torbiz_tui.config_yaml import read_yaml

    found = read_yaml(file, text)
    problems += found.problems
    origins = {key: Origin("file", f"{file}:{line}") for key, line in found.lines.items()}
    return _Layer(found.values, origins)


def _from_variables(
    environ: Mapping[str, str], problems: list[Problem], warnings: list[str]
) -> _Layer:
    by_variable = {setting.variable: setting for setting in SETTINGS.values()}
    layer = _Layer({}, {})
    for name in sorted(environ):
        if (
            not name.startswith(_PREFIX)
            or name in _OTHER_VARIABLES
            or name.startswith(_TEST_PREFIX)
        ):
            continue
        setting = by_variable.get(name)
        if setting is None:
            hint = did_you_mean(name, [*by_variable, *_OTHER_VARIABLES])
            warnings.append(f"The variable {name} is not known, and is ignored{hint}")
            continue
        # An empty variable is what `TORBIZ_…= command` leaves to say "not set".
        if environ[name] == "":
            continue
        try:
            layer.values[setting.key] = setting.kind.parse(environ[name])
        except RejectedError as error:
            accepted = setting.kind.accepted
            problems.append(rejected(name, setting.key, environ[name], accepted, error.reason))
        layer.origins[setting.key] = Origin("variable", name)
    return layer


def _from_command_line(overrides: Mapping[str, object], problems: list[Problem]) -> _Layer:
    layer = _Layer({}, {})
    for key, value in overrides.items():
        if key not in SETTINGS:
            raise KeyError(key)
        setting = SETTINGS[key]
        place = setting.option or "command line"
        kind: Kind = setting.kind
        try:
            layer.values[key] = kind.parse(value) if isinstance(value, str) else kind.check(value)
        except RejectedError as error:
            given = value if isinstance(value, str) else kind.text(value)
            problems.append(rejected(place, key, given, kind.accepted, error.reason))
        layer.origins[key] = Origin("option", place)
    return layer


def _demo_layer(asked: Origin) -> _Layer:
    """What the demo stands for; said to come from what switched it on."""
    layer = _Layer(dict(DEMO_VALUES), dict.fromkeys(DEMO_VALUES, asked))
    _settle_swarm(layer, [])
    return layer


def _settle_swarm(layer: _Layer, problems: list[Problem]) -> None:
    """Peers and a new swarm are one choice: who gives the one takes back the other."""
    peers, new_swarm = layer.values.get(_PEERS), layer.values.get(_NEW_SWARM)
    if peers and new_swarm:
        where = layer.origins[_NEW_SWARM].place
        text = f"a new swarm has no peers yet; give it, or {_PEERS}, not both."
        problems.append(Problem(where, _NEW_SWARM, text))
    elif peers:
        layer.values[_NEW_SWARM] = False
        layer.origins[_NEW_SWARM] = layer.origins[_PEERS]
    elif new_swarm:
        layer.values[_PEERS] = ()
        layer.origins[_PEERS] = layer.origins[_NEW_SWARM]


def _forget_what_is_the_models(layer: _Layer, values: dict[str, object]) -> None:
    """A revision and an adapter are those of a model: who gives another does not mean them."""
    model, before = layer.values.get("model"), values["model"]
    at_hub = isinstance(model, str) and "/" in model and not model.startswith(("/", "~", "."))
    if not model or model == before or (at_hub and not before):
        return
    values[_REVISION] = values[_ADAPTER] = ""
    options = values[_OPTIONS]
    assert isinstance(options, tuple)
    values[_OPTIONS] = tuple(text for text in options if not text.startswith("revision="))


def value_text(setting: Setting, value: object) -> str:
    """A value as it would be written in the file."""
    return setting.kind.yaml(value)


def example_text() -> str:
    """The text of `config.example.yaml`: every key with its meaning and, in a comment, its default.

    The defaults stay comments, so that a later version's defaults hold for who did not choose.
    """
    lines = [
        "# The configuration of torbiz-tui: every key, its meaning and its default.",
        "# To set a key, remove the # before its name.",
        "#",
        "# This file is read from ~/.torbiz/config.yaml ($TORBIZ_HOME/config.yaml, or --config).",
        "# Every key has a variable too, share.port for instance TORBIZ_SHARE_PORT. An option of",
        "# the command line goes before the variable, and the variable before this file.",
        "# `torbiz-tui config check` checks it, `torbiz-tui config show` says what holds and why.",
        "",
    ]
    section = ""
    for setting in SETTINGS.values():
        if setting.section != section:
            section = setting.section
            lines += [f"# {SECTIONS[section]}", f"{section}:"]
        indent = "  " if section else ""
        name = setting.key.rpartition(".")[2]
        lines += [
            f"{indent}# {setting.doc}",
            f"{indent}# Accepted: {setting.kind.accepted}.",
            f"{indent}#{name}: {value_text(setting, setting.default)}",
            "",
        ]
    return "\n".join(lines).rstrip("\n") + "\n"
