"""A whole experiment, from a config to a judged model: the rooms to the left, joined in the order of the flow."""

import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import count, islice
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aritmo import __version__, checkpoints
from aritmo.choosing import SamplingConfig
from aritmo.config import read_yaml, save_config
from aritmo.corpus import Corpus, CorpusConfig, build_corpus
from aritmo.distributed import place
from aritmo.engine import precision_on
from aritmo.files import check_free, withdrawn, write_json
from aritmo.filling import Asking, Filling, records_of, weights_of, written
from aritmo.guided import STYLE as GUIDED_STYLE
from aritmo.guided import Guide
from aritmo.judging import judge_samples
from aritmo.models import KNOWN, open_adapted, open_model, open_tokenizer, set_dropout
from aritmo.numbers.randomness import Split, split_named
from aritmo.packing import pack
from aritmo.tasks import TaskOptions, find_task
from aritmo.tasks.squares import Square, Squares
from aritmo.tasks.squares_centres import centres_of
from aritmo.tokens import Numbers, check_covers, task_tokenizer
from aritmo.trackers import check_extras
from aritmo.training import TrainingConfig, TrainingResult, train
from aritmo.verdicts import judge_run

Record = dict[str, Any]
Say = Callable[[str], None]


class PartConfig(BaseModel):
    """One experiment: a corpus, a model trained on it, and how much it is made to write.

    ``numbers`` is how the tokenizer of a model made on the spot cuts numbers; ``samples`` are written for
    each group of problems at the end, and ``look`` held-out ones at each evaluation while training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: CorpusConfig = CorpusConfig()
    numbers: Numbers = "digits"
    training: TrainingConfig = TrainingConfig()
    sampling: SamplingConfig = SamplingConfig()
    samples: int = Field(200, ge=1)
    look: int = Field(32, ge=0)


def open_for(config: PartConfig, say: Say) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Open the model that a config names; one made on the spot knows the words of every task.

    One from scratch takes the tokenizer that its name comes with, and the tasks' own where that cannot be had.
    Raises ValueError for the tasks' tokenizer on weights that were learned with another.
    """
    training = config.training
    tokenizer = None
    if training.tokenizer is not None and training.tokenizer in get_args(Numbers):
        if training.init != "scratch" and training.model != "tiny":
            raise ValueError(
                f"training.tokenizer {training.tokenizer} has tokens that model {training.model} never learned: "
                "add --init scratch, or leave it out"
            )
        tokenizer = task_tokenizer(training.tokenizer)
    elif training.tokenizer is not None:
        tokenizer = open_tokenizer(training.tokenizer)
    elif training.model == "tiny":
        tokenizer = task_tokenizer(config.numbers)
    elif training.init == "scratch":
        try:
            tokenizer = open_tokenizer(training.model)
        except ValueError as error:
            if training.model not in KNOWN:
                raise
            tokenizer = task_tokenizer(config.numbers)
            say(f"tokenizer: the tasks' own ({config.numbers}), since {error}")
    if training.adapter == "lora":
        if training.init == "scratch":
            raise ValueError("an adapter needs learned weights beside it: leave out --init scratch or --adapter")
        model, tokenizer = open_adapted(
            training.model, tokenizer, training.context, training.seed, training.rank, training.base_bits
        )
    else:
        model, tokenizer = open_model(
            training.model, tokenizer=tokenizer, context=training.context, seed=training.seed, init=training.init
        )
    set_dropout(model, training.dropout)
    return model, tokenizer


def train_on(corpus: Corpus, config: PartConfig, run: Path, say: Say, resume: bool = False) -> TrainingResult:
    """Train the config's model on a corpus, judging what it writes on held-out problems while it learns."""
    check_extras(config.training.trackers)
    model, tokenizer = open_for(config, say)
    say(f"model {config.training.model}: {model.num_parameters():,} parameters, {len(tokenizer):,} tokens known")
    rows = {}
    for split in ("train", "validation"):
        table = corpus.table(split)
        pairs = list(zip(table["prompt"].to_pylist(), table["completion"].to_pylist(), strict=True))
        check_covers(tokenizer, (text for pair in pairs for text in pair))
        rows[split] = pack(tokenizer, pairs, config.training.context, config.training.loss_on)
        say(f"{split}: {rows[split].account}")
    return train(
        model, tokenizer, rows["train"], rows["validation"], config.training, run,
        evaluate=_looker(corpus, tokenizer, config), resume=resume,
    )  # fmt: skip


