"""Options of Petals' own command line: all of them are known, checked, and said in a request."""

from __future__ import annotations

import argparse
import importlib
import runpy
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from torbiz_tui import config_forms
from torbiz_tui.catalogue import ModelInfo, demo_info
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.seeder_command import seeder_arguments
from torbiz_tui.errors import UsageError
from torbiz_tui.paths import runner_scripts
from torbiz_tui.sharing.petals_options import (
    PETALS_OPTIONS,
    normalised,
    problem_of,
    require_hosting,
)
from torbiz_tui.sharing.request import ShareRequest, make_spec, request_of

DOCS = Path(__file__).parents[2] / "docs"
HUB_MODEL = ModelInfo("owner/model", "owner/model", "llama", 8)


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["--num-handlers=3", "balance-quality = 0"], ("balance_quality=0", "num_handlers=3")),
        (["no_auto_relay", "skip_reachability_check=false"], ("no_auto_relay=true",)),
        (["max_disk_space=1.5GiB"], ("max_disk_space=1610612736",)),
        (["adapters=a/b,c/d a/b"], ("adapters=a/b c/d",)),
        (["compression=FLOAT16", "compression=float16"], ("compression=float16",)),
        (["revision=v1.0", "session_timeout=60.0"], ("revision=v1.0", "session_timeout=60")),
    ],
)
def test_options_are_put_in_one_spelling(texts: list[str], kept: tuple[str, ...]) -> None:
    assert normalised(texts) == kept
    assert normalised(kept) == kept


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["num_handler=3"], ["num_handler ", "did you mean num_handlers?"]),
        (["num_handlers=many"], ["num_handlers", "'many'", "a whole number from 1 to 64"]),
        (["session_timeout"], ["session_timeout", "needs a value", "from 1 to"]),
        (["port=31337"], ["port", "--port / share.port"]),
        (["public_ip=192.0.2.300"], ["public_ip", "'192.0.2.300'", "IPv4"]),
        (["host_maddrs=localhost:80"], ["host_maddrs", "'localhost:80'", "/ip4/0.0.0.0/tcp/31337"]),
        (["compression=zip"], ["compression", "'zip'", "float16"]),
        (["max_disk_space=lots"], ["max_disk_space", "'lots'", "50GB"]),
        (["revision=../x"], ["revision", "'../x'", "a branch, a tag or a commit"]),
        (["=3"], ["''", "num_handlers=3"]),
        (["sender_threads=1", "sender_threads=2"], ["sender_threads", "twice"]),
        (["update_period=60", "expiration=60"], ["expiration 60", "update_period 60"]),
        (["min_batch_size=9", "max_batch_size=8"], ["min_batch_size 9", "max_batch_size 8"]),
    ],
)
def test_what_is_wrong_names_option_value_and_what_is_accepted(
    texts: list[str], words: list[str]
) -> None:
    problem = problem_of(texts)
    for word in words:
        assert word in problem


def test_a_restart_asks_for_the_same_options() -> None:
    request = ShareRequest(
        "owner/model",
        initial_peers=("/ip4/192.0.2.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",),
        petals_options=("num_handlers=3", "public_ip=192.0.2.7", "revision=v1.0"),
    )
    spec = make_spec(request, HUB_MODEL)
    assert ServerSpec.from_json(spec.to_json()) == spec
    assert request_of(spec) == request
    arguments = seeder_arguments(spec, source="owner/model", identity="", cache="")
    assert arguments[-4:] == [
        *("--petals-option", "num_handlers=3"),
        *("--petals-option", "revision=v1.0"),
    ]
    assert "/ip4/192.0.2.7/tcp/31337" in arguments


