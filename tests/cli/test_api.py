"""`api` as a process: what it says, signals, ports, keys."""

from __future__ import annotations

import http.client
import json
import os
import re
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import psutil
import pytest

from tests.conftest import free_port
from tests.promptness import require_prompt

ROOT = Path(__file__).parents[2]
SECRET = "correct-horse-battery"


class Running:
    """The command, and what it has said on stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        self._ready = selectors.DefaultSelector()
        self._ready.register(process.stderr, selectors.EVENT_READ)

    def wait_for(self, pattern: str, limit_s: float = 60.0) -> str:
        assert self.process.stderr is not None
        deadline = time.monotonic() + limit_s
        while (match := re.search(pattern, self.said)) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} was not said: {self.said}"
            if self._ready.select(left):
                data = os.read(self.process.stderr.fileno(), 65536)
                assert data, f"it ended without {pattern!r}: {self.said}"
                self.said += data.decode()
        return match[1] if match.groups() else match[0]

    def end(self) -> int:
        code = self.process.wait(timeout=60)
        assert self.process.stderr is not None
        while data := os.read(self.process.stderr.fileno(), 65536):
            self.said += data.decode()
        return code


@contextmanager
def api(word: str, *arguments: str, **environ: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.served_api", word, "--demo", "api", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | environ,
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.communicate()


def client(url: str, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=60)


def test_it_says_how_it_is_used_and_is(home: Path) -> None:
    with api("answers", "--port", "0") as running:
        running.wait_for(r"Serving torbiz-demo at (http://127\.0\.0\.1:\d+/v1)\n")
        running.wait_for("No key is needed")
        running.wait_for(r"OPENAI_BASE_URL=\S+ OPENAI_API_KEY=none\n")
        running.wait_for(r"Ready\.")
        example = running.wait_for(r"  (curl .*)\n")
        _curl, address, _h, header, _d, body = shlex.split(example)
        request = urllib.request.Request(address, body.encode(), dict([header.split(": ")]))
        with urllib.request.urlopen(request, timeout=10) as response:
            answer = json.load(response)
        assert answer["choices"][0]["message"]["content"] == "Petals is a swarm. "
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 130
        assert "Traceback" not in running.said
        assert running.process.stdout is not None
        assert running.process.stdout.read() == ""
    assert "POST /v1/chat/completions 200" in (home / "logs" / "app.log").read_text("utf-8")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_end_it_too(number: signal.Signals, code: int) -> None:
    with api("answers", "--port", "0") as running:
        running.wait_for("Ctrl-C ends it")
        running.process.send_signal(number)
        assert running.end() == code


def test_a_second_interrupt_ends_running_answers() -> None:
    def ended() -> float:
        with api("endless", "--port", "0") as running:
            url = running.wait_for(r"at (http://\S+)\n")
            with client(url) as asking:
                stream = asking.chat.completions.create(
                    model="default", messages=[{"role": "user", "content": "Hi"}], stream=True
                )
                assert next(stream).choices[0].delta.role == "assistant"
                assert next(stream).choices[0].delta.content == "Once "
                running.process.send_signal(signal.SIGINT)
                running.wait_for("running answers have 5 s")
                asked = time.monotonic()
                running.process.send_signal(signal.SIGINT)
                with pytest.raises(openai.APIError, match="ending"):
                    next(stream)
                assert running.end() == 130
                took = time.monotonic() - asked
            assert "Traceback" not in running.said
            return took

    require_prompt(ended, 2.5)


def test_a_taken_port_is_told_before_anything_is_started(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with api("answers", "--port", str(port)) as running:
            assert running.end() == 1
            assert f"Port {port} on 127.0.0.1 is taken." in running.said
            assert "--port" in running.said
    assert not (home / "run").exists()


def test_an_address_of_another_machine() -> None:
    with api("answers", "--host", "192.0.2.7") as running:
        assert running.end() == 1
        assert "does not have the address 192.0.2.7" in running.said


def test_without_a_model_it_does_not_start() -> None:
    with api("answers", "--model", "", "--port", "0") as running:
        assert running.end() == 2
        assert "Which model should answer?" in running.said


def test_a_model_that_does_not_exist_ends_it() -> None:
    with api("no-such-model", "--port", "0") as running:
        assert running.end() == 2
        assert "There is no model 'x'." in running.said


def test_a_runner_that_can_never_get_ready_ends_it() -> None:
    with api("refused", "--port", "0") as running:
        assert running.end() == 1
        assert "Its weights are pickled." in running.said


def test_when_nobody_serves_it_goes_on_listening() -> None:
    with api("not-served", "--port", "0") as running:
        url = running.wait_for(r"at (http://\S+)\n")
        running.wait_for("Nobody serves torbiz-demo now")
        running.wait_for("tries again with the next request")
        with client(url) as asking:
            assert asking.models.list().data[0].id == "torbiz-demo"


def test_it_takes_the_named_revision_of_what_is_hosted_and_listens_without_the_hub() -> None:
    options = ("--model", "", "--revision", "v2", "--allow-pickled-weights", "--port", "0")
    with api("no-hub", *options) as running:
        url = running.wait_for(r"at (http://\S+)\n")
        running.wait_for("The hub does not answer for acme/big at v2")
        running.wait_for("tries again with the next request")
        with client(url) as asking:
            assert asking.models.list().data[0].id == "acme/big"


def test_elsewhere_than_on_loopback_a_key_is_made_and_kept_to_itself(home: Path) -> None:
    with api("answers", "--host", "0.0.0.0", "--port", str(free_port())) as running:
        port = running.wait_for(r"Serving torbiz-demo at http://[^/]+:(\d+)/v1\n")
        file = home / "run" / "api.key"
        running.wait_for(re.escape(f"A key is needed, that in {file}.\n"))
        running.wait_for("it is plain HTTP")
        running.wait_for(re.escape(f'OPENAI_API_KEY="$(cat {file})"'))
        key = file.read_text().strip()
        url = f"http://127.0.0.1:{port}/v1"
        with client(url, key) as asking:
            assert asking.models.list().data[0].id == "torbiz-demo"
        with client(url) as asking, pytest.raises(openai.AuthenticationError):
            asking.models.list()
        arguments = " ".join(psutil.Process(running.process.pid).cmdline())
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 130
        for place in (arguments, running.said, (home / "logs" / "app.log").read_text("utf-8")):
            assert key not in place


def test_the_key_of_the_variable_holds_on_loopback_too() -> None:
    with api("answers", "--port", "0", TORBIZ_API_KEY=SECRET) as running:
        url = running.wait_for(r"at (http://\S+)\n")
        running.wait_for(r"that in TORBIZ_API_KEY\.\n")
        running.wait_for('OPENAI_API_KEY="\\$TORBIZ_API_KEY"')
        with client(url) as asking, pytest.raises(openai.AuthenticationError):
            asking.models.list()
        with client(url, SECRET) as asking:
            assert asking.models.list().data[0].id == "torbiz-demo"
        assert SECRET not in running.said


def test_localhost_is_both_families_and_a_rebound_name_is_refused() -> None:
    with api("answers", "--host", "localhost", "--port", "0") as running:
        port = int(running.wait_for(r"at http://localhost:(\d+)/v1\n"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/v1/models", headers={"Host": f"evil.example:{port}"})
        assert connection.getresponse().status == 403
        connection.close()
        with client(f"http://localhost:{port}/v1") as asking:
            assert asking.models.list().data[0].id == "torbiz-demo"
