"""Reading the configuration file: every value with its line, and all mistakes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from torbiz_tui.config_errors import Problem, nearest, rejected
from torbiz_tui.config_schema import SECTIONS, SETTINGS, Setting
from torbiz_tui.config_values import Flag, RejectedError, Text, TextList, TextMap

_YAML_TAG = "tag:yaml.org,2002:"
_WORDS_OF_YAML = ("bool", "null")
# What YAML takes a plain scalar for. Any other tag was written on purpose, and means nothing here.
_PLAIN_TAGS = ("str", "int", "float", "timestamp", "merge", "value")


@dataclass
class FileValues:
    """What a file says: the values and their lines by full name, and its mistakes."""

    values: dict[str, object] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_yaml(file: Path, text: str) -> FileValues:
    """The values of a file with this text; every mistake in it is among the `problems`."""
    found = FileValues()
    root = _compose(file, text, found.problems)
    if root is not None:
        _Reader(file, found).read(root)
    return found


def _compose(file: Path, text: str, problems: list[Problem]) -> Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "it cannot be understood"
        place = f"{file}:{mark.line + 1}" if mark is not None else str(file)
        problems.append(Problem(place, "", f"this is not valid YAML: {what}."))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.append(
            Problem(f"{file}:{line}", "", "holds a character that YAML does not allow.")
        )
    except RecursionError:
        problems.append(Problem(str(file), "", "is nested too deeply."))
    except ValueError as error:
        # An escape such as \\UFFFFFFFF, beyond the last character there is.
        problems.append(Problem(str(file), "", f"this is not valid YAML: {error}."))
    return None


class _Reader:
    """Takes the values out of a YAML document; what it finds wrong goes into `found`."""

    def __init__(self, file: Path, found: FileValues) -> None:
        self._file = file
        self._found = found

    def read(self, root: Node) -> None:
        """Take all of it."""
        if _is_nothing(root):
            return
        for name, key_node, node in self._entries(root, ""):
            if name in SECTIONS:
                self._read_section(name, node)
            elif name in SETTINGS:
                self._read_value(SETTINGS[name], node)
            else:
                self._unknown(key_node, name, section="")

    def _read_section(self, section: str, node: Node) -> None:
        # A section whose keys are all commented out is an empty one.
        if _is_nothing(node):
            return
        for name, key_node, inner in self._entries(node, section):
            setting = SETTINGS.get(f"{section}.{name}")
            if setting is None:
                self._unknown(key_node, name, section=section)
            else:
                self._read_value(setting, inner)

    def _entries(self, node: Node, section: str) -> list[tuple[str, Node, Node]]:
        if not isinstance(node, MappingNode):
            accepted = "keys with values, such as `model: torbiz-demo`"
            if section:
                accepted = f"a section with the keys {', '.join(_names_in(section))}"
            self._reject(node, section, accepted)
            return []
        return self._unique(node, section)

    def _unique(self, node: MappingNode, section: str) -> list[tuple[str, Node, Node]]:
        seen: dict[str, int] = {}
        entries: list[tuple[str, Node, Node]] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._tell(key_node, section, "a key must be a plain name.")
                continue
            name = str(key_node.value)
            full = f"{section}.{name}" if section else name
            if name in seen:
                self._tell(key_node, full, f"this key is already given in line {seen[name]}.")
                continue
            seen[name] = key_node.start_mark.line + 1
            entries.append((name, key_node, value_node))
        return entries

    def _unknown(self, key_node: Node, name: str, *, section: str) -> None:
        full = f"{section}.{name}" if section else name
        leaf = name.rpartition(".")[2]
        # A key of another section is meant more often than one that only looks alike.
        elsewhere = next((key for key in SETTINGS if key.rpartition(".")[2] == leaf), "")
        known = _names_in(section)
        if "." in elsewhere:
            hint = f"; did you mean {elsewhere} ({leaf} below `{elsewhere.partition('.')[0]}:`)?"
        elif elsewhere:
            hint = f"; did you mean {elsewhere}, which is in no section?"
        elif near := nearest(name, known):
            hint = f"; did you mean {near}?"
        else:
            hint = f"; known here are {', '.join(known)}."
        self._tell(key_node, full, f"this key is not known{hint}")

    def _read_value(self, setting: Setting, node: Node) -> None:
        try:
            self._found.values[setting.key] = _value(setting, node)
            self._found.lines[setting.key] = node.start_mark.line + 1
        except RejectedError as error:
            blamed = error.args[0] if error.args else node
            self._reject(blamed, setting.key, setting.kind.accepted, error.reason)

    def _reject(self, node: Node, key: str, accepted: str, reason: str = "") -> None:
        accepted += _quotes_hint(node, key)
        self._found.problems.append(rejected(self._at(node), key, _source(node), accepted, reason))

    def _tell(self, node: Node, key: str, text: str) -> None:
        self._found.problems.append(Problem(self._at(node), key, text))

    def _at(self, node: Node) -> str:
        return f"{self._file}:{node.start_mark.line + 1}"


def _names_in(section: str) -> list[str]:
    """The names that are known in a section, or at the top."""
    if not section:
        return [key for key in SETTINGS if "." not in key] + list(SECTIONS)
    return [
        setting.key.partition(".")[2] for setting in SETTINGS.values() if setting.section == section
    ]


def _is_nothing(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == f"{_YAML_TAG}null" and not node.value


def _quotes_hint(node: Node, key: str) -> str:
    """What quotes have to do with it, when it is they that are missing or too many."""
    kind = SETTINGS[key].kind if key in SETTINGS else None
    if not isinstance(node, ScalarNode) or kind is None:
        return ""
    if isinstance(kind, Text | TextList | TextMap):
        return ", here in quotes" if node.tag.removeprefix(_YAML_TAG) in _WORDS_OF_YAML else ""
    return ", without quotes" if node.style in ("'", '"') else ""


def _source(node: Node) -> str:
    """The value about as it is written."""
    if isinstance(node, ScalarNode):
        quote = node.style if node.style in ("'", '"') else ""
        return f"{quote}{node.value}{quote}"
    return "[…]" if isinstance(node, SequenceNode) else "{…}"


def _value(setting: Setting, node: Node) -> object:
    """The node's value; RejectedError names the node that is to blame, if it is an inner one."""
    kind = setting.kind
    if isinstance(kind, TextList):
        if not isinstance(node, SequenceNode):
            raise RejectedError
        return kind.check([_text(kind.item, item) for item in node.value])
    if isinstance(kind, TextMap):
        if not isinstance(node, MappingNode):
            raise RejectedError
        pairs = {}
        for key_node, value_node in node.value:
            name = _text(Text(), key_node)
            if name in pairs:
                raise RejectedError(key_node)
            pairs[name] = _text(Text(), value_node)
        return kind.check(pairs)
    if isinstance(kind, Text):
        return _text(kind, node)
    known = (*_PLAIN_TAGS, *_WORDS_OF_YAML)
    if not isinstance(node, ScalarNode) or node.tag.removeprefix(_YAML_TAG) not in known:
        raise RejectedError
    # What is in quotes is a text. The tag does not count: for YAML 1.1 1e3 is a text, 4:8 is 248.
    if node.style is not None or (isinstance(kind, Flag) and node.value in ("0", "1")):
        raise RejectedError
    return kind.parse(node.value)


def _text(kind: Text, node: Node) -> str:
    """A text; a plain number counts as one, a word that YAML reads as true or null does not."""
    tag = node.tag.removeprefix(_YAML_TAG)
    if not isinstance(node, ScalarNode) or tag not in _PLAIN_TAGS:
        raise RejectedError(node)
    try:
        return kind.parse(str(node.value))
    except RejectedError as error:
        raise RejectedError(node, reason=error.reason) from None
