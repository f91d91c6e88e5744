"""Symptoms of the machine and the model: memory, disk, ports, licences, settings."""

from __future__ import annotations

from torbiz_tui.troubleshooting.symptom import (
    LOGS,
    STACK,
    Action,
    Machine,
    Place,
    Severity,
    Symptom,
)

_BOTH = frozenset({Place.SERVER, Place.CHAT})
_SERVER = frozenset({Place.SERVER})

SERVER_SYMPTOMS = (
    Symptom(
        id="port_taken",
        title="The port is taken.",
        patterns=("address already in use",),
        cause="Another program listens there.",
        remedy="Choose another port (share.port, or --port).",
        action=Action.OTHER_PORT,
        places=_BOTH,
        source="p2pd",
    ),
    Symptom(
        id="does_not_fit",
        title="The blocks do not fit into memory.",
        patterns=(
            "OutOfMemoryError",
            "CUDA out of memory",
            "does not have enough memory to serve at least one block",
            "DefaultCPUAllocator",
        ),
        cause="The blocks and the attention cache need more than the GPU, or the machine, has"
        " free.",
        remedy="Serve fewer blocks. On a GPU that is nearly enough,"
        " PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:128 can help.",
        action=Action.FEWER_BLOCKS,
        places=_BOTH,
        source="PyTorch, petals server/server.py, Petals issue 413",
    ),
    Symptom(
        id="out_of_memory",
        title="It ran out of memory, and the system killed it.",
        patterns=(
            "^Killed$",
            "exit 137",
            "exit code 137",
            "exit code: 137",
            "exit status 137",
            "exited with code 137",
            "OOMKilled: true",
            'OOMKilled": true',
            "OOMKilled=true",
            "out of memory and the system killed it",
            "MiB of memory that it may use, and the system killed it",
        ),
        cause="The machine, or the container, has less memory than was needed.",
        remedy="Serve fewer blocks, or allow more memory.",
        remedies={
            Machine.DOCKER_DESKTOP: "Serve fewer blocks, or give Docker Desktop more memory"
            " (Settings, Resources).",
            Machine.LINUX: "Serve fewer blocks, free memory, or raise docker.memory if it is set.",
            Machine.WSL: "Serve fewer blocks, or raise `memory=` in `.wslconfig` on Windows and"
            " run `wsl --shutdown`.",
        },
        action=Action.FEWER_BLOCKS,
        places=LOGS,
        source="the system, `docker inspect`, Petals' wiki",
    ),
    Symptom(
        id="model_cache_full",
        title="The disk is full.",
        patterns=("Insufficient disk space to load a block",),
        cause="The next block does not fit on the disk that holds the downloaded ones.",
        remedy="Free some space and start again: `torbiz-tui clean --models` removes blocks that"
        " this program has downloaded.",
        action=Action.FREE_DISK,
        places=_SERVER,
        source="petals utils/disk_cache.py, Petals issue 152",
    ),
    Symptom(
        id="disk_full",
        title="The disk is full.",
        patterns=("No space left on device", "Disk quota exceeded", "os error 28"),
        cause="The disk of this machine, or that of the container engine, has no room left.",
        remedy="Free some space and start again: `torbiz-tui clean` shows what is this program's,"
        " and removes nothing else.",
        remedies={
            Machine.DOCKER_DESKTOP: "Free some space and start again: `torbiz-tui clean` shows"
            " what is this program's. The size of Docker Desktop's own disk is in Settings,"
            " Resources.",
        },
        action=Action.FREE_DISK,
        places=LOGS,
        source="the system",
    ),
    Symptom(
        id="gated_model",
        title="The model is gated.",
        patterns=("gated repo", "GatedRepoError", "is a gated model"),
        cause="Its licence was not accepted with your account, or the token is missing or wrong.",
        remedy="Accept its licence on its page and set HF_TOKEN.",
        places=_BOTH,
        source="huggingface_hub",
    ),
    Symptom(
        id="model_unknown",
        title="The hub has no such model.",
        patterns=(
            "RepositoryNotFoundError",
            "is not a valid model identifier",
            "The hub has no model",
        ),
        cause="The name is misspelt, or the model is private and HF_TOKEN does not open it.",
        remedy="Check the spelling; for a private model set HF_TOKEN.",
        places=_BOTH,
        source="huggingface_hub, transformers",
    ),
    Symptom(
        id="hub_unreachable",
        title="The Hugging Face hub cannot be reached.",
        patterns=(
            "the Hugging Face hub cannot be reached",
            "couldn't connect to 'https://huggingface.co'",
            "LocalEntryNotFoundError",
            "HTTPSConnectionPool(host='huggingface.co'",
        ),
        cause="There is no network, or a proxy is in between; and the model is not in the cache.",
        remedy="Check the network and the proxies (HTTPS_PROXY), then start again.",
        places=_BOTH,
        source="huggingface_hub, transformers",
    ),
    Symptom(
        id="download_repeated",
        title="A file of the model cannot be downloaded, and Petals tries again for ever.",
        patterns=("Failed to load file\u2026from HF Hub",),
        cause="The licence was not accepted, the token is wrong, the disk is full, or the network"
        " is down; the lines below it say which.",
        remedy="For a gated model accept its licence on its page and set HF_TOKEN, then start"
        " again.",
        severity=Severity.WARNING,
        action=Action.RESTART,
        places=_SERVER,
        source="petals server/from_pretrained.py",
    ),
    Symptom(
        id="model_unsupported",
        title="Petals does not support this kind of model.",
        patterns=("Petals does not support model type",),
        cause="It serves the families Llama, Falcon, BLOOM and Mixtral; the release that Setup"
        " installs knows no Mixtral.",
        remedy="Choose one of `torbiz-tui models`.",
        places=_BOTH,
        source="petals utils/auto_config.py",
    ),
    Symptom(
        id="blocks_not_given",
        title="A server without a GPU has to be told how many blocks to serve.",
        patterns=("GPU is not available. If you want to run a CPU-only server",),
        cause="Petals chooses the number of blocks by the memory of a GPU alone.",
        remedy="Share with a number of blocks (--blocks N).",
        action=Action.OTHER_SETTINGS,
        places=_SERVER,
        source="petals server/server.py, Petals issue 398",
    ),
    Symptom(
        id="float16_on_cpu",
        title="The number format float16 needs a GPU.",
        patterns=("Type float16 is not supported on CPU",),
        cause="The server was told to keep the weights in it, and computes on the processor.",
        remedy="Share with --dtype auto, float32 or bfloat16.",
        action=Action.OTHER_SETTINGS,
        places=_SERVER,
        source="petals server/server.py, Petals issue 398",
    ),
    Symptom(
        id="shared_memory_small",
        title="The processes of the server have too little shared memory.",
        patterns=(
            "could not unlink the shared memory file",
            "unable to allocate shared memory",
            "unable to mmap\u2026bytes from file </torch_",
        ),
        cause="Petals' processes pass their data through /dev/shm, which is 64 MB in a container"
        " unless it is told otherwise.",
        remedy="Raise docker.shared_memory (1 GiB by default), then start again; with your own"
        " `docker run` use `--shm-size` or `--ipc host`.",
        severity=Severity.WARNING,
        action=Action.RESTART,
        places=_SERVER,
        source="PyTorch, Petals issue 230",
    ),
    Symptom(
        id="subprocess_crashed",
        title="A part of the server crashed, and Petals starts the server again.",
        patterns=("One of subprocesses crashed, restarting the server",),
        cause="A process of the server died, often for lack of memory.",
        remedy="Wait until it serves again. If it comes back, start it anew with fewer blocks.",
        severity=Severity.WARNING,
        action=Action.RESTART,
        places=_SERVER,
        source="petals server/server.py, Petals issue 613",
    ),
    Symptom(
        id="bitsandbytes_without_gpu",
        title="bitsandbytes does not find a GPU.",
        patterns=(
            "Required library version not found: libbitsandbytes_cuda\u2026",
            "compiled without GPU support",
            "'NoneType' object has no attribute 'cadam32bit_grad_fp32'",
        ),
        cause="It compresses weights on NVIDIA GPUs and nowhere else; on a processor, and on"
        " macOS, that is as it should be.",
        remedy="Nothing has to be done without a GPU. If sharing stops there, share with"
        " --quantization none.",
        severity=Severity.BENIGN,
        action=Action.OTHER_SETTINGS,
        places=STACK,
        source="bitsandbytes, Petals issues 147 and 623",
    ),
)
