"""The seeder: what it refuses, what it prints, how it ends."""

from __future__ import annotations

import ast
import json
import math
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.promptness import require_prompt, seconds_computed
from torbiz_tui.petals_command_line import PETALS_OPTIONS

from .conftest import TinyModel
from .runner_process import START_TIMEOUT_S, ServerProcess, gone, run_script

SEEDER = "run_petals_seeder.py"
PREFIX = re.compile(r"[A-Z][a-z]{2} \d{2} \d{2}:\d{2}:\d{2}\.\d{3} \[(INFO|WARN|ERROR)\] ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "70000"], ["--port", "'70000'", "from 0 to 65535"]),
        (["--blocks", "5:2"], ["--blocks", "'5:2'", "FIRST:END"]),
        (["--blocks", "0"], ["--blocks", "'0'", "a number of blocks above 0"]),
        (["--device", "tpu"], ["--device", "'tpu'", "auto, cpu, cuda"]),
        (["--throughput", "-3"], ["--throughput", "'-3'", "auto, eval, dry_run"]),
        (["--torch-dtype", "int4"], ["--torch-dtype", "int4", "float32"]),
        (["--initial-peer", "/ip4/1.2.3.4/tcp/1"], ["--initial-peer", "identity"]),
        (["--host-maddr", "localhost:80"], ["--host-maddr", "'localhost:80'", "/ip4/"]),
        (["--public-ip", "1.2.3"], ["--public-ip", "'1.2.3'", "IPv4"]),
        (["--public-ip", "192.0.2.7"], ["--public-ip", "--port"]),
        (["--max-disk-space", "lots"], ["--max-disk-space", "'lots'", "50GB"]),
        (["--dht-prefix", "a.b"], ["--dht-prefix", "'a.b'", "without dots"]),
        (["--device", "cpu", "--torch-dtype", "float16"], ["--torch-dtype", "bfloat16"]),
        (["--device", "cpu", "--quantization", "int8"], ["--quantization", "'int8'", "none"]),
        (["--update-period", "0"], ["--update-period", "'0'", "from 1 to 3600"]),
        (["--identity", "/nowhere/at/all"], ["--identity", "existing folder"]),
        (["--petals-option", "num_handlers=many"], ["num_handlers", "'many'", "from 1 to 64"]),
        (["--petals-option", "port=31337"], ["'port=31337'", "session_timeout"]),
        (["--petals-option", "custom_module_path=/nowhere"], ["'/nowhere'", "no such file"]),
        (["--petals-option", "expiration=120"], ["expiration=120", "update period of 120 s"]),
        (["--model-name", "/", "--petals-option", "revision=v1"], ["revision=v1", "/ is a folder"]),
        (["--node-token-file", "/nowhere"], ["--node-token-file", "'/nowhere'", "cannot be read"]),
    ],
)
def test_refuses_bad_usage_in_one_sentence(arguments: list[str], words: list[str]) -> None:
    result = run_script(sys.executable, SEEDER, "--model-name", "owner/name", *arguments)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


def test_help_imports_nothing_heavy() -> None:
    # What it computes, and not how long it waits for the other processes of the machine.
    def ask_for_help() -> None:
        result = run_script(sys.executable, SEEDER, "--help")
        assert result.returncode == 0
        assert "--model-name" in result.stdout

    assert seconds_computed(ask_for_help) < 2


def test_says_that_a_model_folder_does_not_exist(tmp_path: Path) -> None:
    result = run_script(sys.executable, SEEDER, "--model-name", str(tmp_path / "none"))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith(f"{tmp_path / 'none'} does not exist.")


def test_copies_its_log_to_a_file_as_far_as_the_disk_lets_it(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("the-node-token\n")
    log = tmp_path / "seeder.log"
    log.write_text("earlier\n")
    arguments = ("--model-name", str(tmp_path / "none"), "--node-token-file", str(token))
    result = run_script(sys.executable, SEEDER, *arguments, "--log-file", str(log))
    assert log.read_text("utf-8") == "earlier\n" + result.stderr
    assert "the-node-token" not in result.stderr
    full = run_script(sys.executable, SEEDER, *arguments, "--log-file", "/dev/full")
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].endswith(f"{tmp_path / 'none'} does not exist.")
    nowhere = run_script(sys.executable, SEEDER, *arguments, "--log-file", "/nowhere/x.log")
    assert "The log is not written to /nowhere/x.log" in nowhere.stderr


def test_says_that_the_port_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = run_script(
            sys.executable,
            SEEDER,
            "--model-name",
            str(tmp_path),
            "--host-maddr",
            f"/ip4/127.0.0.1/tcp/{port}",
        )
    assert result.returncode == 1
    assert f"Port {port} is already in use" in result.stderr.splitlines()[-1]