def _looker(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, config: PartConfig
) -> Callable[[PreTrainedModel, int], Record] | None:
    """Return the look at held-out problems that training takes at each evaluation, None where there are none."""
    prompts = [example.prompt for example in corpus.examples("validation", config.look)]
    if not prompts:
        return None

    def look(model: PreTrainedModel, step: int) -> Record:
        records = records_of(corpus.task.name, corpus.style, "validation", prompts)
        judged = list(judge_samples(written(model, tokenizer, records, config.sampling), None))
        shown = [{name: record[name] for name in ("prompt", "text", "valid")} for record in judged[:3]]
        right = sum(record["valid"] for record in judged)
        return {"exact": right / len(judged), "of": len(judged), "samples": shown}

    return look


def asked(corpus: Corpus, split: Split, wanted: int) -> list[str]:
    """Return prompts of a split: its own, and for few squares that are asked for by number further numbers."""
    prompts = [example.prompt for example in corpus.examples(split, wanted)]
    if corpus.task.name == Squares.name and "number" in corpus.manifest.get("ask", ["number"]):
        last = sum(account["count"] for account in corpus.manifest["splits"].values())
        more = (corpus.task.prompt(Square(number), corpus.style) for number in count(2 * last + 1))
        prompts += islice(more, wanted - len(prompts))
    return prompts


def train_alone(corpus: Corpus, config: PartConfig, run: Path, say: Say, resume: bool) -> TrainingResult:
    """Train on a corpus that stands elsewhere, in a run's folder that is new or, with ``resume``, begun before.

    Of several processes the main one writes and speaks. Training that is refused leaves no folder behind.
    """
    here = place()
    where = {"corpus": str(corpus.folder.resolve())}
    if here.is_main_process:
        if not resume:
            check_free(run)
        run.mkdir(parents=True, exist_ok=True)
        save_config(run / "config.yaml", described(config, corpus, {}) | where)
    here.wait_for_everyone()
    with withdrawn(run, "config.yaml"):
        result = train_on(corpus, config, run, say if here.is_main_process else _hush, resume)
    if here.is_main_process:
        seconds = {"training": round(result.seconds, 1)}
        save_config(run / "config.yaml", described(config, corpus, seconds, account(result)) | where)
    return result


def _hush(line: str) -> None:
    """Say nothing."""


def sample_problems(
    model_name: str,
    folder: Path | None,
    task: str | None,
    style: str | None,
    split: str,
    wanted: int,
    options: TaskOptions,
    sampling: SamplingConfig,
    out: Path,
    guided: bool = False,
    precision: str = "auto",
) -> Record:
    """Let a model write on a split's problems, of a corpus or fresh ones, into ``out``; return the account.

    It says how many samples and tokens were written where and how fast. ``guided`` lets it write valid squares
    only, and then once more as it likes, into a file beside ``out``: the account holds both, and how many were
    valid. The model goes on a GPU where there is one; ``precision`` is as for training. Problems are drawn and
    written on part by part, so that memory stays bounded; the same call goes on where an earlier one was stopped.
    Raises ValueError where neither corpus nor task says what to ask, where a file is taken or was begun with
    other settings, and for ``guided`` on what is no square of order 3 in the style ``listing``. Several processes
    share the problems, and the main one saves and accounts.
    """
    side = split_named(split)
    beside = out.with_stem(f"{out.stem}-bare")
    for file in (out, beside) if guided else (out,):
        if file.exists() or file.is_symlink():
            raise ValueError(f"{file} is there already: remove it or choose another file")
    asking = _asking(folder, task, style, side, wanted, options, sampling.seed)
    if not asking.records(0, 1):
        raise ValueError(f"{asking.task} has no {split} problem in these limits: ask for larger numbers")
    if guided and (asking.task, asking.style) != (Squares.name, GUIDED_STYLE):
        raise ValueError(
            f"guided writing is for {Squares.name} {GUIDED_STYLE}, not {asking.task} {asking.style}: "
            "leave out --guided"
        )
    source = newest_model(model_name)
    model, tokenizer = open_to_write(source, 2, precision)
    request = {"model": model_name, "weights": weights_of(source), "precision": str(model.dtype)}
    request |= {"split": side, **asking.request, **sampling.model_dump(mode="json")}
    if not guided:
        with Filling(out, request, sampling) as alone:
            account = alone.fill(model, tokenizer, asking)
            alone.finish()
        return account
    guide = Guide(tokenizer, asking.below)
    with (
        Filling(out, request | {"guided": True}, sampling) as one,
        Filling(beside, request | {"guided": False}, sampling) as other,
    ):
        account = one.fill(model, tokenizer, asking, guide, judged=True)
        bare = other.fill(model, tokenizer, asking, judged=True)
        # Neither stands in its place before both are whole.
        other.finish()
        one.finish()
    return account | {"bare": bare}


