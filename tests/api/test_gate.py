"""Who is let in: the key, and the Host header on loopback."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest

from tests.api.conftest import Served, serving_on_loopback
from tests.api.fakes import FakeService
from torbiz_tui.api.gate import is_loopback_name
from torbiz_tui.api.key import ApiKey, find_key
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.paths import Paths

SECRET = "correct-horse-battery"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.ensure()
    return paths


async def test_only_the_key_lets_in(tmp_path: Path, service: FakeService) -> None:
    async with serving_on_loopback(tmp_path, service, key=ApiKey("X", SECRET)) as served:
        assert [m.id async for m in served.client(SECRET).models.list()] == ["torbiz-demo"]
        for wrong in ("none", SECRET[:-1], SECRET + "x", SECRET.upper()):
            with pytest.raises(openai.AuthenticationError) as caught:
                await served.client(wrong).models.list()
            assert caught.value.code == "invalid_api_key"
        for header in ({}, {"Authorization": f"Basic {SECRET}"}, {"Authorization": "Bearer"}):
            response = await served.post("/chat/completions", json={}, headers=header)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
        assert (await served.post("/nowhere", json={})).status_code == 401
        assert SECRET not in served.log
    assert service.asked == []


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8790", True),
        ("127.0.0.1", True),
        ("127.8.9.1:1", True),
        ("localhost:8790", True),
        ("LOCALHOST", True),
        ("[::1]:8790", True),
        ("[::1]", True),
        ("evil.example", False),
        ("evil.example:8790", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("192.0.2.7:8790", False),
        ("[2001:db8::1]:80", False),
        ("0.0.0.0:8790", False),
        ("", False),
        (":8790", False),
    ],
)
def test_names_of_the_loopback(host: str, allowed: bool) -> None:
    assert is_loopback_name(host) is allowed


async def test_a_page_under_another_name_is_refused(served: Served) -> None:
    response = await served.post("/models", headers={"Host": "evil.example"})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "host_not_allowed")
    preflight = await served.post("/models", headers={"Origin": "http://evil.example"})
    assert not [name for name in preflight.headers if name.startswith("access-control")]


async def test_elsewhere_than_on_loopback_every_name_is_good(
    tmp_path: Path, service: FakeService
) -> None:
    key = ApiKey("X", SECRET)
    async with serving_on_loopback(tmp_path, service, key=key, loopback=False) as served:
        headers = {"Host": "models.example", "Authorization": f"Bearer {SECRET}"}
        body = {"model": "default", "messages": [{"role": "user", "content": "Hi"}]}
        response = await served.post("/chat/completions", json=body, headers=headers)
        assert response.status_code == 200


def test_the_variable_is_the_key_and_nobody_inherits_it(paths: Paths) -> None:
    environ = {"TORBIZ_API_KEY": SECRET}
    key = find_key(paths, environ, needed=False)
    assert key is not None
    assert key.fits(SECRET)
    assert (key.place, environ) == ("TORBIZ_API_KEY", {})
    assert SECRET not in repr(key)
    assert not (paths.run / "api.key").exists()


def test_on_loopback_no_key_is_needed(paths: Paths) -> None:
    assert find_key(paths, {"TORBIZ_API_KEY": ""}, needed=False) is None
    assert not (paths.run / "api.key").exists()


def test_a_key_is_made_once_for_its_owner_alone(paths: Paths) -> None:
    key = find_key(paths, {}, needed=True)
    file = paths.run / "api.key"
    value = file.read_text().strip()
    assert key is not None
    assert key.fits(value)
    assert len(value) >= 40
    assert key.place == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    again = find_key(paths, {}, needed=True)
    assert again is not None
    assert again.fits(value)
    assert file.stat().st_mode & 0o777 == 0o600


def test_keys_that_cannot_be_used(paths: Paths) -> None:
    for bad in ("two words", "schlüssel", "line\n"):
        with pytest.raises(UsageError, match="cannot be sent") as caught:
            find_key(paths, {"TORBIZ_API_KEY": bad}, needed=False)
        assert bad not in str(caught.value)
    (paths.run / "api.key").write_text("\n")
    with pytest.raises(UsageError, match=r"api\.key"):
        find_key(paths, {}, needed=True)
    (paths.run / "api.key").unlink()
    (paths.run / "api.key").mkdir()
    with pytest.raises(TorbizError, match="cannot be read"):
        find_key(paths, {}, needed=True)
