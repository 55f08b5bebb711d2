"""How tokenizers cut a text: GPT-2's where it is here, aritmo's own, and that of the model that was given."""

from collections.abc import Callable
from functools import cache, partial

from tokenizers import Tokenizer

from aritmo.shipped import SHIPPED, shipped_folder
from aritmo.tokens import digit_backend, gpt2_tokenizer, piece_borders, task_words, token_borders

Cut = Callable[[str], list[str]]


@cache
def cuts(model: str = "") -> list[tuple[str, Cut | None]]:
    """Return tokenizers by name, each as what cuts a text into its tokens' pieces; None where it is not here.

    ``model`` is the name of a model whose tokenizer is shown too, empty for none.
    """
    gpt2 = _gpt2()
    found: list[tuple[str, Cut | None]] = [("gpt2", partial(piece_borders, gpt2) if gpt2 else None)]
    found += [(how, partial(piece_borders, digit_backend(task_words(), how))) for how in ("digits", "pairs")]
    if model in SHIPPED:
        shipped = Tokenizer.from_file(str(shipped_folder(model) / "tokenizer.json"))
        found.append((model, partial(piece_borders, shipped)))
    elif model:
        from aritmo.experiment import newest_model
        from aritmo.models import open_tokenizer

        found.append((model, partial(token_borders, open_tokenizer(newest_model(model)))))
    return found


def _gpt2() -> Tokenizer | None:
    try:
        return gpt2_tokenizer(None)
    except ValueError:
        return None
