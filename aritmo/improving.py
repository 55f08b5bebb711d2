"""Self-improvement: a model writes on problems harder than it was trained on, and learns from what holds.

Each round goes a level up (``harder``), draws problems of train families there, lets the model of the round
before write on them, keeps what the evidence speaks for (``evidence``), and trains on that together with the old
corpus. What comes out is judged on held-out problems of every level, the same ones before and after each round.
Lee and others 2025, arXiv 2502.01612, have the scheme; here nothing is asked of the model but its own text.

The folder has ``improve.yaml`` (all settings), ``round-0`` (the model as it came), ``round-1``, ...: each with
its samples, what was kept, its corpus, its training run, its tests and, written last, ``manifest.json``. All
that is random follows from the seed, so work that was stopped at any moment goes on to the same end.
"""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.compute
from pydantic import BaseModel, ConfigDict, Field

from aritmo.adapters import is_adapter
from aritmo.choosing import SamplingConfig
from aritmo.config import read_yaml, save_config
from aritmo.corpus import Corpus
from aritmo.distributed import place
from aritmo.evidence import Evidence, keep
from aritmo.experiment import PartConfig, newest_model, open_to_write, train_alone
from aritmo.files import check_free, write_json, write_json_lines
from aritmo.filling import Asking, Filling, records_of, weights_of
from aritmo.harder import Levels
from aritmo.judging import judge_samples
from aritmo.mixing import mix
from aritmo.models import open_tokenizer
from aritmo.numbers.randomness import Split, seed_of, split_of
from aritmo.records import read_jsonl
from aritmo.statistics import share
from aritmo.tokens import encode_batch
from aritmo.training import TrainingConfig, TrainingResult

MANIFEST, SETTINGS, METRICS = "manifest.json", "improve.yaml", "metrics.jsonl"
_FRESH = ("model", "init", "tokenizer", "adapter", "rank", "base_bits", "minutes", "patience", "seed")
"""Training settings that a round does not take over from the run that it goes on from."""

Record = dict[str, Any]
Say = Callable[[str], None]


