"""Tokens kept out of everything that is written or shown."""

from __future__ import annotations

import re

_SHOWN = "[redacted]"
# What every token below has in it or before it; most lines have none of it.
_SUSPICIOUS = re.compile(r"(?i)hf_|api_org_|token|authorization|key|://")
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


def redact(text: str) -> str:
    """The text without access tokens, keys in addresses, and passwords of URLs."""
    if not _SUSPICIOUS.search(text):
        return text
    text = _TOKENS.sub(_SHOWN, text)
    text = _NAMED.sub(rf"\1{_SHOWN}", text)
    return _URL_PASSWORD.sub(rf"\1{_SHOWN}\3", text)