def test_addresses_to_listen_on_go_before_loopback() -> None:
    request = ShareRequest(
        "torbiz-demo",
        new_swarm=True,
        loopback=True,
        petals_options=("host_maddrs=/ip4/0.0.0.0/tcp/31337", "update_period=30"),
    )
    spec = make_spec(request, demo_info())
    assert spec.host_maddrs == ("/ip4/0.0.0.0/tcp/31337",)
    assert "--update-period" not in seeder_arguments(spec, source="x", identity="", cache="")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ShareRequest("m", petals_options=("host_maddrs=/ip4/0.0.0.0/tcp/5",)), ["another port"]),
        (
            ShareRequest(
                "m",
                announce_maddrs=("/ip4/192.0.2.9/tcp/31337",),
                petals_options=("public_ip=192.0.2.7",),
            ),
            ["public_ip", "share.announce_maddrs"],
        ),
    ],
)
def test_what_contradicts_the_rest_is_refused(request_: ShareRequest, words: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        make_spec(request_, HUB_MODEL)
    for word in words:
        assert word in refused.value.what


def test_a_folder_has_no_revisions() -> None:
    request = ShareRequest("demo", new_swarm=True, petals_options=("revision=main",))
    with pytest.raises(UsageError, match="is a folder on this machine"):
        make_spec(request, replace(demo_info(), demo=False))


@pytest.mark.parametrize("option", ["adapters=acme/lora", "custom_module_path=/x.py"])
def test_a_container_has_neither_adapters_nor_files_of_this_machine(option: str) -> None:
    require_hosting((option,), "native")
    with pytest.raises(UsageError, match=r"container"):
        require_hosting((option,), "docker")


def test_the_page_says_what_the_table_says() -> None:
    page = runpy.run_path(str(DOCS / "write_petals_options.py"))["page"]()
    written = (DOCS / "petals-options.md").read_text("utf-8")
    assert written == page, "run `python docs/write_petals_options.py`"


def test_a_name_that_petals_cannot_give_an_adapter_is_refused() -> None:
    refused = ["acme/lora-v1.5", "/models/lora.d", "~/lora.d", "acme/one acme/t.wo", "lora"]
    for text in refused:
        with pytest.raises(UsageError, match="no dot in the name"):
            normalised([f"adapters={text}"])
    for text in ("acme/lora-v1", "/models.d/lora", "~/a.b/my-lora/"):
        assert normalised([f"adapters={text}"]) == (f"adapters={text}",)


def test_both_sides_have_one_rule_for_the_name_of_an_adapter(server_options: ModuleType) -> None:
    del server_options  # it is what finds the runners' modules
    theirs = importlib.import_module("argument_types")
    assert theirs._ADAPTER.pattern == config_forms._ADAPTER.pattern
    for name, accepted in (
        ("a/b", True),
        ("mine", True),
        ("a.b", False),
        ("-a", False),
        ("a b", False),
    ):
        assert config_forms.is_adapter_name(name) is theirs.is_adapter_name(name) is accepted


PASSED_ON = {name for name, option in PETALS_OPTIONS.items() if option.kind is not None} - {
    "host_maddrs",
    "public_ip",
}
GIVEN = {
    "adapters": ["acme/one acme/two", "/models/lora"],
    "no_auto_relay": ["true", "yes"],
    "skip_reachability_check": ["on"],
    "compression": ["float16", "meanstd_16bit"],
    "revision": ["main", "refs/pr/1", "v1.0"],
    "tensor_parallel_devices": ["cuda:0 cuda:1"],
    "custom_module_path": [str(Path(__file__))],
}


@pytest.fixture
def server_options(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The checks of the server's runner, which imports nothing of the app."""
    monkeypatch.syspath_prepend(str(runner_scripts()))
    return importlib.import_module("petals_option_types")


def test_the_runner_takes_what_the_app_takes(server_options: ModuleType) -> None:
    assert set(server_options.TYPES) == PASSED_ON
    for name in sorted(PASSED_ON):
        kind = PETALS_OPTIONS[name].kind
        texts = GIVEN.get(name, ["0", "0.5", "1", "7", "1024", "3600", "64MiB", "1e9", "x"])
        taken = [text for text in texts if not problem_of([f"{name}={text}"])]
        assert taken
        for text in taken:
            [passed] = normalised([f"{name}={text}"])
            given, value = server_options.petals_option(passed)
            expected = kind.parse(text) if kind is not None else None
            assert (given, value) == (name, list(expected) if type(expected) is tuple else expected)
        with pytest.raises(argparse.ArgumentTypeError, match=name):
            server_options.petals_option(f"{name}=../x y")


@pytest.mark.parametrize(
    ("dtype", "checkpoint", "device", "compressed"),
    [
        ("float32", "torch.bfloat16", "cpu", True),
        ("bfloat16", "torch.float16", "cpu", False),
        ("auto", "torch.float16", "cuda", True),
        ("auto", "torch.bfloat16", "cuda", False),
        ("auto", "None", "cuda", False),
        # Apple's GPU computes in float16 instead.
        ("bfloat16", "torch.float16", "mps", True),
        ("auto", "torch.bfloat16", "mps", True),
    ],
)
def test_bfloat16_is_not_compressed(
    server_options: ModuleType, dtype: str, checkpoint: str, device: str, compressed: bool
) -> None:
    given = {"compression": "float16"}
    problem = server_options.compression_problem(given, dtype, checkpoint, device)
    assert bool(problem) is not compressed
    assert not server_options.compression_problem({}, dtype, checkpoint, device)


def test_announcements_hold_longer_than_the_time_to_the_next_one() -> None:
    short = ShareRequest("owner/model", petals_options=("expiration=60",))
    with pytest.raises(UsageError, match="expiration 60 is not above the 120 s"):
        make_spec(short, HUB_MODEL)
    # The demo is announced more often.
    make_spec(replace(short, model="torbiz-demo"), demo_info())
    make_spec(replace(short, petals_options=("expiration=60", "update_period=30")), HUB_MODEL)
