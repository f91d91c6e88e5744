"""A model's config.json from the hub."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Any

from torbiz_tui.catalogue.local import read_config
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.logs.writing import logger
from torbiz_tui.threads import call_abandonable

HUB_TIMEOUT_S = 10.0
# The first of its answers; the rest of the time is for looking into the cache, or for the file.
_REACH_TIMEOUT_S = 4.0


async def hub_config(name: str, token: str = "", revision: str = "") -> dict[str, Any]:
    """The config of a model of the hub, or of its cache; `token` in place of the usual one.

    `revision` is a branch, a tag or a commit, empty for main. Raises UsageError when there is none,
    or only with a licence or a token; TorbizError when the hub does not answer.
    """
    try:
        async with asyncio.timeout(HUB_TIMEOUT_S):
            return await call_abandonable(
                partial(_download, name, token, revision), f"ask the hub for {name}"
            )
    except TimeoutError:
        raise TorbizError(
            f"The model hub did not answer about {name} within {HUB_TIMEOUT_S:.0f} s.",
            remedy="Check the network (HF_ENDPOINT, proxies), then try again.",
            code="hub_unreachable",
        ) from None


def _download(name: str, token: str, revision: str) -> dict[str, Any]:
    from huggingface_hub import get_token
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return read_config(_file(name, token, revision))
    except GatedRepoError as error:
        raise _gated(
            name, error.response.status_code, has_token=bool(token or get_token())
        ) from error
    except RepositoryNotFoundError as error:
        if error.response.status_code == 401 and (token or get_token()):
            raise _token_invalid(name) from error
        raise UsageError(
            f"There is no model {name} on the hub, or it is private.",
            remedy="Check the spelling; for a private model set HF_TOKEN.",
            code="model_not_found",
        ) from error
    except RevisionNotFoundError as error:
        raise UsageError(
            f"{name} has no revision {revision or 'main'} on the hub.",
            remedy="Give a branch, a tag or a commit that its page at the hub lists.",
            code="revision_not_found",
        ) from error
    except LocalEntryNotFoundError as error:
        raise TorbizError(
            f"The model hub cannot be reached, and {name} is not in the cache.",
            remedy="Check the network (HF_ENDPOINT, proxies), then try again.",
            code="hub_unreachable",
        ) from error
    except EntryNotFoundError as error:
        raise UsageError(
            f"{name} has no config.json, so it is not a model that Petals can serve.",
            remedy="Choose a model in the transformers format.",
            code="model_unsupported",
        ) from error
    except (HfHubHTTPError, OSError) as error:
        response = getattr(error, "response", None)
        if response is not None and response.status_code == 401 and (token or get_token()):
            raise _token_invalid(name) from error
        raise TorbizError(
            f"The model hub did not give the facts of {name}.",
            why=f"{type(error).__name__}.",
            remedy="Check the network (HF_ENDPOINT, proxies), then try again.",
            code="hub_unreachable",
        ) from error


def _file(name: str, token: str, revision: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    # What it has to say of a request is said by us, once.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    disable_progress_bars()
    address = hf_hub_url(name, "config.json", revision=revision or None)
    reached = True
    try:
        get_hf_file_metadata(address, token=token or None, timeout=_REACH_TIMEOUT_S)
    except HfHubHTTPError:
        # The download tells the refusals apart.
        pass
    except Exception as error:  # noqa: BLE001 (the hub's versions use several HTTP libraries)
        # The download would try five times more.
        logger("app").info("the hub cannot be reached: %s", type(error).__name__)
        reached = False
    file = hf_hub_download(
        name,
        "config.json",
        etag_timeout=HUB_TIMEOUT_S,
        token=token or None,
        revision=revision or None,
        local_files_only=not reached,
    )
    return Path(file)


def _gated(name: str, status: int, *, has_token: bool) -> UsageError:
    """The hub answers 403 to a token whose account has not accepted the licence, and 401 to others."""
    from huggingface_hub.constants import ENDPOINT

    page = f"{ENDPOINT}/{name}"
    if status == 401 and has_token:
        return _token_invalid(name)
    if status == 401:
        return UsageError(
            f"{name} is gated: its owner wants a licence accepted first, and no token was given.",
            remedy=f"Accept it on {page}, and give a token of that account in HF_TOKEN.",
            code="token_missing",
        )
    return UsageError(
        f"{name} is gated, and the account of your token has no access to it.",
        why="Its licence was not accepted with that account, or the owner has yet to agree; a"
        " fine-grained token also needs the permission to read gated models.",
        remedy=f"Open {page}, accept the licence with the token's account, then try again.",
        code="model_gated",
    )


def _token_invalid(name: str) -> UsageError:
    from huggingface_hub.constants import ENDPOINT

    return UsageError(
        f"The hub does not accept your token, so nothing is known of {name}.",
        why="The token is misspelt, has expired or was revoked.",
        remedy=f"Make a new one on {ENDPOINT}/settings/tokens and give it in HF_TOKEN.",
        code="token_invalid",
    )
