"""Symptoms of the swarm: clocks, addresses, peers, blocks that nobody serves."""

from __future__ import annotations

from torbiz_tui.troubleshooting.symptom import GAP, Action, Machine, Place, Severity, Symptom

_BOTH = frozenset({Place.SERVER, Place.CHAT})
_SERVER = frozenset({Place.SERVER})
_CHAT = frozenset({Place.CHAT})
# Docker takes its networks from 172.17.0.0/16 on.
_BRIDGE_ADDRESSES = tuple(f"Running a server on ['/ip4/172.{second}." for second in range(17, 32))

SWARM_SYMPTOMS = (
    Symptom(
        id="clock_drift",
        title="The clock of this machine is wrong.",
        patterns=("local time must be within", f"The clock of this machine is{GAP}those of"),
        cause="Peers accept each other only if their clocks differ by less than 3 seconds; the"
        " clock of a virtual machine falls behind while the computer sleeps.",
        remedy="Set the clock by the network (NTP), then start again.",
        remedies={
            Machine.DOCKER_DESKTOP: "Restart Docker Desktop, whose virtual machine has a clock of"
            " its own, then start again.",
            Machine.LINUX: "Run `sudo timedatectl set-ntp true`, then start again.",
            Machine.WSL: "Run `wsl --shutdown` on Windows, open WSL again, then start again.",
        },
        places=_BOTH,
        source="hivemind dht/protocol.py, Petals issue 433",
    ),
    Symptom(
        id="clocks_differ",
        title="The clocks of this machine and of a peer differ.",
        patterns=("The clocks of this machine and of",),
        cause="Peers accept each other only if their clocks differ by less than 3 seconds, and what"
        " they tell each other is taken for outdated after a difference of minutes. With two clocks"
        " nobody can tell which is right.",
        remedy="Set both clocks by the network (NTP); compare this one with a phone's.",
        remedies={
            Machine.LINUX: "Compare this clock with a phone's (`date`), and run `sudo timedatectl"
            " set-ntp true` on the machine whose clock is wrong.",
        },
        places=_BOTH,
        source="runner_scripts/clock_check.py, hivemind dht/protocol.py",
    ),
    Symptom(
        id="peer_clock_wrong",
        title="The clock of another peer is wrong.",
        patterns=("The clock of the peer",),
        cause="This machine's clock agrees with those of the others. Nobody can join through a peer"
        " whose clock is wrong, and its blocks may vanish from the swarm.",
        remedy="Tell whoever runs it to set the clock by the network (NTP).",
        severity=Severity.WARNING,
        places=_BOTH,
        source="runner_scripts/clock_check.py",
    ),
    Symptom(
        id="public_swarm_unreachable",
        title="The public swarm cannot be reached.",
        patterns=(
            "None of the initial peers answered (the public swarm's)",
            "The swarm cannot be reached: no answer from the public swarm's peers",
        ),
        cause="This machine has no way to the Internet, a firewall lets nothing out, or the peers"
        " that lead into the public swarm are all down.",
        remedy="Check the network of this machine; or start a private swarm (`torbiz-tui share"
        " --new-swarm`), which needs no public peer.",
        places=_BOTH,
        source="runner_scripts/run_petals_seeder.py, torbiz_tui/swarm_map/monitor.py",
    ),
    Symptom(
        id="initial_peers_dead",
        title="None of the initial peers answers.",
        patterns=(
            "none of the initial_peers responded",
            "failed to connect to bootstrap peers",
            "None of the initial peers answered",
            "The swarm cannot be reached: no answer from",
        ),
        cause="Their addresses are wrong, no server runs there any more, or a firewall lets"
        " nothing out.",
        remedy="Check the addresses, and that a server is running there; or start a new swarm.",
        action=Action.NEW_SWARM,
        places=_BOTH,
        source="hivemind dht/node.py, Petals issue 511",
    ),
    Symptom(
        id="address_invalid",
        title="An address of the swarm is not valid.",
        patterns=("An address is not valid:",),
        cause="A peer's address begins with /ip4/ or /ip6/ and ends with /p2p/ and its identity.",
        remedy="Copy the whole address again as the other machine shows it.",
        action=Action.OTHER_SETTINGS,
        places=_BOTH,
        source="runner_scripts/run_petals_seeder.py",
    ),
    Symptom(
        id="identity_taken",
        title="Another server uses the same identity.",
        patterns=("is already taken by another peer",),
        cause="Two servers were started with one identity file, and the swarm knows a server by"
        " it.",
        remedy="Stop the other server on this machine first.",
        places=_BOTH,
        source="hivemind p2p/p2p_daemon.py, hivemind issue 511",
    ),
    Symptom(
        id="not_reachable",
        title="The Internet does not reach this server.",
        patterns=("Server has not become reachable from the Internet",),
        cause="A router (NAT) or a firewall lets no connections in, and relays did not help. Only"
        " the public swarm asks for this.",
        remedy="Forward TCP port 31337 on the router to this machine, and share with --port 31337"
        " and --announce-maddr /ip4/YOUR.PUBLIC.ADDRESS/tcp/31337 (Announce in the form of Share)."
        " A private swarm needs none of it.",
        action=Action.OTHER_SETTINGS,
        places=_SERVER,
        source="petals server/reachability.py, Petals issue 155",
    ),
    Symptom(
        id="behind_nat",
        title="This server is reached through relays.",
        patterns=("Detected a NAT or a firewall",),
        cause="A router (NAT) or a firewall lets no connections in. Relays take a few minutes to"
        " be found and are slow. Only the public swarm asks for this.",
        remedy="Wait. For more speed forward TCP port 31337 on the router to this machine, and"
        " share with --port 31337 and --announce-maddr /ip4/YOUR.PUBLIC.ADDRESS/tcp/31337 (Announce in"
        " the form of Share).",
        severity=Severity.WARNING,
        action=Action.OTHER_SETTINGS,
        places=_SERVER,
        source="petals server/reachability.py, Petals issue 155",
    ),
    Symptom(
        id="bridge_address",
        title="The container announces an address that only this machine reaches.",
        patterns=_BRIDGE_ADDRESSES,
        cause="It runs in Docker's bridge network and knows only its address there.",
        remedy="Announce the machine's own address with the same port (--announce-maddr, or Announce"
        " in the form of Share), and publish that port.",
        remedies={
            Machine.DOCKER_DESKTOP: "Switch on host networking in Docker Desktop (4.34 or later:"
            " Settings, Resources, Network), or announce this machine's own address"
            " (--announce-maddr, or Announce in the form of Share).",
            Machine.LINUX: "Use the machine's own network (docker.network: host), or announce"
            " its address (--announce-maddr, or Announce in the form of Share).",
        },
        severity=Severity.WARNING,
        action=Action.OTHER_SETTINGS,
        places=_SERVER,
        source="petals server/server.py, Petals issues 551 and 562",
    ),
    Symptom(
        id="p2p_start_timeout",
        title="The network part of Petals did not start in time.",
        patterns=("Daemon failed to start in",),
        cause="The peers are not reached; often IPv6 addresses are tried that lead nowhere.",
        remedy="Name peers by /ip4/ addresses (swarm.initial_peers), check the network, then try"
        " again.",
        action=Action.NEW_SWARM,
        places=_BOTH,
        source="hivemind p2p/p2p_daemon.py, Petals issue 292",
    ),
    Symptom(
        id="missing_blocks",
        title="Nobody serves some blocks of the model now.",
        patterns=(
            "No servers holding blocks",
            "Nobody serves this model now",
            "Nobody serves these blocks of the model now",
        ),
        cause="The swarm is incomplete or empty: the public one comes and goes, and a private one"
        " has what its members serve.",
        remedy="See which blocks are missing on Ask, share them from this machine, or choose"
        " another model.",
        action=Action.HOST_MISSING_BLOCKS,
        places=_CHAT,
        source="petals client/routing/sequence_manager.py, Petals issue 328",
    ),
    Symptom(
        id="server_does_not_answer",
        title="A server did not answer, and it is tried again.",
        patterns=(
            "Caught exception when running inference via",
            "Caught exception when gathering information from peer",
            "Blocks\u2026failed (next try in",
        ),
        cause="The server is gone, overloaded or cut off. Petals by itself tries again for ever;"
        " here the number of tries is bounded.",
        remedy="Wait for the next try. If nothing comes of it, ask again or see which servers are"
        " left.",
        severity=Severity.WARNING,
        places=_CHAT,
        source="petals client/inference_session.py, Petals issue 466",
    ),
    Symptom(
        id="context_full",
        title="The conversation is longer than the servers accept.",
        patterns=("Maximum length exceeded: prefix", "more than inference_max_length"),
        cause="A session holds a fixed number of tokens from its beginning on.",
        remedy="Begin a new conversation, or ask for fewer tokens (--max-tokens).",
        places=_CHAT,
        source="petals client/inference_session.py",
    ),
    Symptom(
        id="attention_cache_full",
        title="A server has no memory left for another session.",
        patterns=("attention cache is full", "AllocationFailed"),
        cause="Every open session holds its part of the attention cache until it is closed.",
        remedy="Wait until others have ended; whoever hosts can give it more"
        " (--cache-tokens, or Cache limit in the form of Share).",
        severity=Severity.WARNING,
        action=Action.OTHER_SETTINGS,
        places=_BOTH,
        source="petals server/memory_cache.py",
    ),
    Symptom(
        id="rebalancing",
        title="The server changes its blocks, which takes about 10 minutes.",
        patterns=("Swarm is imbalanced, server will load other blocks",),
        cause="Other blocks of the model are served by fewer, so Petals moves this server there.",
        remedy="Wait; to keep the blocks, share exact ones (--blocks A:B).",
        severity=Severity.WARNING,
        action=Action.OTHER_SETTINGS,
        places=_SERVER,
        source="petals server/server.py, Petals issue 389",
    ),
    Symptom(
        id="span_lost",
        title="The swarm does not know this server's blocks any more.",
        patterns=("Span served by this server is not present in the DHT",),
        cause="Its announcements were lost, so the look at the swarm's balance fails.",
        remedy="Start it again; sharing exact blocks (--blocks A:B) avoids that look.",
        action=Action.RESTART,
        places=_SERVER,
        source="petals server/block_selection.py, Petals issue 389",
    ),
    Symptom(
        id="throughput_unknown",
        title="The speed of the network was not measured.",
        patterns=("Network throughput is not available",),
        cause="The speed test has no server to ask; a common speed is assumed.",
        remedy="Nothing has to be done.",
        severity=Severity.BENIGN,
        places=_SERVER,
        source="petals server/throughput.py, Petals issue 404",
    ),
    Symptom(
        id="reachability_unchecked",
        title="Whether the Internet reaches this server was not checked.",
        patterns=("Skipping reachability check because health.petals.dev is down",),
        cause="The public monitor of Petals does not answer.",
        remedy="Nothing has to be done.",
        severity=Severity.BENIGN,
        places=_SERVER,
        source="petals server/reachability.py",
    ),
    Symptom(
        id="version_unchecked",
        title="Whether there is a newer Petals was not checked.",
        patterns=("Failed to fetch the latest Petals version from PyPI",),
        cause="PyPI does not answer.",
        remedy="Nothing has to be done.",
        severity=Severity.BENIGN,
        places=_SERVER,
        source="petals utils/version.py",
    ),
)
