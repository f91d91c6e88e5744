"""Tokens kept out of everything that is written or shown."""

from __future__ import annotations

import re

_SHOWN = "[redacted]"
# Hugging Face tokens begin with hf_ (user access tokens) or api_org_ (organisation tokens).
_TOKENS = re.compile(r"\b(?:hf_|api_org_)[A-Za-z0-9]{8,}")
_NAMED = re.compile(
    r"(?i)((?:--node-token|--token|(?<!/)(?:HF_TOKEN|HUGGING_FACE_HUB_TOKEN|TORBIZ_NODE_TOKEN|TORBIZ_API_KEY))"
    r"(?:=|\s+)"
    r"|authorization:\s*bearer\s+|[?&](?:token|api_key|key|access_token)=)"
    r"([^\s&'\",]+)"
)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)([^\s@/]+)(@)", re.IGNORECASE)


def redact(text: str) -> str:
    """The text without access tokens, keys in addresses, and passwords of URLs."""
    text = _TOKENS.sub(_SHOWN, text)
    text = _NAMED.sub(rf"\1{_SHOWN}", text)
    return _URL_PASSWORD.sub(rf"\1{_SHOWN}\3", text)
