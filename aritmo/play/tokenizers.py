"""How tokenizers cut a text: GPT-2's where it is here, aritmo's own, and that of the model that was given."""

from collections.abc import Callable, Iterator
from functools import cache

Cut = Callable[[str], list[str]]


@cache
def cuts(model: str = "") -> list[tuple[str, Cut | None]]:
    """Return tokenizers by name, each as what cuts a text into the pieces of its tokens; None where it is not here.

    ``model`` is the name of a model whose tokenizer is shown too, empty for none.
    """
    from aritmo.tokens import task_tokenizer, token_borders

    def borders(tokenizer: object) -> Cut:
        return lambda text: token_borders(tokenizer, text)  # type: ignore[arg-type]

    found: list[tuple[str, Cut | None]] = [("gpt2", _gpt2())]
    found += [(numbers, borders(task_tokenizer(numbers))) for numbers in ("digits", "pairs")]
    if model:
        from aritmo.experiment import newest_model
        from aritmo.models import open_tokenizer

        found.append((model, borders(open_tokenizer(newest_model(model)))))
    return found


def _gpt2() -> Cut | None:
    from aritmo.trials.texts import gpt2_tokenizer

    try:
        tokenizer = gpt2_tokenizer(None)
    except ValueError:
        return None

    def cut(text: str) -> list[str]:
        ends = [end for _, end in tokenizer.encode(text).offsets]
        return list(_pieces(text, ends))

    return cut


def _pieces(text: str, ends: list[int]) -> Iterator[str]:
    """Yield the piece of a text that ends at each place; of several tokens of one character the first has it."""
    at = 0
    for end in ends:
        yield text[at : max(at, end)]
        at = max(at, end)
