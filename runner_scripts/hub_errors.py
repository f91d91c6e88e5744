"""What the hub's refusals mean, told apart, and what to do about each."""

from __future__ import annotations

import os
from collections.abc import Mapping

DISK_FULL_REMEDY = (
    "Free some space (`torbiz-tui cache` lists the downloaded models, `torbiz-tui clean` the rest),"
    " then start again: what has been downloaded is kept."
)


class ModelError(Exception):
    """The model cannot be used; the text says why, as a line of the log, `sentence` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.sentence = message


class DownloadError(ModelError):
    """Files of a model cannot be had from the hub; trying again at once would not help.

    The app reads `what`, `why` and `remedy` from the text.
    """

    def __init__(self, code: str, what: str, *, why: str = "", remedy: str = "") -> None:
        self.what, self.why, self.remedy = what, why, remedy
        parts = [f"Download failed ({code}): {what}"]
        parts += [f"Why: {why}"] if why else []
        parts += [f"What to do: {remedy}"] if remedy else []
        super().__init__(code, " ".join(" ".join(parts).split()))
        self.sentence = " ".join(part for part in (what, why, remedy) if part)


class NoSuchFileError(DownloadError):
    """The model has no file of this name."""


def endpoint() -> str:
    """The hub's address, for people too."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def refusal(
    model: str, status: int, headers: Mapping[str, str], *, token_sent: bool
) -> DownloadError | None:
    """The error that an answer of the hub means; None where trying again may help.

    A gated model answers 401 without a token and 403 with one whose account has not accepted the
    licence. A token that the hub does not know gets 401 for everything; an unknown model gets 401
    without a token and 404 with one, so that nobody learns of private ones.
    """
    code = headers.get("X-Error-Code", "")
    page = f"{endpoint()}/{model}"
    if status == 401:
        return _unauthorized(model, code, page, token_sent=token_sent)
    if status == 403 and code in ("GatedRepo", ""):
        return DownloadError(
            "model_gated",
            f"{model} is a gated model, and the account of your token has no access to it.",
            why="Its licence was not accepted with that account, or the owner has yet to agree; a"
            " fine-grained token also needs the permission to read gated models.",
            remedy=f"Open {page}, accept the licence with the token's account, then start again.",
        )
    if status == 403:
        return DownloadError(
            "model_forbidden",
            f"The hub does not let this token read {model}.",
            remedy=f"Open {page} with the token's account to see what is missing.",
        )
    if status == 404 and code == "EntryNotFound":
        return NoSuchFileError("file_not_found", f"{model} has no such file on the hub.")
    if status == 404 and code == "RevisionNotFound":
        return DownloadError(
            "revision_not_found",
            f"{model} has no such revision on the hub.",
            remedy=f"See {page} for the revisions that there are.",
        )
    if status in (404, 410, 451):
        return _unknown(model, page)
    return None


def _unauthorized(model: str, code: str, page: str, *, token_sent: bool) -> DownloadError:
    if token_sent:
        return DownloadError(
            "token_invalid",
            f"The hub does not accept your token, so {model} was not downloaded.",
            why="The token is misspelt, has expired or was revoked.",
            remedy=f"Make a new one on {endpoint()}/settings/tokens and give it in HF_TOKEN.",
        )
    if code == "GatedRepo":
        return DownloadError(
            "token_missing",
            f"{model} is a gated model, and no token was given.",
            why="Its owner wants a licence accepted first, and a token shows who has.",
            remedy=f"Accept the licence on {page}, and give a token of that account in HF_TOKEN.",
        )
    return _unknown(model, page)


def _unknown(model: str, page: str) -> DownloadError:
    return DownloadError(
        "model_not_found",
        f"The hub has no model {model}, or it is private and no token opens it.",
        remedy=f"Check the spelling ({page}); for a private model set HF_TOKEN.",
    )


def more_than_data(model: str) -> DownloadError:
    """Pickled weights that were to be loaded hold more than weights."""
    return DownloadError(
        "pickled_code",
        f"The pickled weights of {model} hold more than data, so they were not loaded.",
        why="Code of whoever made them would run; or they are damaged, or of an old form.",
        remedy="Choose an upload of the model with safetensors.",
    )


def unreachable(model: str, reason: str) -> DownloadError:
    """The hub did not answer for too long."""
    return DownloadError(
        "hub_unreachable",
        f"{model} cannot be downloaded: the Hugging Face hub cannot be reached.",
        why=f"{reason[0].upper()}{reason[1:]} ({endpoint()}).",
        remedy="Check the network and the proxies (HTTPS_PROXY, HF_ENDPOINT), then start again:"
        " what has been downloaded is kept.",
    )
