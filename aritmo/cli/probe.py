"""``aritmo probe``: what models know of numbers as they are."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from aritmo.cli.output import Json, print_json, print_table
from aritmo.screen import show


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo probe gpt2 model.gguf http://127.0.0.1:8000/v1#NAME --out PROBES")(probe)


def probe(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Folders, names, runs, GGUF files, or addresses that speak as OpenAI's do, as ADDRESS#NAME; "
            "without one the page is written anew from what OUT holds.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The folder of answers, summaries and the page; what is there is kept.")
    ] = Path("probes"),
    probe: Annotated[
        list[str] | None,
        typer.Option(help="Only this probe: joined, spaced, addition, primality or squares. May stand again."),
    ] = None,
    items: Annotated[
        int, typer.Option(min=1, help="Problems of a probe, shared out among its lengths; a fifth of it squares.")
    ] = 200,
    temperature: Annotated[
        float, typer.Option(help="Each problem is asked greedily, and once more at this; 0 leaves that out.")
    ] = 0.7,
    seed: Annotated[int, typer.Option(help="Seed of the problems and of what is drawn.")] = 0,
    bits: Annotated[
        int | None,
        typer.Option(help="Of a weight: 32, 16 (bf16), 8 or 4; without it 16 on a GPU and 32 elsewhere."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Texts written at once; without it 256 on a GPU and 16 elsewhere.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="The folder or name whose tokenizer it is: for a model without one, or an address."),
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask an address by chat: it has no completions.")] = False,
    key_variable: Annotated[
        str, typer.Option(help="The environment variable that holds an address's key.")
    ] = "ARITMO_API_KEY",
    parallel: Annotated[int, typer.Option(min=1, help="Questions that an address gets at once.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that an address may take to answer.")] = 60.0,
    retries: Annotated[int, typer.Option(min=0, help="How often an address is asked again.")] = 6,
    json: Json = False,
) -> None:
    """Ask models as they are, from a few examples: take numbers apart, add, tell primes, go on with squares.

    Nothing is trained. The report asked GPT-J so; its prompts are used to the letter, with many more numbers.
    Every answer is judged exactly and kept at once: an interrupted probe goes on with the same command.
    """
    from aritmo.probes.endpoint import Manners
    from aritmo.probes.page import write_page
    from aritmo.probes.prompts import PROBES
    from aritmo.probes.run import Asking, probe_models

    asking = Asking(
        tuple(dict.fromkeys(probe or PROBES)), items, temperature, seed, bits, batch_size, tokenizer, chat,
        key_variable, Manners(parallel, timeout, retries),
    )  # fmt: skip
    try:
        probe_models(models or [], asking, out)
    except BaseException:
        # What was answered, if anything, is on the page, whatever came then.
        with suppress(ValueError):
            write_page(out)
        raise
    page, summaries = write_page(out)
    if json:
        print_json({"page": str(page), "models": summaries})
        return
    print_table(("model", "probe", "way", "right", "of", "share", "95 % interval"), _rows(summaries))
    show(str(page))


def _rows(summaries: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    from aritmo.report.words import interval, percent

    rows: list[tuple[object, ...]] = []
    for summary in summaries:
        for name, ways in summary["probes"].items():
            for way, group in ways.items():
                right = group["right"]
                told = right["count"], right["of"], percent(right["share"]), interval(right)
                rows.append((summary["settings"]["label"], name, way, *told))
    return rows
