"""GPUs by name: what they hold and how fast they multiply, as their makers say.

Peaks are dense (no sparsity), with sums kept in fp32: bf16 where the card has it, else fp16. Sources: NVIDIA's
data sheets and architecture white papers (Volta, Turing, Ampere, Ada, Hopper, Blackwell), AMD's for MI300X.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU. ``memory`` is in GiB, as the driver shows it; ``teraflops`` the peak in TFLOP/s.

    ``bf16`` says whether the card multiplies bf16 in hardware, and ``fp8`` likewise.
    """

    name: str
    memory: float
    teraflops: float
    bf16: bool = True
    fp8: bool = False


CARDS = (
    Card("B200", 178.4, 2250, fp8=True),
    Card("H200", 139.8, 989, fp8=True),
    Card("GH200", 94.5, 989, fp8=True),
    Card("H100 NVL", 93.1, 835, fp8=True),
    Card("H100 PCIe", 79.1, 756, fp8=True),
    Card("H100", 79.1, 989, fp8=True),
    Card("MI300X", 191.7, 1307, fp8=True),
    Card("A100 80GB", 79.1, 312),
    Card("A100", 39.4, 312),
    Card("L40S", 44.4, 362, fp8=True),
    Card("L4", 22.0, 121, fp8=True),
    Card("A40", 44.4, 150),
    Card("A10G", 22.0, 70),
    Card("A10", 22.0, 125),
    Card("RTX A6000", 47.4, 155),
    Card("RTX 6000 Ada", 47.4, 364, fp8=True),
    Card("RTX 5090", 31.4, 210, fp8=True),
    Card("RTX 4090", 23.5, 165, fp8=True),
    Card("RTX 3090", 23.6, 71),
    Card("V100 32GB", 31.7, 125, bf16=False),
    Card("V100", 15.8, 125, bf16=False),
    Card("T4", 14.6, 65, bf16=False),
)
"""The cards known."""


def find_card(name: str) -> Card | None:
    """Return the card that a name means, or None.

    It is the one all of whose words the name has («NVIDIA H100 80GB HBM3»), the most words before fewer; else
    the only one that has all words of the name («4090»).
    """
    words = _words(name)
    found = [card for card in CARDS if _words(card.name) <= words]
    if not found:
        shortened = [card for card in CARDS if words and words <= _words(card.name)]
        return shortened[0] if len(shortened) == 1 else None
    return max(found, key=lambda card: len(_words(card.name)))


def card_named(name: str) -> Card:
    """Return the card that a name means. Raises ValueError where it is none of ``CARDS``."""
    card = find_card(name)
    if card is None:
        known = ", ".join(card.name for card in CARDS)
        raise ValueError(f"gpu: {name!r} is no card known here ({known}); give its memory with --memory GIB")
    return card


def _words(name: str) -> set[str]:
    """Return the words of a card's name, letters and figures as one: «A100-SXM4-80GB» has a100, sxm4 and 80gb."""
    return set(re.findall(r"[a-z0-9]+", re.sub(r"(?<=\d)\s+(?=gb\b)", "", name.lower())))
