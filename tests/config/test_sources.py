"""Where values come from: precedence, provenance, the demo, variables, the round trip."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.catalogue import DEMO_MODEL
from torbiz_tui.config import DEMO_VALUES, SETTINGS, Config, ConfigError, load_config
from torbiz_tui.config_values import Choice, Flag, Number, Size, Text, TextList, TextMap, Whole

PEER = "/ip4/192.0.2.7/tcp/31337/p2p/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"
NOWHERE = Path("/nonexistent/config.yaml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_the_command_line_goes_before_variables_before_the_file(file: Path) -> None:
    file.write_text("model: m\n\nshare:\n  port: 1\n  device: cpu\n  blocks: 1:2\n")
    environ = {"TORBIZ_SHARE_PORT": "2", "TORBIZ_SHARE_DEVICE": "cuda:1"}
    loaded = load_config(file, {"share.port": "3"}, environ)
    assert (loaded.config.share.port, str(loaded.origins["share.port"])) == (3, "--port")
    assert loaded.config.share.device == "cuda:1"
    assert str(loaded.origins["share.device"]) == "TORBIZ_SHARE_DEVICE"
    assert loaded.config.share.blocks == "1:2"
    assert str(loaded.origins["share.blocks"]) == f"{file}:6"
    assert str(loaded.origins["ask.top_p"]) == "default"
    assert loaded.value("share.port") == 3
    assert loaded.value("model") == "m"


def test_the_demo_stands_for_a_private_swarm_with_the_small_model(file: Path) -> None:
    file.write_text(f"model: other\nenvironment: wsl\nswarm:\n  initial_peers: [{PEER}]\n")
    loaded = load_config(file, {"demo": True}, {"TORBIZ_ENVIRONMENT": "docker"})
    config = loaded.config
    assert (config.demo, config.model, config.environment) == (True, DEMO_MODEL, "native")
    assert (config.swarm.new_swarm, config.swarm.initial_peers) == (True, ())
    for key in DEMO_VALUES:
        assert str(loaded.origins[key]) == "--demo"


def test_what_is_given_with_the_demo_goes_before_it(file: Path) -> None:
    config = load_config(
        file, {"demo": True, "model": "mine", "swarm.initial_peers": [PEER]}, {}
    ).config
    assert (config.model, config.swarm.initial_peers) == ("mine", (PEER,))
    assert not config.swarm.new_swarm


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        ("owner/model", True),
        ("owner/other", False),
        (DEMO_MODEL, False),
        ("/models/folder", False),
    ],
)
def test_a_revision_is_one_of_the_model_beside_it(file: Path, model: str, kept: bool) -> None:
    file.write_text(
        "model: owner/model\nask:\n  revision: v1\n  adapter: owner/lora\n"
        "share:\n  petals_options: [num_handlers=3, revision=v1]\n"
    )
    config = load_config(file, {"model": model}, {}).config
    assert ("revision=v1" in config.share.petals_options) is kept
    assert "num_handlers=3" in config.share.petals_options
    assert config.ask.revision == ("v1" if kept else "")
    assert config.ask.adapter == ("owner/lora" if kept else "")
    given = {"model": model, "share.petals_options": ["revision=v2"]}
    assert load_config(file, given, {}).config.share.petals_options == ("revision=v2",)


def test_a_revision_without_a_model_holds_for_models_of_the_hub(file: Path) -> None:
    file.write_text("share:\n  petals_options: [revision=v1]\n")
    for model, options in (("owner/model", ("revision=v1",)), (DEMO_MODEL, ())):
        assert load_config(file, {"model": model}, {}).config.share.petals_options == options


def test_the_demo_can_be_switched_on_by_the_file_or_a_variable(file: Path) -> None:
    file.write_text("demo: true\nmodel: mine\n")
    loaded = load_config(file, {}, {})
    assert (loaded.config.model, loaded.config.environment) == ("mine", "native")
    assert str(loaded.origins["environment"]) == f"{file}:1"
    loaded = load_config(file, {}, {"TORBIZ_DEMO": "yes"})
    assert loaded.config.model == DEMO_MODEL
    assert str(loaded.origins["model"]) == "TORBIZ_DEMO"
    assert not load_config(file, {}, {"TORBIZ_DEMO": "0"}).config.demo


def test_peers_and_a_new_swarm_are_one_choice(file: Path) -> None:
    file.write_text(f"swarm:\n  initial_peers: [{PEER}]\n")
    loaded = load_config(file, {"swarm.new_swarm": True}, {})
    assert loaded.config.swarm.initial_peers == ()
    assert str(loaded.origins["swarm.initial_peers"]) == "--new-swarm"
    file.write_text("swarm:\n  new_swarm: true\n")
    loaded = load_config(file, {}, {"TORBIZ_SWARM_INITIAL_PEERS": f"{PEER}, {PEER}"})
    assert loaded.config.swarm.initial_peers == (PEER, PEER)
    assert not loaded.config.swarm.new_swarm


def test_an_unknown_variable_is_told_not_refused() -> None:
    environ = {
        "TORBIZ_SHARE_PROT": "1",
        "TORBIZ_HOME": "/x",
        "TORBIZ_NODE_TOKEN": "t",
        "TORBIZ_TEST_X": "1",
        "TORBIZ_MODEL": "",
    }
    loaded = load_config(NOWHERE, {}, environ)
    assert loaded.warnings == (
        "The variable TORBIZ_SHARE_PROT is not known, and is ignored;"
        " did you mean TORBIZ_SHARE_PORT?",
    )
    assert str(loaded.origins["model"]) == "default"


def test_every_key_has_a_variable_and_an_option_of_its_own() -> None:
    variables = [setting.variable for setting in SETTINGS.values()]
    # A command that takes options of two sections would complain of a name that both have.
    options = [(setting.section, setting.option) for setting in SETTINGS.values() if setting.option]
    assert len(set(variables)) == len(variables)
    assert len(set(options)) == len(options)


def test_every_default_is_accepted() -> None:
    for setting in SETTINGS.values():
        assert setting.kind.check(setting.default) == setting.default, setting.key
    assert load_config(NOWHERE, {}, {}).config == Config()


@pytest.mark.parametrize(
    ("address", "accepted"),
    [
        (PEER, True),
        (PEER.replace("/ip4/192.0.2.7", "/dns4/peer.example.org"), True),
        (PEER.replace("/ip4/192.0.2.7", "/ip6/2001:db8::7"), True),
        (PEER.replace("31337", "70000"), False),
        (PEER.rpartition("/p2p/")[0], False),
        (PEER.replace("ip4", "ipx"), False),
        ("192.0.2.7:31337", False),
    ],
)
def test_peers_are_checked_for_their_form(address: str, accepted: bool) -> None:
    kind = SETTINGS["swarm.initial_peers"].kind
    if accepted:
        assert kind.parse(address) == (address,)
    else:
        with pytest.raises(ValueError):
            kind.parse(address)


printable = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=30)
words = printable.filter(lambda text: "," not in text and "=" not in text and bool(text))


def values_of(key: str) -> st.SearchStrategy[Any]:
    kind = SETTINGS[key].kind
    if key == "swarm.initial_peers":
        return st.lists(st.just(PEER)).map(tuple)
    if key == "share.announce_maddrs":
        return st.lists(st.just("/ip4/192.0.2.7/tcp/31337")).map(tuple)
    if key == "share.petals_options":
        return st.sampled_from(
            [(), ("num_handlers=3", "adapters=a/b c/d"), ("no_auto_relay=true",)]
        )
    if key == "ask.revision":
        return st.sampled_from(["", "v1.0", "refs/pr/1"])
    if key == "ask.adapter":
        return st.sampled_from(["", "owner/lora", "my-lora"])
    if key == "swarm.name":
        return st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,30}", fullmatch=True)
    if key == "swarm.dht_prefix":
        return st.sampled_from(["", "my-llama-hf"])
    if key == "share.blocks":
        return st.sampled_from(["auto", "7", "0:4", "4:8"])
    if key == "share.hours":
        return st.sampled_from(["", "22:00-07:00", "9:30-17:00"])
    if key == "share.device":
        return st.sampled_from(["auto", "cpu", "cuda:3"])
    if key == "share.throughput":
        return st.sampled_from(["auto", "12.5", "1e3"])
    if key == "api.host":
        return st.sampled_from(["localhost", "192.0.2.7", "::1", "gpu-box.example"])
    if key == "docker.container":
        return st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,30}", fullmatch=True)
    if key == "docker.host":
        return st.sampled_from(["", "unix:///run/docker.sock", "ssh://me@192.0.2.7"])
    if isinstance(kind, Size):
        sizes = st.integers(kind.low, 2**56 - 1)
        return sizes | st.none() if kind.optional else sizes
    if isinstance(kind, Choice):
        return st.sampled_from(kind.words)
    if isinstance(kind, Flag):
        return st.booleans()
    if isinstance(kind, Whole):
        numbers = st.integers(kind.low, kind.high)
        return numbers | st.none() if kind.optional else numbers
    if isinstance(kind, Number):
        floats = st.floats(kind.low, kind.high, exclude_min=kind.above)
        return floats | st.none() if kind.optional else floats
    if isinstance(kind, TextList):
        return st.lists(words, max_size=3).map(tuple)
    if isinstance(kind, TextMap):
        return st.dictionaries(words, words, max_size=3)
    assert isinstance(kind, Text)
    return printable


@given(st.data())
def test_a_value_survives_the_file_the_variable_and_the_command_line(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(SETTINGS)))
    setting = SETTINGS[key]
    value = data.draw(values_of(key))
    section, _, name = key.rpartition(".")
    written = f"{name}: {setting.kind.yaml(value)}\n"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(f"{section}:\n  {written}" if section else written, encoding="utf-8")
        assert load_config(file, {}, {}).value(key) == value
    text = setting.kind.text(value)
    if text:
        assert load_config(NOWHERE, {}, {setting.variable: text}).value(key) == value
    assert load_config(NOWHERE, {key: value}, {}).value(key) == value


@given(st.text(max_size=80))
def test_no_text_of_a_file_makes_it_fail_otherwise(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        with suppress(ConfigError):
            load_config(file, {}, {})
