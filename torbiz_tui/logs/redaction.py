"""Tokens kept out of everything that is written or shown."""

from __future__ import annotations

import re

_SHOWN = "[redacted]"
# Hugging Face tokens begin with hf_ (user access tokens) or api_org_ (organisation tokens).
_TOKENS = re.compile(r"(?<![A-Za-z0-9])(?:hf_|api_org_)[A-Za-z0-9]{8,}")
_NAMED = re.compile(
    r"(?i)((?:--node-token|--token|--api-key|(?<!/)(?:HF_TOKEN|HUGGING_FACE_HUB_TOKEN|HUGGINGFACE_TOKEN"
    r"|TORBIZ_NODE_TOKEN|TORBIZ_API_KEY|OPENAI_API_KEY))"
    r"(?:=|\s+)"
    r"|authorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic)\s+"
    r"|['\"](?:hf_token|node_token|access_token|api_key|apikey|token)['\"]\s*:\s*['\"]"
    r"|[?&](?:token|api_key|apikey|key|access_token|sig|signature|x-amz-signature)=)"
    # A program that insists on a key is given the word `none`.
    r"((?!none\b)[^\s&'\",]+)"
)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)([^\s@/]+)(@)", re.IGNORECASE)


# One of these is in whatever the expressions find; looking for them takes a hundredth of the time.
_TOKEN_SIGNS = ("hf_", "api_org_")
_NAMED_SIGNS = (
    *("-token", "_token", "token'", 'token"', "token=", "-key", "_key", "key'", 'key"', "key="),
    # Not whole: an i may be one without a dot.
    *("author", "g=", "nature="),
)


def redact(text: str) -> str:
    """The text without access tokens, keys in addresses, and passwords of URLs."""
    folded = text.casefold()
    if any(sign in folded for sign in _TOKEN_SIGNS):
        text = _TOKENS.sub(_SHOWN, text)
    if any(sign in folded for sign in _NAMED_SIGNS):
        text = _NAMED.sub(rf"\1{_SHOWN}", text)
    if "://" in folded:
        text = _URL_PASSWORD.sub(rf"\1{_SHOWN}\3", text)
    return text
