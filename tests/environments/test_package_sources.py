"""What a person has configured for pip also holds for uv."""

from __future__ import annotations

from pathlib import Path

import pytest

from torbiz_tui.config import PetalsConfig
from torbiz_tui.environments.package_sources import package_sources, pip_settings


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none")}


def write_pip_conf(home: dict[str, str], text: str) -> None:
    file = Path(home["HOME"]) / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def with_file(home: dict[str, str], tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "own.conf"
    file.write_text(text)
    return home | {"PIP_CONFIG_FILE": str(file)}


def test_the_variable_for_find_links(home: dict[str, str], tmp_path: Path) -> None:
    environ = home | {"PIP_FIND_LINKS": "/wheels /more", "PIP_CONFIG_FILE": "/dev/null"}
    sources = package_sources(PetalsConfig(), environ)
    assert sources.arguments == ("--find-links", "/wheels", "--find-links", "/more")


def test_pip_conf_with_a_company_index(home: dict[str, str], tmp_path: Path) -> None:
    text = """
[global]
index-url = https://packages.example/simple
trusted-host = packages.example
cert = /etc/company.pem
proxy = http://proxy.example:3128
[install]
extra-index-url =
    https://one.example/simple
    https://two.example/simple
"""
    sources = package_sources(PetalsConfig(), with_file(home, tmp_path, text))
    arguments = " ".join(sources.arguments)
    assert "--default-index https://packages.example/simple" in arguments
    assert "--index https://one.example/simple --index https://two.example/simple" in arguments
    assert "--index-strategy unsafe-best-match" in arguments
    assert "--allow-insecure-host packages.example" in arguments
    assert sources.environ == {
        "SSL_CERT_FILE": "/etc/company.pem",
        "ALL_PROXY": "http://proxy.example:3128",
    }


def test_the_persons_file_is_read(home: dict[str, str]) -> None:
    write_pip_conf(home, "[global]\nindex-url = https://mine.example/simple\n")
    assert pip_settings(home)["index-url"] == "https://mine.example/simple"


def test_variables_win_over_files(home: dict[str, str], tmp_path: Path) -> None:
    environ = with_file(home, tmp_path, "[global]\nindex-url = https://file.example\n")
    environ["PIP_INDEX_URL"] = "https://variable.example"
    assert pip_settings(environ)["index-url"] == "https://variable.example"


def test_the_programs_own_configuration_wins(home: dict[str, str]) -> None:
    config = PetalsConfig(index_url="https://ours.example", find_links=("/our/wheels",))
    environ = home | {"PIP_INDEX_URL": "https://pip.example", "PIP_FIND_LINKS": "/pip/wheels"}
    arguments = " ".join(package_sources(config, environ).arguments)
    assert "https://ours.example" in arguments
    assert "/our/wheels" in arguments
    assert "pip" not in arguments


def test_uvs_own_settings_win_over_pips(home: dict[str, str]) -> None:
    environ = home | {
        "PIP_INDEX_URL": "https://pip.example",
        "UV_DEFAULT_INDEX": "https://uv.example",
    }
    arguments = package_sources(
        PetalsConfig(), environ | {"PIP_CONFIG_FILE": "/dev/null"}
    ).arguments
    assert arguments == ()


def test_set_proxies_and_certificates_are_left_alone(home: dict[str, str]) -> None:
    environ = home | {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_PROXY": "http://pip.example",
        "HTTPS_PROXY": "http://mine.example",
        "PIP_CERT": "/pip.pem",
        "SSL_CERT_FILE": "/mine.pem",
    }
    assert package_sources(PetalsConfig(), environ).environ == {}


def test_a_broken_pip_conf_does_not_stop_us(home: dict[str, str], tmp_path: Path) -> None:
    assert pip_settings(with_file(home, tmp_path, "no section\n= =")) is not None
