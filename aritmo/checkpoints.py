"""Checkpoints: written whole or not at all, verified when read, and never pickled.

A checkpoint is a folder ``RUN/checkpoints/step-000300``. It holds the model and tokenizer as transformers
writes them, so that any tool opens the folder; ``optimizer.safetensors``; ``state.json`` (what the
caller gives); and, written last, ``manifest.json`` with the sha256 of every other file. Random states
need no file: training draws everything random from the seed and the step.
"""

import errno
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from aritmo.adapters import is_adapted, is_adapter, load_adapter
from aritmo.files import check_name, file_hash, read_vouched, sync, write_json, write_vouched
from aritmo.models import quiet_transformers
from aritmo.screen import show

MANIFEST, STATE, OPTIMIZER = "manifest.json", "state.json", "optimizer.safetensors"
BEST = "best"
_SPREAD = ("batch_size", "gradient_accumulation", "processes")
"""Settings whose product is how many sequences an update has."""
_NAME = re.compile(r"step-(\d{6,})")


def _say(line: str) -> None:
    show(f"aritmo: {line}", err=True)


def save(
    run: Path,
    step: int,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    keep: int = 0,
    best: bool = False,
) -> Path:
    """Write the checkpoint of a step and return its folder; then keep only the newest ``keep`` up to it.

    The folder is written beside its place, synced to disk and renamed, so a crash leaves the earlier
    checkpoints as they were. ``keep=0`` deletes none; those of later steps, which were damaged and passed
    over when the run went on, are no reason to delete this one. Raises OSError with one sentence where the
    disk is full; nothing half written stays. ``best`` makes ``RUN/checkpoints/best`` a link to it, and what
    that links to is kept.
    """
    folder = place_of(run, step)
    partial = folder.with_name(folder.name + ".partial")
    for left in run.glob("checkpoints/*.partial"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    for link in run.glob(f"checkpoints/{BEST}.*link"):
        link.unlink(missing_ok=True)
    try:
        partial.mkdir(parents=True)
        with quiet_transformers():
            model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        save_file(_optimizer_tensors(model, optimizer), partial / OPTIMIZER)
        write_json(partial / STATE, state)
        files = sorted(path.relative_to(partial).as_posix() for path in partial.rglob("*") if path.is_file())
        hashes = {name: file_hash(partial / name) for name in files}
        write_vouched(partial / MANIFEST, {"step": step, BEST: best, "sha256": hashes})
        for path in [*partial.rglob("*"), partial]:
            sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        sync(folder.parent)
        sync(run)
    except Exception as error:  # the tokenizers library raises bare Exception
        if not _disk_full(error):
            raise
        raise OSError(
            errno.ENOSPC,
            f"the disk is full, so the checkpoint of step {step} was not written and the earlier ones stand",
            str(folder),
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if best:
        _link(folder.with_name(BEST), folder.name)
    earlier = [path for path in _all(run) if int(path.name.removeprefix("step-")) <= step]
    for old in earlier[:-keep] if keep else []:
        if old.resolve() != (run / "checkpoints" / BEST).resolve():
            shutil.rmtree(old)
    return folder


def place_of(run: Path, step: int) -> Path:
    """Return the folder of the checkpoint of a step."""
    return run / "checkpoints" / f"step-{step:06d}"


def latest(run: Path, say: Callable[[str], None] = _say) -> Path | None:
    """Return the newest checkpoint of a run that is whole, or None; ``say`` hears of those passed over."""
    for folder in reversed(_all(run)):
        try:
            verify(folder)
        except ValueError as error:
            say(f"{error}; passing over it")
        else:
            return folder
    return None


def verify(folder: Path) -> None:
    """Raise ValueError naming the first file of a checkpoint that is missing or not as it was written."""
    manifest = _manifest(folder)
    try:
        # A manifest that leaves out what a resumed run needs vouches for nothing.
        for name, expected in {STATE: None, OPTIMIZER: None, **manifest["sha256"]}.items():
            for part in str(name).split("/"):
                check_name(part, f"{MANIFEST} of checkpoint {folder}")
            if file_hash(folder / name) != expected:
                raise ValueError(f"checkpoint {folder} is damaged: {name} is not as it was written")
    except (OSError, KeyError, TypeError) as error:
        missing = Path(error.filename).name if isinstance(error, OSError) and error.filename else MANIFEST
        raise ValueError(f"checkpoint {folder} is incomplete: {missing} cannot be read") from error


def is_checkpoint(folder: Path) -> bool:
    """Return whether a folder is one that ``save`` wrote, whole or not."""
    return (folder / MANIFEST).is_file() and (folder / STATE).is_file()


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = read_vouched(folder / MANIFEST)
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"checkpoint {folder} is incomplete: {MANIFEST} cannot be read") from error
    except ValueError as error:
        raise ValueError(f"checkpoint {folder} is damaged: {error}") from error
    if not isinstance(manifest, dict):
        raise ValueError(f"checkpoint {folder} is damaged: {MANIFEST} holds no names and hashes")
    return manifest


def load(
    folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, verified: bool = False
) -> dict[str, Any]:
    """Put a checkpoint's weights and optimizer state into ``model`` and ``optimizer``; return its state.

    Where it was the best when it was written, ``best`` links to it, which a kill may have kept from being done.
    One that ``latest`` returned is ``verified`` already: hashing many gigabytes once more would take as long.
    Raises ValueError where a file is damaged or belongs to another model.
    """
    if not verified:
        verify(folder)
    if _manifest(folder).get(BEST):
        _link(folder.with_name(BEST), folder.name)
    if is_adapter(folder) != is_adapted(model):
        raise ValueError(f"checkpoint {folder} is of another model; resume with the model that began the run")
    try:
        if is_adapter(folder):
            load_adapter(folder, model)
        else:
            with quiet_transformers():
                saved = AutoModelForCausalLM.from_pretrained(folder, dtype=model.dtype, use_safetensors=True)
            model.load_state_dict(saved.state_dict())
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint {folder} is of another model; resume with the model that began the run"
        ) from error
    moments: dict[str, dict[str, torch.Tensor]] = {}
    try:
        with safe_open(folder / OPTIMIZER, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 (a file handle, not a mapping)
                kind, _, name = key.partition(":")
                moments.setdefault(name, {})[kind] = tensors.get_tensor(key)
    except SafetensorError as error:
        raise ValueError(f"checkpoint {folder} is damaged: {OPTIMIZER} holds no tensors ({error})") from None
    given = optimizer.state_dict()
    names = {parameter: name for name, parameter in model.named_parameters()}
    ordered = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    given["state"] = {index: moments[name] for index, name in enumerate(ordered) if name in moments}
    optimizer.load_state_dict(given)
    state: dict[str, Any] = json.loads((folder / STATE).read_bytes())
    return state


def check_settings(run: Path, begun: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise ValueError where settings are not those that a run was begun with.

    As many sequences an update may be spread otherwise over processes and micro-batches.
    """
    begun, now = _told(begun), _told(now)
    for name, value in now.items():
        if begun.get(name) != value:
            raise ValueError(
                f"run {run} was begun with {name} {begun.get(name)}, not {value}: "
                "resume with what it was begun with, or begin another run"
            )


def _told(settings: dict[str, Any]) -> dict[str, Any]:
    others = {name: value for name, value in settings.items() if name not in _SPREAD}
    return others | {"sequences an update": math.prod(settings[name] for name in _SPREAD)}


def _optimizer_tensors(model: PreTrainedModel, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the optimizer's state flat, named ``kind:parameter`` (``exp_avg:transformer.wte.weight``)."""
    return {
        f"{kind}:{name}": tensor.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        for kind, tensor in optimizer.state.get(parameter, {}).items()
    }


def _all(run: Path) -> list[Path]:
    """Return the finished checkpoint folders of a run, oldest first."""
    found = [
        (int(match[1]), path)
        for path in (run / "checkpoints").glob("step-*")
        if (match := _NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def _link(link: Path, target: str) -> None:
    """Make a link, or turn one, in one step; all processes that resume a run may do so at once."""
    if link.is_symlink() and link.readlink() == Path(target):
        return
    beside = link.with_name(f"{link.name}.{uuid4().hex}.link")
    beside.symlink_to(target)
    beside.replace(link)
    sync(link.parent)


def _disk_full(error: Exception) -> bool:
    """Tell a full disk from other errors; safetensors reports it only in words."""
    return getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT} or "os error 28" in str(error).lower()