class ImproveConfig(BaseModel):
    """How to improve: ``rounds``, each ``harder`` by so many digits, with ``count`` problems a round.

    ``tests`` held-out problems a level are judged before and after. ``evidence`` says what is kept; for «vote»
    each problem is written on ``votes`` times at ``temperature``, and a share ``agree`` must be one text. Of the
    training examples about ``share`` are the model's own: they are repeated, ten times at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rounds: int = Field(3, ge=1)
    harder: int = Field(1, ge=1)
    count: int = Field(2000, ge=1)
    tests: int = Field(200, ge=1)
    evidence: Evidence = "exact"
    votes: int = Field(5, ge=2)
    agree: float = Field(0.8, gt=0, le=1)
    temperature: float = Field(0.7, gt=0)
    share: float = Field(0.5, gt=0, lt=1)
    batch_size: int = Field(256, ge=1)
    seed: int = 0
    training: TrainingConfig = TrainingConfig()


def settings_of(run: Path) -> Record:
    """Return the training settings of a run that a round takes over; none where it is no run."""
    path = run / "config.yaml"
    told = read_yaml(path).get("training") if path.is_file() else None
    known = set(TrainingConfig.model_fields) - set(_FRESH)
    return {name: value for name, value in told.items() if name in known} if isinstance(told, dict) else {}


def improve(start: str, corpus: Path, config: ImproveConfig, out: Path, say: Say) -> list[Record] | None:
    """Do every round, or what is left of them, and return the manifest of each, round 0 being the model as it
    came.

    A round in which nothing holds is the last. Returns None where training was stopped by a signal: the same
    call goes on. Raises ValueError for a folder that holds something else, a model that cannot be improved in
    this way, or a corpus of which nothing is harder.
    """
    if place().num_processes > 1:
        raise ValueError("self-improvement runs in one process: start it without torchrun or accelerate")
    work = _Work(newest_model(start), Corpus(corpus), config, out, say)
    work.begin()
    rounds = [work.as_it_came()]
    for number in range(1, config.rounds + 1):
        done = work.round(number)
        if done is None:
            return None
        rounds.append(done)
        write_json_lines(out / METRICS, rounds)
        if not done["kept"]["count"]:
            break
    return rounds


class _Work:
    """All rounds of one call."""

    def __init__(self, start: str, corpus: Corpus, config: ImproveConfig, out: Path, say: Say) -> None:
        self._start, self._corpus, self._config, self._out, self._say = start, corpus, config, out, say
        self._levels = Levels(corpus)
        self._tops = [config.harder * number for number in range(config.rounds + 1)]
        self._rooms: dict[int, int] = {}

    def begin(self) -> None:
        """Write down what is to be done, or see that it is what was begun."""
        settings = {
            "start": self._start,
            "weights": weights_of(self._start),
            "corpus": str(self._corpus.folder),
            "data": self._corpus.hash,
            **self._config.model_dump(mode="json"),
        }
        path = self._out / SETTINGS
        if path.is_file():
            before = read_yaml(path)
            if differing := [name for name in settings if settings[name] != before.get(name)]:
                name = differing[0]
                raise ValueError(
                    f"{self._out} was begun with {name} {before.get(name)!r:.80}, not {settings[name]!r:.80}: "
                    "give the same settings to go on, or another folder"
                )
            return
        check_free(self._out)
        if is_adapter(Path(self._start)):
            raise ValueError(f"{self._start} is an adapter: make a whole model of it first, with «aritmo export»")
        self._corpus.verify()
        self._check_families()
        self._check_room()
        self._out.mkdir(parents=True, exist_ok=True)
        save_config(path, settings)

    @cached_property
    def _tests(self) -> dict[int, list[Any]]:
        """The held-out problems of each level that is reached."""
        seed, wanted = seed_of("improve", self._config.seed, "tests"), self._config.tests
        return {
            level: self._levels.draw(level, level - self._config.harder if level else None, "test", seed, wanted)
            for level in self._tops
        }

    def as_it_came(self) -> Record:
        """Return the manifest of round 0."""
        folder = self._out / "round-0"
        if (folder / MANIFEST).is_file():
            return _read(folder)
        folder.mkdir(exist_ok=True)
        done = {"round": 0, "level": self._levels.name(0), "after": self._measured(folder, self._start)}
        write_json(folder / MANIFEST, done)
        self._tell(done)
        return done

    def round(self, number: int) -> Record | None:
        """Do a round, or what is left of it, and return its manifest; None where training was stopped."""
        folder, level = self._out / f"round-{number}", self._tops[number]
        if (folder / MANIFEST).is_file():
            return _read(folder)
        folder.mkdir(exist_ok=True)
        before = _read(self._out / f"round-{number - 1}")
        model = str(self._out / before["checkpoint"]) if number > 1 else self._start
        kept, counted = self._kept(folder, number, model)
        done = {
            "round": number,
            "level": self._levels.name(level),
            "evidence": self._config.evidence,
            **counted,
            "before": before["after"],
        }
        if kept:
            corpus, mixed = self._mixed(folder, number)
            result = train_alone(corpus, self._part(number, model), folder, self._say, resume=True)
            if result.reason == "stopped":
                return None
            checkpoint = str(result.checkpoint)
            done |= {
                "mixed": mixed,
                "data": corpus.hash,
                "trained": _trained(result),
                "checkpoint": str(result.checkpoint.relative_to(self._out)),
                "after": self._measured(folder, checkpoint),
            }
        write_json(folder / MANIFEST, done)
        self._tell(done)
        return done

    def _kept(self, folder: Path, number: int, model: str) -> tuple[list[Record], Record]:
        """Let the model write on harder problems; return what holds, as examples, and the account."""
        config, level = self._config, self._tops[number]
        known = set(self._corpus.table("train")["prompt"].to_pylist())
        seed = seed_of("improve", config.seed, "problems", number)
        problems = self._levels.draw(level, self._tops[number - 1], "train", seed, config.count, known)
        if not problems:
            raise ValueError(
                f"there is no training problem of {self._levels.name(level)} that is new: go another way"
            )
        asked = {self._levels.task.prompt(problem, self._levels.style): problem for problem in problems}
        voting = config.evidence == "vote"
        prompts = [prompt for prompt in asked for _ in range(config.votes if voting else 1)]
        records = records_of(self._levels.task.name, self._levels.style, "train", prompts)
        written = self._write(
            folder / "samples.jsonl", records, model, level, config.temperature if voting else 0.0,
            seed_of("improve", config.seed, "samples", number),
        )  # fmt: skip
        held = keep(written, config.evidence, config.agree)
        examples = [self._levels.row(place, asked[one.prompt], one.text) for place, one in enumerate(held)]
        write_json_lines(folder / "kept.jsonl", examples)
        right = sum(one.right for one in held)
        return examples, {"kept": share(len(held), len(problems)), "kept_right": right, "written": len(written)}

    def _mixed(self, folder: Path, number: int) -> tuple[Corpus, Record]:
        """Return the round's corpus: the old one, what was kept so far, and held-out problems of this level."""
        made = [line for n in range(1, number + 1) for line in read_jsonl(self._out / f"round-{n}" / "kept.jsonl")]
        level = self._tops[number]
        seed = seed_of("improve", self._config.seed, "validation", number)
        beside = self._levels.draw(level, self._tops[number - 1], "validation", seed, self._config.tests)
        held: dict[Split, list[Record]] = {
            "validation": [self._levels.row(*pair) for pair in enumerate(beside)],
            "test": [self._levels.row(*pair) for pair in enumerate(self._tests[level])],
        }
        return mix(self._corpus, made, held, self._config.share, self._levels.said(level), folder / "corpus")

    def _part(self, number: int, model: str) -> PartConfig:
        """Return how a round trains: as the run that it goes on from, with room for longer texts."""
        config, most = self._config, self._room(model, self._tops[number])
        training = config.training.model_copy(
            update={
                "model": model,
                "init": "pretrained",
                "tokenizer": None,
                "context": max(config.training.context, most),
                "seed": seed_of("improve", config.seed, "training", number) % 2**31,
            }
        )
        sampling = SamplingConfig(max_new_tokens=most, batch_size=config.batch_size)
        return PartConfig(training=training, sampling=sampling)

    def _measured(self, folder: Path, model: str) -> Record:
        """Return the share of right answers at each level, all of the same held-out problems."""
        task, style = self._levels.task, self._levels.style
        records: list[Record] = []
        for level, problems in self._tests.items():
            prompts = [task.prompt(problem, style) for problem in problems]
            more = records_of(task.name, style, "test", prompts, len(records))
            records += [record | {"level": self._levels.name(level)} for record in more]
        written = self._write(folder / "tests.jsonl", records, model, self._tops[-1], 0.0, 0)
        valid: dict[str, list[bool]] = {self._levels.name(level): [] for level in self._tops}
        for verdict in judge_samples(written, None):
            valid[verdict["level"]].append(verdict["valid"])
        return {name: share(sum(flags), len(flags)) for name, flags in valid.items()}

    def _write(
        self, file: Path, records: Sequence[Record], model: str, level: int, temperature: float, seed: int
    ) -> list[Record]:
        """Let a model write on each record's prompt, into a file that is whole or goes on; return what it
        holds."""
        if not file.exists():
            opened, tokenizer = open_to_write(model, 2, self._config.training.precision)
            sampling = SamplingConfig(
                max_new_tokens=self._room(model, level), temperature=temperature, seed=seed,
                batch_size=self._config.batch_size,
            )  # fmt: skip
            task, style = self._levels.task.name, self._levels.style
            asking = Asking(task, style, len(records), lambda start, stop: [*records[start:stop]], {})
            request = {
                "model": weights_of(model),
                "precision": str(opened.dtype),
                **sampling.model_dump(mode="json"),
            }
            with Filling(file, request, sampling) as filling:
                filling.fill(opened, tokenizer, asking)
                filling.finish()
        return list(read_jsonl(file))

    def _room(self, model: str, level: int) -> int:
        """Return how many tokens a text of a level may have: an eighth more than the longest held-out one."""
        if level not in self._rooms:
            task, style = self._levels.task, self._levels.style
            problems = self._tests[level]
            texts = [task.prompt(one, style) + task.completion(one, style) for one in problems]
            longest = max(map(len, encode_batch(open_tokenizer(model), texts)), default=0)
            self._rooms[level] = longest + longest // 8 + 8
        return self._rooms[level]

    def _check_families(self) -> None:
        """Refuse a corpus that trains on a held-out family. One that aritmo built never does."""
        families = pyarrow.compute.unique(
            pyarrow.compute.struct_field(self._corpus.table("train")["meta"], "family")
        )
        for family in families.to_pylist():
            if (split := split_of(self._levels.task.name, family)) != "train":
                raise ValueError(
                    f"{self._corpus.folder} trains on {family}, which is of the {split} families: build it again"
                )

    def _check_room(self) -> None:
        """Refuse what cannot be improved: positions of another kind, and texts longer than the model reads."""
        model, _ = open_to_write(self._start, 2, self._config.training.precision)
        if getattr(model.config, "ids_a_place", 0):
            raise ValueError(
                f"model {self._start} has positions coupled by digit place, which only its recipe trains: "
                "improve another model"
            )
        top = self._tops[-1]
        needed, table = (
            self._room(self._start, top),
            getattr(model.config.get_text_config(), "max_position_embeddings", None),
        )
        if not self._tests[top]:
            raise ValueError(f"there is no held-out problem of {self._levels.name(top)}: ask for fewer rounds")
        if table is not None and table < needed:
            raise ValueError(
                f"a text of {self._levels.name(top)} takes up to {needed:,} tokens and model {self._start} reads "
                f"{table:,}: ask for fewer rounds, or improve a model with a longer context"
            )

    def _tell(self, done: Record) -> None:
        """Say what a round came to."""
        if "kept" in done:
            kept = done["kept"]
            self._say(
                f"round {done['round']}, {done['level']}: kept {kept['count']:,} of {kept['of']:,} problems, "
                f"{done['kept_right']:,} of them right"
            )
        if "after" in done:
            shares = ", ".join(f"{name} {100 * one['share']:.1f} %" for name, one in done["after"].items())
            self._say(f"round {done['round']}, held out: {shares}")


def _read(folder: Path) -> Record:
    record: Record = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return record


def _trained(result: TrainingResult) -> Record:
    return {
        "steps": result.step,
        "tokens": result.tokens,
        "loss": result.loss,
        "validation_loss": result.validation_loss,
        "seconds": round(result.seconds, 1),
    }
