"""A model's config.json from the hub."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from torbiz_tui.catalogue.local import read_config
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.threads import call_abandonable

HUB_TIMEOUT_S = 10.0


async def hub_config(name: str) -> dict[str, Any]:
    """The config of a model of the hub, or of its cache.

    Raises UsageError when there is none, or only with a licence or a token; TorbizError when the
    hub does not answer.
    """
    try:
        async with asyncio.timeout(HUB_TIMEOUT_S):
            return await call_abandonable(partial(_download, name), f"ask the hub for {name}")
    except TimeoutError:
        raise TorbizError(
            f"The model hub did not answer about {name} within {HUB_TIMEOUT_S:.0f} s.",
            remedy="Check the network (HF_ENDPOINT, proxies), then try again.",
            code="hub_unreachable",
        ) from None


def _download(name: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return read_config(Path(hf_hub_download(name, "config.json", etag_timeout=HUB_TIMEOUT_S)))
    except GatedRepoError as error:
        raise UsageError(
            f"{name} is gated: its owner wants a licence accepted first.",
            remedy=f"Accept it on the page of {name} and set HF_TOKEN to a token of that account.",
            code="model_gated",
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"There is no model {name} on the hub, or it is private.",
            remedy="Check the spelling; for a private model set HF_TOKEN.",
            code="model_not_found",
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
        raise TorbizError(
            f"The model hub did not give the facts of {name}.",
            why=f"{type(error).__name__}.",
            remedy="Check the network (HF_ENDPOINT, proxies), then try again.",
            code="hub_unreachable",
        ) from error
