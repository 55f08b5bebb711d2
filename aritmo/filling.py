"""Files of samples that a model fills part by part: memory stays bounded, a stopped sitting is gone on with."""

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aritmo import checkpoints
from aritmo.choosing import SamplingConfig
from aritmo.distributed import dealt, gathered, place, tell
from aritmo.files import file_hash
from aritmo.guided import Guide
from aritmo.judging import judge_samples, summarise
from aritmo.numbers.randomness import Split
from aritmo.progress import Progress
from aritmo.sampling import WINDOW, Advance, write
from aritmo.unfinished import Unfinished

Record = dict[str, Any]

_PART = 1 << 16
"""Texts, about, that are asked for at a time."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Problems to write on. ``records`` returns those from one index up to another, fewer at the end.

    ``request`` is what they depend on, ``below`` the bound that the cells of squares have.
    """

    task: str
    style: str
    count: int
    records: Callable[[int, int], list[Record]]
    request: Record
    below: int = 0


def records_of(task: str, style: str, split: Split, prompts: Sequence[str], start: int = 0) -> list[Record]:
    """Return prompts as the records of samples, which lack only what is written on them."""
    return [
        {"index": index, "split": split, "task": task, "style": style, "prompt": prompt}
        for index, prompt in enumerate(prompts, start)
    ]


def written(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Record],
    sampling: SamplingConfig,
    advance: Advance = lambda count: None,
    guide: Guide | None = None,
) -> Iterator[Record]:
    """Return each record with what the model writes on its prompt, and how many tokens that took.

    Prompts are read, and refused, before the first is written on.
    """
    start = records[0]["index"] if records else 0
    prompts = [record["prompt"] for record in records]
    texts = write(model, tokenizer, prompts, sampling, start=start, progress=advance, guide=guide)
    return (
        record | {"text": written.text, "finished": written.finished, "tokens": written.tokens}
        for record, written in zip(records, texts, strict=True)
    )


def weights_of(source: str) -> str:
    """Return what tells a model's weights from others: a hash for a folder, else the name.

    Of a checkpoint it is that of its manifest, which holds the hash of every file; of other folders that of the
    names, sizes and times of their files.
    """
    folder = Path(source)
    if not folder.is_dir():
        return source
    if (manifest := folder / checkpoints.MANIFEST).is_file():
        return file_hash(manifest)[:16]
    told = [
        (file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir() if file.is_file()
    ]
    return sha256(repr(sorted(told)).encode()).hexdigest()[:16]


class Filling(Unfinished):
    """A file of samples in the making, by one process or by several, of which the main one holds it."""

    def __init__(self, out: Path, request: Record, sampling: SamplingConfig, anew: bool = False) -> None:
        self._sampling, self._main = sampling, place().is_main_process
        window = sampling.batch_size * WINDOW
        self._part = max(_PART // window, 1) * window
        # Texts come window by window, and of several processes part by part; from such a border on the bytes are
        # those of a sitting that was never stopped.
        every = window if place().num_processes == 1 else self._part
        kept = 0
        if self._main:
            super().__init__(out, request, every, anew)
            kept = self.kept
        self.kept = tell(kept)

    def __exit__(self, *given: Any) -> None:
        if self._main:
            super().__exit__(*given)

    def finish(self) -> None:
        if self._main:
            super().finish()

    def fill(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        asking: Asking,
        guide: Guide | None = None,
        judged: bool = False,
    ) -> Record:
        """Let the model write on what is left and return the account: how many texts there are, and how fast.

        ``judged`` adds how many are valid. Processes other than the main one account for nothing.
        """
        began = time.perf_counter()
        made = _Counts()
        many = place().num_processes
        with Progress("writing", asking.count, "texts", None if self._main else io.StringIO()) as progress:
            progress.start_at(self.kept)
            for start in range(self.kept, asking.count, self._part):
                records = asking.records(start, min(start + self._part, asking.count))
                texts = written(
                    model, tokenizer, dealt(records), self._sampling,
                    lambda count: progress.advance(count * many), guide,
                )  # fmt: skip
                whole = gathered(texts)
                if self._main:
                    self.add(made.counted(whole))
                if len(records) < self._part:  # there are no more
                    break
        return self._account(time.perf_counter() - began, made, judged) if self._main else {}

    def _account(self, seconds: float, made: "_Counts", judged: bool) -> Record:
        found = _Counts()
        for _ in found.counted(self.records()):
            pass
        account: Record = {"samples": found.texts, "file": str(self.out), "tokens": found.tokens}
        account |= {"seconds": round(seconds, 3), "tokens_per_second": round(made.tokens / seconds, 1)}
        if judged:
            (group,) = summarise(judge_samples(self.records(), None))["groups"].values()
            account["valid"] = group["valid"]
        return account


@dataclass
class _Counts:
    """How many texts went by, and how many tokens they have."""

    texts: int = 0
    tokens: int = 0

    def counted(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self.texts += 1
            self.tokens += record["tokens"]
            yield record
