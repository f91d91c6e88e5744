"""Every kind of wrong configuration is refused with its place, key, value and what is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from torbiz_tui.config import ConfigError, load_config
from torbiz_tui.errors import ExitCode


def problems(file: Path, content: str | bytes) -> list[str]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(file, {}, {})
    assert caught.value.exit_code is ExitCode.USAGE
    return [str(problem).replace(str(file), "FILE") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("model: a\nshrae:\n", "FILE:2: shrae: this key is not known; did you mean share?"),
        (
            "share:\n  prot: 1\n",
            "FILE:2: share.prot: this key is not known; did you mean port?",
        ),
        (
            "port: 1\n",
            "FILE:1: port: this key is not known; did you mean share.port (port below `share:`)?",
        ),
        (
            "swarm:\n  xyzzy: 1\n",
            "FILE:2: swarm.xyzzy: this key is not known; known here are initial_peers, new_swarm, name, dht_prefix.",
        ),
        (
            "share:\n\n  port: 65536\n",
            "FILE:3: share.port: '65536' is not accepted; accepted is a whole number from 1 to 65535.",
        ),
        (
            'share:\n  port: "80"\n',
            "FILE:2: share.port: '\"80\"' is not accepted; accepted is a whole number from 1 to"
            " 65535, without quotes.",
        ),
        (
            "model: yes\n",
            "FILE:1: model: 'yes' is not accepted; accepted is a text, here in quotes.",
        ),
        (
            "environment: podman\n",
            "FILE:1: environment: 'podman' is not accepted; accepted is auto, docker, native or wsl.",
        ),
        (
            "ask:\n  temperature: .nan\n",
            "FILE:2: ask.temperature: '.nan' is not accepted; accepted is a number from 0 to 10.",
        ),
        (
            "demo: 3\n",
            "FILE:1: demo: '3' is not accepted; accepted is true or false.",
        ),
        (
            "share:\n  blocks: 4:4\n",
            "FILE:2: share.blocks: '4:4' is not accepted; accepted is auto, a number of blocks, or"
            " FIRST:END with FIRST below END.",
        ),
        (
            "swarm:\n  initial_peers:\n    - /ip4/1.2.3.4/tcp/1\n",
            "FILE:3: swarm.initial_peers: '/ip4/1.2.3.4/tcp/1' is not accepted; accepted is a list;"
            " each item is a peer's address such as /ip4/192.0.2.7/tcp/31337/p2p/QmPeerIdentity.",
        ),
        (
            "petals:\n  find_links: /packages\n",
            "FILE:2: petals.find_links: '/packages' is not accepted; accepted is a list; each item"
            " is a text.",
        ),
        (
            "interface:\n  keys: [a]\n",
            "FILE:2: interface.keys: '[…]' is not accepted; accepted is a mapping of a key's name to"
            " keys, such as {go.ask: f5}.",
        ),
        (
            "logs: 3\n",
            "FILE:1: logs: '3' is not accepted; accepted is a section with the keys level, tail_lines.",
        ),
        (
            "share:\n  petals_options: [update_period=60, expiration=30]\n",
            "FILE:2: share.petals_options: expiration 30 is not above update_period 60: the blocks"
            " would vanish between two announcements.",
        ),
        (
            "- a\n",
            "FILE:1: '[…]' is not accepted; accepted is keys with values, such as"
            " `model: torbiz-demo`.",
        ),
        (
            "model: a\nmodel: b\n",
            "FILE:2: model: this key is already given in line 1.",
        ),
        ("? [a]\n: b\n", "FILE:1: a key must be a plain name."),
        (
            "model: !!python/object:os.system x\n",
            "FILE:1: model: 'x' is not accepted; accepted is a text.",
        ),
        (b"model: a\n\xff\n", "FILE:2: is not UTF-8 text."),
        (b"model: a\n\x1b\n", "FILE:2: holds a character that YAML does not allow."),
        (
            "swarm:\n  new_swarm: true\n  initial_peers: [/ip4/1.2.3.4/tcp/1/p2p/"
            + "Q" * 46
            + "]\n",
            "FILE:2: swarm.new_swarm: a new swarm has no peers yet; give it, or"
            " swarm.initial_peers, not both.",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(
    tmp_path: Path, content: str | bytes, expected: str
) -> None:
    assert problems(tmp_path / "config.yaml", content) == [expected]


@pytest.mark.parametrize("content", ["share:\n  port: [\n", "a: b: c\n", "---\na: 1\n---\nb: 2\n"])
def test_broken_yaml_is_told_with_its_line(tmp_path: Path, content: str) -> None:
    (problem,) = problems(tmp_path / "config.yaml", content)
    assert problem.startswith("FILE:")
    assert "not valid YAML" in problem


def test_a_bottomless_file_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path / "a", "model: " + "[" * 5000) == ["FILE: is nested too deeply."]
    assert problems(tmp_path / "b", "#" * 1_000_001) == [
        "FILE: is larger than 1 MB, so it is no configuration."
    ]


def test_all_mistakes_of_all_sources_come_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("shrae:\nshare:\n  port: x\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file, {"ask.top_p": "7"}, {"TORBIZ_ASK_SEED": "-1"})
    places = [problem.where.replace(str(file), "FILE") for problem in caught.value.problems]
    assert places == ["FILE:1", "FILE:3", "TORBIZ_ASK_SEED", "--top-p"]
    assert len(caught.value.lines()) == 5


def test_what_is_printed_of_a_file_is_harmless(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "config.yaml", '"\\e[31m\\u202e": 1\n')
    assert problem.isprintable()
    assert "\\x1b" in problem


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    cases = {
        tmp_path: "this is a folder, not a file.",
        Path("/dev/null"): "this is not a regular file.",
        tmp_path / "link": "links to nowhere, which is not there.",
    }
    (tmp_path / "link").symlink_to("nowhere")
    for file, text in cases.items():
        with pytest.raises(ConfigError) as caught:
            load_config(file, {}, {})
        assert [problem.text for problem in caught.value.problems] == [text]


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text("model: a\n")
    file.chmod(0)
    return file


def test_an_unreadable_file_is_refused(unreadable: Path, nobody: None) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(unreadable, {}, {})
    assert caught.value.problems[0].text == "cannot be read: Permission denied."


def test_a_missing_file_is_none_or_a_mistake_if_it_was_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    assert load_config(file, {}, {}).config.model == ""
    with pytest.raises(ConfigError) as caught:
        load_config(file, {}, {}, must_exist=True)
    assert caught.value.problems[0].text == "there is no such file."


@pytest.mark.parametrize(
    "content", ["", "\n\n", "# nothing\n", "\ufeff# a mark\n", "share:\n", "---\n"]
)
def test_an_empty_file_stands_for_the_defaults(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(content, encoding="utf-8")
    loaded = load_config(file, {}, {})
    assert {str(origin) for origin in loaded.origins.values()} == {"default"}
