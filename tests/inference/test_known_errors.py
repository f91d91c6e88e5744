"""Errors of the chat runner say what is known of them."""

from __future__ import annotations

from torbiz_tui.environments.base import ExitReport
from torbiz_tui.inference.runner_connection import runner_died
from torbiz_tui.inference.runner_messages import read_error
from torbiz_tui.troubleshooting.recognising import explained
from torbiz_tui.troubleshooting.symptom import Action


def test_a_message_that_is_known_brings_its_cause_and_remedy() -> None:
    message = "MaximumLength: Maximum length exceeded: prefix 20 + current 4 exceeds 16"
    error = read_error({"code": "context_full", "message": message}, "m", 8)
    assert (error.what, error.code) == (message, "context_full")
    assert "The conversation is longer than the servers accept." in error.why
    assert error.remedy.startswith("Begin a new conversation")


def test_a_message_that_nobody_knows_stays_as_it_is() -> None:
    error = read_error({"code": "internal", "message": "KeyError: 3"}, "m", 8)
    assert (error.why, error.remedy, error.symptom) == ("", "Ask again.", "")
    assert explained(error) is None


def test_what_the_runner_knows_of_an_error_is_told() -> None:
    event = {
        "code": "model_gated",
        "message": "No.",
        "why": "Not\x1b[31m accepted.",
        "remedy": "Do.",
    }
    error = read_error(event, "m", 8)
    assert (error.what, error.why, error.remedy) == ("No.", "Not accepted.", "Do.")


def test_the_title_is_not_said_twice() -> None:
    message = "the Hugging Face hub cannot be reached: no route to host"
    error = read_error({"code": "internal", "message": message}, "m", 8)
    assert error.why.startswith("There is no network")


def test_the_last_lines_of_a_runner_that_died_tell_why() -> None:
    line = "pydantic.errors.PydanticSchemaGenerationError: Unable to generate"
    error = runner_died(ExitReport(code=1, last_lines=(line, "bye")))
    assert "exit code 1" in error.why
    assert "hivemind is too old for this pydantic." in error.why
    told = explained(error)
    assert told is not None
    assert (told.line, told.action) == (line, Action.REINSTALL_STACK)


def test_a_warning_is_not_why_a_runner_died() -> None:
    lines = ("[WARN] Caught exception when running inference via x (retry in 1 sec)",)
    error = runner_died(ExitReport(signal="SIGKILL", last_lines=lines))
    assert error.symptom == ""
    assert "the next question starts a new one" in error.remedy