def _asking(
    folder: Path | None,
    task: str | None,
    style: str | None,
    split: Split,
    wanted: int,
    options: TaskOptions,
    seed: int,
) -> Asking:
    """Return what to ask, of a corpus or fresh problems."""
    if folder:
        if options.centres is not None:
            raise ValueError(f"{folder} says what is asked: leave out --centres, or --corpus")
        corpus = Corpus(folder)
        if task not in (None, corpus.task.name) or style not in (None, corpus.style):
            raise ValueError(
                f"{folder} holds {corpus.task.name} {corpus.style}: leave out --task and --style, which differ"
            )
        below = corpus.manifest.get("below", options.below)
        return of_corpus(corpus, [split], wanted, below)
    if not task:
        raise ValueError("nothing says what to ask: give --task, or --corpus with its problems")
    drawn, way = find_task(task, style)

    def fresh(start: int, stop: int) -> list[Record]:
        problems = drawn.problems(split, seed, start, stop, options)
        return records_of(drawn.name, way, split, [drawn.prompt(problem, way) for problem in problems], start)

    limits: Record = {"min_digits": options.min_digits, "max_digits": options.max_digits, "count": wanted}
    if options.centres is not None:
        if drawn.name != Squares.name:
            raise ValueError(f"centres are of squares, and {drawn.name} has none: leave out --centres")
        wanted = min(wanted, len(centres_of(options.centres, split)))
        limits |= {"centres": options.centres, "count": wanted}
    request = {"task": drawn.name, "version": drawn.version, "style": way, **limits}
    return Asking(drawn.name, way, wanted, fresh, request, options.below)


def of_corpus(corpus: Corpus, splits: Sequence[Split], wanted: int, below: int = 0) -> Asking:
    """Return as many problems of each split to ask, one split after the other, in one count."""
    records: list[Record] = []
    for split in splits:
        prompts = asked(corpus, split, wanted)
        records += records_of(corpus.task.name, corpus.style, split, prompts, len(records))
    request = {"data": corpus.hash, "count": wanted}
    name, style = corpus.task.name, corpus.style
    return Asking(name, style, len(records), lambda start, stop: records[start:stop], request, below)


def groups_of(task: str) -> tuple[Split, ...]:
    """Return which problems a trained model is asked: held-out ones, and where prompts name a family, known."""
    return ("test",) if task == Squares.name else ("test", "train")


def sample_run(corpus: Corpus, config: PartConfig, checkpoint: Path, out: Path) -> int:
    """Let the model of a checkpoint write on each group's problems, and save the samples; return how many.

    What a stopped call wrote of the same samples stays; samples of another checkpoint or config are made anew.
    """
    asking = of_corpus(corpus, groups_of(corpus.task.name), config.samples)
    request = {"weights": weights_of(str(checkpoint)), **asking.request, **config.sampling.model_dump(mode="json")}
    with Filling(out, request, config.sampling, anew=True) as file:
        model, tokenizer = open_to_write(str(checkpoint), config.training.context, config.training.precision)
        file.fill(model, tokenizer, asking)
        file.finish()
    return asking.count