def test_says_that_a_model_type_is_not_supported(petals_python: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    result = run_script(petals_python, SEEDER, "--model-name", str(tmp_path))
    assert result.returncode == 1
    assert "Petals does not support model type gpt2" in result.stderr.splitlines()[-1]


def test_every_option_of_petals_own_program_is_in_our_table(petals_python: Path) -> None:
    libraries = petals_python.parents[1].glob("lib/python3.*/site-packages")
    source = next(folder / "petals" / "cli" / "run_server.py" for folder in libraries)
    names = {
        str(argument.value).lstrip("-")
        for call in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("add", "add_argument")
        for argument in call.args
        if isinstance(argument, ast.Constant) and argument.value != "-c"
    }
    assert len(names) > 40
    assert names == set(PETALS_OPTIONS)


@pytest.mark.swarm
def test_says_that_the_peers_do_not_answer(petals_python: Path, tiny_model: TinyModel) -> None:
    peer = "/ip4/127.0.0.1/tcp/{}/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
    process = ServerProcess(
        petals_python, tiny_model.folder, "--initial-peer", peer.format(free_port())
    )
    try:
        assert process.wait(START_TIMEOUT_S) == 1
        assert "None of the initial peers answered" in process.log[-1]
    finally:
        process.destroy()


@pytest.mark.swarm
def test_prints_its_stages_in_order(server: ServerProcess, tiny_model: TinyModel) -> None:
    model = str(tiny_model.folder)
    expected = [
        f"Starting a server for {model}",
        "Running Petals 2.",
        "Using DHT prefix: tiny-hf",
        "This server is accessible directly",
        "Connecting to a private swarm, initial peers: []",
        "Running a server on ['/ip4/127.0.0.1/tcp/",
        "Model weights are loaded in float32 format",
        "Attention cache for all blocks will consume up to ",
        "Announced that blocks range(0, 8) are joining",
        *(f"Loaded {model} block {index}" for index in range(8)),
        "Started",
        "Confirmed in the DHT: blocks 0:8 are online",
    ]
    lines = iter(server.log)
    for text in expected:
        assert any(text in line for line in lines), f"{text!r} is missing, or out of order"
    confirmed = next(i for i, line in enumerate(server.log) if "Confirmed" in line)
    for line in server.log[: confirmed + 1]:
        assert PREFIX.match(line), line


def end_of(process: ServerProcess, stop: Callable[[], None]) -> float:
    """Stop a server; the seconds until it has ended, with 0."""
    asked = time.monotonic()
    stop()
    process.process.wait(30)
    took = time.monotonic() - asked
    assert process.wait() == 0
    return took


@pytest.mark.swarm
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(
    petals_python: Path, tiny_model: TinyModel, signum: signal.Signals
) -> None:
    def ended() -> float:
        # A background job of a shell inherits SIGINT ignored; it must work all the same.
        process = ServerProcess(
            petals_python, tiny_model.folder, "--new-swarm", "--blocks", "3", ignore_sigint=True
        )
        try:
            process.wait_serving()
            family = process.family()
            assert len(family) > 3
            took = end_of(process, lambda: process.process.send_signal(signum))
            assert not gone(family)
            assert any("are offline" in line for line in process.log)
            assert not any("Traceback" in line for line in process.log)
            # It is cut short where the machine is too busy for all of it.
            whole = any("Module container shut down successfully" in line for line in process.log)
            return took if whole else math.inf
        finally:
            process.destroy()

    require_prompt(ended, 5)


@pytest.mark.swarm
@pytest.mark.parametrize("line", ["Starting a server", "Using DHT prefix", "are joining"])
def test_a_signal_during_the_start_ends_it(
    petals_python: Path, tiny_model: TinyModel, line: str
) -> None:
    def ended() -> float:
        process = ServerProcess(petals_python, tiny_model.folder, "--new-swarm")
        try:
            process.wait_log(line)
            family = process.family()
            took = end_of(process, process.process.terminate)
            assert not gone(family)
            if line == "are joining":
                assert any("are offline" in text for text in process.log)
            return took
        finally:
            process.destroy()

    require_prompt(ended, 5)


@pytest.mark.swarm
@pytest.mark.skipif(sys.platform != "linux", reason="children die with their parent on Linux only")
def test_kill_9_leaves_no_process(petals_python: Path, tiny_model: TinyModel) -> None:
    process = ServerProcess(petals_python, tiny_model.folder, "--new-swarm", "--blocks", "2:5")
    try:
        assert process.wait_serving().log[-1].endswith("blocks 2:5 are online")
        family = process.family()
        process.process.kill()
        process.wait()
        assert not gone(family)
    finally:
        process.destroy()
