"""Which bytes of an engine's images go when some of them are removed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# The digest of an empty tar archive, as a layer without any change has it.
_EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


@dataclass(frozen=True)
class Layer:
    """A layer in its place: `chain` names it together with all below it, as engines store it."""

    chain: str
    bytes: int


def stack_of(layers: Sequence[str], sizes: Sequence[int]) -> tuple[Layer, ...]:
    """The layers of an image from the bottom up.

    `layers` are the digests that inspecting it tells, `sizes` the bytes of its history from the
    oldest entry on. The history also has entries without a layer, so where layers of zero bytes
    make it ambiguous, bytes are counted as low as they can be: shared rather than unique.
    """
    chains = chains_of(layers)
    written = [size for size in sizes if size > 0]
    stack, index = [], 0
    for digest, chain in zip(layers, chains, strict=True):
        has_bytes = digest != _EMPTY and index < len(written)
        stack.append(Layer(chain, written[index] if has_bytes else 0))
        index += has_bytes
    return tuple(stack)


def chains_of(layers: Sequence[str]) -> tuple[str, ...]:
    """A name for every layer together with those below it."""
    chains: list[str] = []
    for digest in layers:
        below = chains[-1] if chains else ""
        chains.append(hashlib.sha256(f"{below} {digest}".encode()).hexdigest())
    return tuple(chains)


def freed_each(
    removed: Mapping[str, Sequence[Layer]], kept: Iterable[Sequence[str]]
) -> dict[str, int]:
    """The bytes that go with each of the images `removed`, while the chains of `kept` stay.

    A layer that several of them have goes with the last: the sum is what removing all frees.
    """
    staying = {chain for chains in kept for chain in chains}
    holder: dict[str, str] = {}
    size: dict[str, int] = {}
    for name, stack in removed.items():
        for layer in stack:
            if layer.chain not in staying:
                holder[layer.chain] = name
                size[layer.chain] = layer.bytes
    freed = dict.fromkeys(removed, 0)
    for chain, name in holder.items():
        freed[name] += size[chain]
    return freed
