"""What the form of Share says of blocks, models and the command."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.sharing.test_fitting import BELUGA, CARD, MODELS, pc
from torbiz_tui.catalogue import demo_info
from torbiz_tui.config import Config
from torbiz_tui.errors import TorbizError
from torbiz_tui.sharing.outlook import (
    Outlook,
    conditions,
    fit_words,
    fits_here,
    one_line,
    outlook,
)
from torbiz_tui.sharing.request import ShareRequest

ASKED = ShareRequest(BELUGA.name)


def test_auto_says_how_many_blocks_and_why() -> None:
    here = Config(), pc(16), "native"
    told = outlook(ASKED, BELUGA, *here)
    assert told == Outlook("auto: 7 of 80; 16.0 GiB free, 20% kept back, 1.7 GiB a block")
    assert outlook(ShareRequest("torbiz-demo"), demo_info(), *here).text.startswith("auto: all 8; ")
    card = outlook(ASKED, BELUGA, Config(), pc(16, CARD), "native").text
    assert card.startswith("auto: about ")
    assert "22.0 GiB free on NVIDIA GeForce RTX 3090" in card


def test_a_number_is_measured_against_what_is_free() -> None:
    few = outlook(replace(ASKED, blocks="0:2"), BELUGA, Config(), pc(16), "native")
    assert re.fullmatch(r"2 of 80 blocks: [34]\.\d GiB of 16\.0 GiB free", few.text)
    assert not few.doubtful
    many = outlook(replace(ASKED, blocks="20"), BELUGA, Config(), pc(16), "native")
    assert many.doubtful
    assert many.text.startswith("20 blocks may not fit: 7 of 80 do;")
    none = outlook(ASKED, BELUGA, Config(), pc(1), "native")
    assert none.doubtful
    assert none.text.startswith("Not one of 80 blocks fits: 1.0 GiB free")
    less = outlook(replace(ASKED, reserve_percent=60), BELUGA, Config(), pc(16), "native")
    assert less.text.startswith("auto: 3 of 80; 16.0 GiB free, 60% kept back")


def test_what_is_not_known_is_said() -> None:
    unknown = replace(BELUGA, architecture=None)
    told = outlook(ASKED, unknown, Config(), pc(16), "native")
    assert told.doubtful
    assert told.text.startswith("Whether that fits is not known: The sizes of")


def test_the_fits_of_the_list_go_by_what_the_form_says() -> None:
    models = list(MODELS.values())
    fits = fits_here(models, ASKED, Config(), pc(16), "native")
    assert fit_words(fits[BELUGA.name]) == "fits 7 of 80"
    assert fit_words(fits["torbiz-demo"]) == "fits whole"
    small = fits_here(models, ASKED, Config(), pc(1), "native")
    assert fit_words(small[BELUGA.name]) == "does not fit"
    with pytest.raises(TorbizError, match="There is no device cuda"):
        fits_here(models, replace(ASKED, device="cuda"), Config(), pc(16), "native")


def test_what_a_model_asks_for_is_a_sentence() -> None:
    assert conditions(demo_info()) == ""
    said = conditions(MODELS["meta-llama/Llama-3.1-8B-Instruct"])
    assert said.startswith("Licence llama3.1, to be accepted at the hub (a token is needed); needs")


def test_the_command_in_a_line_keeps_what_differs() -> None:
    address = "/ip4/192.0.2.7/tcp/31337/p2p/QmPeer"
    command = (
        "/home/ada/env/bin/python '/opt/a b/run.py' --model-name /home/ada/models/my --port 1"
        f" --initial-peer {address} --token hf_abcdefghijkl"
    )
    line = one_line(command)
    assert line.startswith(f"…/python …/run.py --model-name …/my --port 1 --initial-peer {address}")
    assert "hf_abc" not in line


def test_a_command_over_several_lines_is_one_line_too() -> None:
    assert (
        one_line("docker run \\\n    --detach \\\n    image 'a b'")
        == "docker run --detach image a b"
    )
