"""Each known symptom is recognised by the exact strings that are printed, and by nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.cli import main
from torbiz_tui.config import SETTINGS
from torbiz_tui.troubleshooting.matching import (
    Matcher,
    explain,
    explain_lines,
    find,
    match,
)
from torbiz_tui.troubleshooting.symptom import (
    GAP,
    LOGS,
    Action,
    Machine,
    Place,
    Severity,
    Symptom,
    whole_words,
)
from torbiz_tui.troubleshooting.symptoms import SYMPTOMS

ORDINARY = Path(__file__).with_name("ordinary_lines.txt")
IN_LOGS = [symptom for symptom in SYMPTOMS if symptom.places & LOGS]

# What Petals, hivemind, the hub, PyTorch and Docker print, whole lines with what is around them.
PRINTED = [
    ("ModuleNotFoundError: No module named 'pkg_resources'", "pkg_resources_missing"),
    (
        "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed:"
        " unable to get local issuer certificate (_ssl.c:1006)",
        "certificate_untrusted",
    ),
    ("  ERROR: Failed building wheel for hivemind", "p2pd_download_failed"),
    ("RuntimeError: The sha256 checksum for p2pd does not match", "p2pd_download_failed"),
    (
        "urllib.error.URLError: <urlopen error [Errno -2] Name or service not known>",
        "p2pd_download_failed",
    ),
    (
        "AssertionError: Please install a proper transformers version: pip install"
        " transformers>=4.32.0,<4.35.0",
        "transformers_version",
    ),
    (
        "ImportError: cannot import name '_refresh_per_optimizer_state' from"
        " 'torch.cuda.amp.grad_scaler' (/x/grad_scaler.py)",
        "hivemind_too_old_for_torch",
    ),
    (
        "AttributeError: 'super' object has no attribute '__get_validators__'",
        "hivemind_too_old_for_pydantic",
    ),
    (
        "pydantic.errors.PydanticSchemaGenerationError: Unable to generate pydantic-core schema for"
        " <class 'int'>.",
        "hivemind_too_old_for_pydantic",
    ),
    (
        "Required library version not found: libbitsandbytes_cuda117.so. Maybe you need to compile"
        " it from source?",
        "bitsandbytes_without_gpu",
    ),
    (
        "UserWarning: The installed version of bitsandbytes was compiled without GPU support. 8-bit"
        " optimizers and GPU quantization are unavailable.",
        "bitsandbytes_without_gpu",
    ),
    ("'NoneType' object has no attribute 'cadam32bit_grad_fp32'", "bitsandbytes_without_gpu"),
    (
        "Nov 24 16:07:18.557 [WARN] [hivemind.dht.protocol.call_ping:138] ValidationError('local"
        " time must be within 3 seconds  of others(local: 1700000000.00000, peer:"
        " 1700000009.00000)')",
        "clock_drift",
    ),
    (
        "hivemind.dht.validation.ValidationError: local time must be within 3 seconds  of"
        " others(local: 1.0, peer: 9.0)",
        "clock_drift",
    ),
    (
        "hivemind.p2p.p2p_daemon_bindings.utils.P2PDaemonError: Daemon failed to start in 60.0"
        " seconds",
        "p2p_start_timeout",
    ),
    (
        "P2PDaemonError: Daemon failed to start: 2023/01/01 00:00:00 failed to connect to bootstrap"
        " peers",
        "initial_peers_dead",
    ),
    (
        "RuntimeError: DHTNode bootstrap failed: none of the initial_peers responded to a ping."
        " (set ensure_bootstrap_success=False to ignore)",
        "initial_peers_dead",
    ),
    (
        "RuntimeError: Server has not become reachable from the Internet:",
        "not_reachable",
    ),
    (
        "Nov 24 16:07:18.557 [INFO] Detected a NAT or a firewall, connecting to libp2p relays. This"
        " takes a few minutes",
        "behind_nat",
    ),
    (
        "Nov 24 16:07:18.557 [INFO] Running a server on"
        " ['/ip4/172.17.0.2/tcp/31337/p2p/QmPeer', '/ip4/127.0.0.1/tcp/31337/p2p/QmPeer']",
        "bridge_address",
    ),
    (
        "petals.client.routing.sequence_manager.MissingBlocksError: No servers holding blocks"
        " [4, 5, 6, 7] are online. You can check the public swarm's state at"
        " https://health.petals.dev",
        "missing_blocks",
    ),
    (
        "Nov 24 16:07:18.557 [WARN] [petals.client.inference_session.step:327] Caught exception"
        " when running inference via RemoteSpanInfo(peer_id=...QmPeer) (retry in 8 sec):"
        " TimeoutError()",
        "server_does_not_answer",
    ),
    (
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB",
        "does_not_fit",
    ),
    (
        "AssertionError: Your GPU does not have enough memory to serve at least one block",
        "does_not_fit",
    ),
    (
        "RuntimeError: [enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: can't"
        " allocate memory: you tried to allocate 1073741824 bytes.",
        "does_not_fit",
    ),
    ("Killed", "out_of_memory"),
    ("2026-11-24T16:07:18.557123456Z Killed", "out_of_memory"),
    ("The command '/bin/sh -c x' exited with code 137", "out_of_memory"),
    ("ERROR: process \"/bin/sh -c x\" did not complete successfully: exit code: 137", "out_of_memory"),
    ('            "OOMKilled": true,', "out_of_memory"),
    ("OOMKilled: true", "out_of_memory"),
    (
        "AssertionError: GPU is not available. If you want to run a CPU-only server, please specify"
        " --num_blocks. CPU-only servers in the public swarm are discouraged since they are much"
        " slower",
        "blocks_not_given",
    ),
    (
        "ValueError: Type float16 is not supported on CPU. Please use --torch_dtype float32 or"
        " --torch_dtype bfloat16",
        "float16_on_cpu",
    ),
    ("You are trying to access a gated repo.", "gated_model"),
    (
        "huggingface_hub.utils._errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-6)",
        "gated_model",
    ),
    ("GatedRepoError: 403", "gated_model"),
    ("meta-llama/X is a gated model: accept its licence on its page and set HF_TOKEN.", "gated_model"),
    (
        "Nov 24 16:07:18.557 [WARN] [petals.server.from_pretrained._load_state_dict_from_repo_file"
        ":216] Failed to load file pytorch_model-00001-of-00002.bin from HF Hub (retry in 30 sec)",
        "download_repeated",
    ),
    (
        "Nov 24 16:07:18.557 [INFO] Swarm is imbalanced, server will load other blocks",
        "rebalancing",
    ),
    ("AssertionError: Span served by this server is not present in the DHT", "span_lost"),
    (
        "Nov 24 16:07:18.557 [WARN] [petals.server.server.run:375] One of subprocesses crashed,"
        " restarting the server",
        "subprocess_crashed",
    ),
    (
        "RuntimeError: Insufficient disk space to load a block. Please free 3.2 GiB on the volume"
        " for /cache or increase --max_disk_space if you set it manually",
        "model_cache_full",
    ),
    (
        "RuntimeError: could not unlink the shared memory file /torch_93_1234_0 : No such file or"
        " directory (2)",
        "shared_memory_small",
    ),
    (
        "Nov 24 16:07:18.557 [INFO] Network throughput is not available: speedtest did not finish"
        " in 60 seconds. Using default of 100.00 Mbit/s",
        "throughput_unknown",
    ),
    ("ValueError: Petals does not support model type gpt2", "model_unsupported"),
    (
        "ValueError: Maximum length exceeded: prefix 2040 + current 10 exceeds pre-allocated maximum"
        " 2048",
        "context_full",
    ),
    (
        "petals.server.memory_cache.AllocationFailed: Server's attention cache is full, failed to"
        " allocate 1024 bytes in 60 seconds",
        "attention_cache_full",
    ),
    (
        "hivemind.p2p.P2PDaemonError: Identity from `/run/x.identity` is already taken by another"
        " peer",
        "identity_taken",
    ),
    (
        "docker: Error response from daemon: could not select device driver \"\" with capabilities:"
        " [[gpu]].",
        "docker_no_gpu_toolkit",
    ),
    (
        "docker.errors.DockerException: Error while fetching server API version: ('Connection"
        " aborted.', FileNotFoundError(2, 'No such file or directory'))",
        "docker_not_running",
    ),
    (
        "docker.errors.DockerException: Error while fetching server API version: ('Connection"
        " aborted.', PermissionError(13, 'Permission denied'))",
        "docker_permission",
    ),
    (
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon"
        " running?",
        "docker_not_running",
    ),
    (
        "Error response from daemon: Conflict. The container name \"/torbiz-petals-seeder\" is"
        " already in use by container \"0123abc\". You have to remove (or rename) that container to"
        " be able to reuse that name.",
        "container_name_taken",
    ),
    ("failed to write: write /var/lib/docker/x: no space left on device", "disk_full"),
    ("OSError: [Errno 28] No space left on device", "disk_full"),
    # The guide's problems, in its own words.
    ("Docker is not running", "docker_not_running"),
    ("Docker image not found", "image_not_found"),
    ("Cannot connect to Docker daemon", "docker_unreachable"),
    ("GPU sharing fails with Python errors", "python_errors"),
    ("Direct inference not working", "asking_not_set_up"),
    # The dependency conflicts on macOS that it begins with.
    ("ModuleNotFoundError: No module named 'peft'", "dependency_conflict"),
    ("ModuleNotFoundError: No module named 'accelerate'", "dependency_conflict"),
    ("ModuleNotFoundError: No module named 'petals'", "python_errors"),
    ("OSError: [Errno 98] Address already in use", "port_taken"),
    ("exec /usr/bin/python3: exec format error", "docker_platform"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "symptom_id"), PRINTED)
def test_what_is_printed_is_recognised(line: str, symptom_id: str) -> None:
    symptom = match(line)
    assert symptom is not None
    assert symptom.id == symptom_id
    # In the log where it belongs, too, and with colours around it.
    for place in symptom.places & LOGS:
        assert match(f"\x1b[31m{line}\x1b[0m", place) is symptom


def test_every_remedy_can_be_followed(capsys: pytest.CaptureFixture[str]) -> None:
    """Options, settings and commands that are named exist."""
    options = set()
    for command in ("", "share", "ask", "clean", "setup"):
        assert main([*command.split(), "--help"]) == 0
        options |= set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    elsewhere = {"--shm-size", "--ipc", "--shutdown"}
    sections = {key.partition(".")[0] for key in SETTINGS if "." in key}
    for symptom in SYMPTOMS:
        for remedy in (symptom.remedy, *symptom.remedies.values()):
            assert set(re.findall(r"--[a-z][a-z-]+", remedy)) <= options | elsewhere, symptom.id
            named = re.findall(rf"\b(?:{'|'.join(sections)})\.[a-z_]+", remedy)
            assert {name for name in named if name != "docker.io"} <= set(SETTINGS), symptom.id


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda symptom: symptom.id)
def test_a_symptom_is_told_in_sentences(symptom: Symptom) -> None:
    assert symptom.title.endswith(".")
    assert symptom.source
    assert symptom.places
    for text in (symptom.cause, symptom.remedy, *symptom.remedies.values()):
        assert text.rstrip(")").endswith("."), text
        assert "  " not in text


@pytest.mark.parametrize("symptom", IN_LOGS, ids=lambda symptom: symptom.id)
def test_each_pattern_is_found_by_its_words(symptom: Symptom) -> None:
    alone = Matcher([symptom])
    for pattern in symptom.patterns:
        assert any(len(word) > 3 for word in whole_words(pattern)), pattern
        printed = pattern.removeprefix("^").removesuffix("$").replace(GAP, " 7 of them ")
        assert alone.match(printed) is symptom
        assert alone.match(printed.upper()) is symptom


def test_a_pattern_is_no_part_of_another_word() -> None:
    assert match("NotADockerOutOfMemoryErrors") is None
    assert match("torch.OutOfMemoryError: x") is not None
    assert match("Killed 3 of them") is None


def test_ids_are_unique_and_actions_are_offered() -> None:
    ids = [symptom.id for symptom in SYMPTOMS]
    assert len(ids) == len(set(ids))
    assert {symptom.action for symptom in SYMPTOMS} == set(Action)
    assert all(action.label for action in Action if action)


def test_ordinary_lines_raise_no_alarm() -> None:
    lines = ORDINARY.read_text("utf-8").splitlines()
    assert len(lines) > 150
    assert list(explain_lines(lines)) == []


def test_what_is_harmless_is_called_so() -> None:
    """Of the lines that a good server in the public swarm prints, too."""
    for line in (
        "[INFO] Network throughput is not available: x. Using default of 100.00 Mbit/s",
        "[WARN] Skipping reachability check because health.petals.dev is down: Timeout()",
        "[WARN] Failed to fetch the latest Petals version from PyPI:",
        "UserWarning: bitsandbytes was compiled without GPU support.",
    ):
        symptom = match(line)
        assert symptom is not None
        assert symptom.severity is Severity.BENIGN


def test_remedies_are_those_of_the_machine() -> None:
    line = "ValidationError: local time must be within 3 seconds  of others(local: 1, peer: 9)"
    told = {
        machine: found.remedy
        for machine in Machine
        if (found := explain(line, machine=machine)) is not None
    }
    assert "wsl --shutdown" in told[Machine.WSL]
    assert "Docker Desktop" in told[Machine.DOCKER_DESKTOP]
    assert "timedatectl" in told[Machine.LINUX]
    anywhere = explain(line)
    assert anywhere is not None
    assert anywhere.remedy not in told.values()
    assert anywhere.line == line


def test_not_running_and_not_allowed_are_two_things() -> None:
    begin = "Error while fetching server API version: ('Connection aborted.', "
    absent = explain(f"{begin}FileNotFoundError(2, 'x'))", machine=Machine.LINUX)
    denied = explain(f"{begin}PermissionError(13, 'x'))", machine=Machine.LINUX)
    assert absent is not None
    assert denied is not None
    assert "systemctl start docker" in absent.remedy
    assert absent.action is Action.START_DOCKER
    assert "usermod -aG docker" in denied.remedy
    assert denied.action is Action.NONE


def test_no_remedy_prunes() -> None:
    for symptom in SYMPTOMS:
        for remedy in (symptom.remedy, *symptom.remedies.values()):
            assert "system prune" not in remedy or re.search(r"\b[Nn]o `docker", remedy)


def test_only_what_may_be_printed_there_is_looked_for() -> None:
    line = "MissingBlocksError: No servers holding blocks [1] are online."
    assert match(line, Place.SETUP) is None
    assert match(line, Place.CHAT) is not None
    # Words of one tool mean nothing elsewhere.
    assert match("denied: requested access; EOF") is None
    assert find("denied", Place.BASE_IMAGE) is not None


def test_of_several_the_more_telling_one_is_named() -> None:
    text = (
        "AssertionError: local time must be within 3 seconds  of others(local: 1, peer: 9)\n"
        "RuntimeError: DHTNode bootstrap failed: none of the initial_peers responded to a ping."
    )
    found = find(text, Place.SERVER, Severity.ERROR)
    assert found is not None
    assert found.id == "clock_drift"


def test_only_the_beginning_of_an_endless_line_is_examined() -> None:
    assert match("Docker is not running " + "x" * 10_000_000) is not None
    assert match("x" * 10_000_000 + " Docker is not running") is None
    # What begins like a pattern, over and over, does not take ever longer.
    assert match("Conflict. The container name " * 100_000) is None


@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    part
                    for symptom in IN_LOGS
                    for pattern in symptom.patterns
                    for part in re.split(f"({GAP})", pattern.strip("^$"))
                ),
                "\u2026", "\u00e9", "_", "'", " ", "[", "x", "1", "\t", "\ud800",
            ]
        ),
        max_size=6,
    ),
    st.sampled_from(["", " "]),
)  # fmt: skip
def test_the_quick_way_finds_what_the_patterns_find(parts: list[str], between: str) -> None:
    line = between.join(parts)
    expected = next((one for one in IN_LOGS if one.expression.search(line)), None)
    assert match(line) is expected