def run_part(config: PartConfig, folder: Path, say: Say, resume: bool = False) -> bool:
    """Do one whole experiment in ``folder``; say whether it came to its end or training was stopped.

    With ``resume`` what is there is kept: the corpus, the newest checkpoint, whole samples and the part of them
    that was written, and a summary ends it at once.
    """
    if resume and (folder / "summary.json").is_file():
        return True
    folder.mkdir(parents=True, exist_ok=True)
    # Once training has ended, its config says so.
    noted = read_yaml(folder / "config.yaml") if resume and (folder / "config.yaml").is_file() else {}
    seconds: dict[str, float] = dict(noted.get("seconds", {}))
    began = time.monotonic()

    def lap(name: str) -> None:
        nonlocal began
        seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - began, 1)
        began = time.monotonic()

    there = resume and (folder / "corpus").is_dir()
    corpus = Corpus(folder / "corpus") if there else build_corpus(config.corpus, folder / "corpus")
    for line in corpus.lines():
        say(line)
    lap("corpus")
    trained = noted.get("trained")
    if trained is None:
        save_config(folder / "config.yaml", described(config, corpus, seconds))
        result = train_on(corpus, config, folder, say, resume)
        lap("training")
        if result.reason == "stopped":
            return False
        trained = account(result)
        save_config(folder / "config.yaml", described(config, corpus, seconds, trained))
    samples = folder / "samples.jsonl"
    if not samples.is_file():
        sample_run(corpus, config, Path(newest_model(str(folder))), samples)
    lap("sampling")
    summary = judge_run(samples, corpus, folder / "verdicts.jsonl")
    lap("judging")
    save_config(folder / "config.yaml", described(config, corpus, seconds, trained))
    write_json(folder / "summary.json", summary)
    return True


def account(result: TrainingResult) -> Record:
    """Return what a config says of training that has ended."""
    return {"steps": result.step, "tokens": result.tokens, "ended": result.reason}


def described(
    config: PartConfig, corpus: Corpus, seconds: dict[str, float], trained: Record | None = None
) -> Record:
    """Return everything that made a part: command, configs, data hash, versions, machine and durations."""
    names = ("torch", "transformers", "accelerate", "numpy", "pyarrow")
    plain = config.model_dump(mode="json")
    made: Record = {
        "command": shlex.join(["aritmo", *sys.argv[1:]]),
        "task": corpus.task.name,
        "style": corpus.style,
        "model": config.training.model,
        "seed": config.training.seed,
        "data": corpus.hash,
        **plain,
        "versions": {"aritmo": __version__, "python": platform.python_version()} | {n: version(n) for n in names},
        "device": _device(),
        "seconds": dict(seconds),
    }
    return made | ({"trained": trained} if trained else {})


def _device() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"CPU, {torch.get_num_threads()} threads"


def open_to_write(name: str, context: int, precision: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Open a model on a GPU where there is one, its precision as it was or would be in training there."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if precision_on(precision, device) == "bf16" else torch.float32
    return open_model(name, context=context, device=device, dtype=dtype)


def newest_model(name: str) -> str:
    """Return what to open for a name: of a run's folder its newest whole checkpoint, else the name itself.

    ``RUN/checkpoints/best`` names the best one; of self-improvement it is that of the last round that is done.
    Raises ValueError for a run without a whole checkpoint, and for a checkpoint that is not as it was written.
    """
    rounds = (path.parent for path in Path(name).glob("round-*/manifest.json"))
    if trained := [folder for folder in rounds if (folder / "checkpoints").is_dir()]:
        name = str(max(trained, key=lambda folder: int(folder.name.partition("-")[2])))
    if (Path(name) / "checkpoints").is_dir():
        newest = checkpoints.latest(Path(name))
        if newest is None:
            raise ValueError(f"{name} is a run without a whole checkpoint: train it first, with «aritmo train»")
        return str(newest)
    if checkpoints.is_checkpoint(Path(name)):
        checkpoints.verify(Path(name))
    return name
