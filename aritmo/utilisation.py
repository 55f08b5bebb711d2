"""Model FLOPs utilisation (MFU): how much of a card's peak the arithmetic of training takes.

Chowdhery et al., PaLM (2022), arXiv 2204.02311, appendix B: the operations that the model needs for the tokens it
saw, over those that the card could have done. Recomputation, as in gradient checkpointing, does not count.
"""

import torch
from transformers import PreTrainedModel

from aritmo.cards import find_card
from aritmo.shapes import shape_of


def flops_per_token(model: PreTrainedModel, context: int) -> float:
    """Return the floating-point operations that training spends on a token of a sequence of ``context``.

    As ``aritmo.shapes.Shape.flops`` counts them; for a kind of model not known there, 6 a parameter.
    """
    try:
        return shape_of(model.config.to_dict(), model.config.model_type).flops(context)
    except ValueError:
        return 6.0 * float(model.num_parameters())


def mfu(model: PreTrainedModel, context: int, device: torch.device) -> float | None:
    """Return the MFU that one token a second on one card would be; None where its peak is not known.

    The peak is the bf16 one of ``aritmo.cards``, or fp16 where a card has no bf16.
    """
    card = find_card(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return flops_per_token(model, context) / (card.teraflops * 1e12) if card else None
