"""What makes an update: the model as it computes, its optimizer, and how rows become gradients.

In bf16 the model runs on streams (``aritmo.attention``): its weights are bf16, fp32 masters stand in the
optimizer, blocks are compiled or, GPT-2's, kernels of our own, and the head makes its gradient chunk by chunk.
Otherwise the model runs on rows as it is, under Accelerate's autocast where the precision asks for it, which is
the path of CPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from aritmo import checkpoints, distributed
from aritmo.attention import TRITON, attention_of, takes_streams
from aritmo.batches import Batch, collate, collate_stream, isolate, limits_of
from aritmo.blocks import arranged, blocks_of
from aritmo.float8 import check_float8, in_float8
from aritmo.fused_gpt2 import FusedGpt2, fits
from aritmo.lean import LeanAdamW
from aritmo.losses import LossHead, StreamLoss
from aritmo.packing import Packed
from aritmo.pages import PagedAdamW, groups_of
from aritmo.screen import show
from aritmo.shapes import WORTH_COMPILING
from aritmo.utilisation import flops_per_token

if TYPE_CHECKING:
    from aritmo.training import TrainingConfig

Precision = Literal["no", "bf16", "fp16"]
Rows = NDArray[np.int64]

_BETAS = (0.9, 0.95)
_BUCKET = 100
"""MiB of gradients that processes add up at once while the backward pass goes on."""

_HOST = torch.device("cpu")
_WHOLE_MODELS = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
"""Where every process holds the whole model."""


def _say(line: str) -> None:
    show(line, err=True)


def _accelerator(precision: Precision) -> Accelerator:
    # Accelerate keeps the precision of the first call in a process; this forgets it.
    AcceleratorState._reset_state(reset_partial_state=False)
    distributed.place()
    # Gradients lie in the buckets that are sent, and not twice.
    parallel = DistributedDataParallelKwargs(bucket_cap_mb=_BUCKET, gradient_as_bucket_view=True)
    return Accelerator(mixed_precision=precision, kwargs_handlers=[parallel])


def precision_on(wanted: str, device: torch.device) -> Precision:
    """Return the precision that «auto» stands for on a device: bf16 on a GPU that multiplies it, else none."""
    if wanted != "auto":
        return wanted  # type: ignore[return-value]
    has = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if has else "no"


class Engine:
    """A model made ready to learn from ``packed`` rows, of which ``others`` (validation's) follow the limits too.

    ``micro`` rows are taken at once; out of memory halves it. ``adamw`` is the optimizer itself, ``precision``
    what is computed in. Raises ValueError for settings that the device or the model cannot follow.
    """

    def __init__(self, model: PreTrainedModel, config: TrainingConfig, packed: Packed, others: Packed) -> None:
        plain = _accelerator("no")
        device = plain.device
        self.precision = precision_on(config.precision, device)
        self.streams = (
            self.precision == "bf16" and plain.distributed_type in _WHOLE_MODELS and takes_streams(model)
        )
        self.sharded = config.sharding == "full"
        self.accelerator = plain if self.streams or self.sharded else _accelerator(self.precision)
        self.model, self.config, self.micro = model, config, config.batch_size
        self.fused = self._fuses(device)
        self.compiled = self._compiles(device)
        self._check(device)
        self.limits = limits_of(packed) | limits_of(others)
        self._ahead: dict[tuple[int, bytes], Batch] = {}
        self.body: FusedGpt2 | None = None
        self.adamw: torch.optim.Optimizer
        if self.sharded:
            self._cut_up()
        elif self.streams:
            self.adamw = self._paged(model, device)
            _to_bf16(model, device)
            alone = plain.num_processes == 1
            if self.fused:
                self.body = FusedGpt2(model, config.float8, config.checkpointing, adds=alone)
            self._wrapped = self._prepared(StreamLoss(model, self.body))
            self._optimizer: Any = self.adamw
        else:
            model.to(device)
            self.adamw = self._plain(model)
            self._wrapped, self._optimizer = self.accelerator.prepare(model, self.adamw)

    def _cut_up(self) -> None:
        """Make ready a model of which each process holds a part."""
        # Put to the test while it is still whole, and on the host: on a GPU there may be room for its parts alone.
        model = self.model.to(_HOST)
        with isolate(model, self.streams) as self.way:
            pass
        self._wrapped = StreamLoss(model) if self.streams else model
        distributed.cut_up(blocks_of(model), self._wrapped, self.streams)
        self.adamw = self._optimizer = self._plain(model)

    def _prepared(self, module: torch.nn.Module) -> Any:
        return self.accelerator.prepare(module) if self.accelerator.num_processes > 1 else module

    def _fuses(self, device: torch.device) -> bool:
        """Return whether blocks are computed by our own kernels, which are there without compiling."""
        on = self.streams and not self.sharded and device.type == "cuda" and self.config.adapter == "none"
        able = on and TRITON and torch.cuda.get_device_capability(device) >= (8, 0)
        return able and fits(self.model)

    def _compiles(self, device: torch.device) -> bool:
        config = self.config
        if config.compile == "auto":
            tokens = config.steps * config.gradient_accumulation * config.batch_size * config.context
            enough = tokens * flops_per_token(self.model, config.context) >= WORTH_COMPILING
            return self.streams and device.type == "cuda" and config.adapter == "none" and enough
        return self.streams and config.compile == "on"

    def _check(self, device: torch.device) -> None:
        config = self.config
        distributed.check_launch(self.accelerator, config.gradient_accumulation)
        if config.float8:
            check_float8(device)
        for name, asked in (("float8", config.float8), ("optimizer lean", config.optimizer == "lean")):
            if asked and not self.streams:
                raise ValueError(
                    f"{name} needs bf16 and a GPT-2, GPT-J or a model like Llama, on one GPU or several by data "
                    "parallelism: set training.precision bf16, or leave it out"
                )
        if self.sharded:
            self._check_sharding()
        if config.float8 and not self.fused and (not self.compiled or config.adapter != "none"):
            raise ValueError(
                "float8 is for whole models, compiled: leave out the adapter and set training.compile on"
            )

    def _check_sharding(self) -> None:
        config = self.config
        if self.accelerator.num_processes == 1:
            raise ValueError(
                "training.sharding full cuts a model up over several processes, and there is one: start it with "
                "torchrun or accelerate launch, or leave it out"
            )
        if self.precision == "fp16" or (self.precision == "bf16" and not self.streams):
            raise ValueError(
                "training.sharding full computes in fp32, or in bf16 with GPT-2, GPT-J and models like Llama: "
                "set training.precision no"
            )
        if config.float8 or config.optimizer == "lean" or config.adapter != "none":
            raise ValueError(
                "training.sharding full is for whole models with plain AdamW: leave out float8, optimizer lean "
                "and the adapter, or the sharding"
            )

    def _paged(self, model: PreTrainedModel, device: torch.device) -> PagedAdamW:
        """Return the optimizer of the stream path; it reads the weights before they become bf16."""
        kind = LeanAdamW if self.config.optimizer == "lean" else PagedAdamW
        return kind(
            groups_of(model, self.config.weight_decay), device, _BETAS, compiled=self.compiled,
            seed=self.config.seed,
        )  # fmt: skip

    def _plain(self, model: PreTrainedModel) -> torch.optim.AdamW:
        return torch.optim.AdamW(groups_of(model, self.config.weight_decay), fused=True, betas=_BETAS)

    @contextmanager
    def running(self, say: Callable[[str], None] = _say) -> Iterator[None]:
        """Arrange the model for training; it is as it was at the end, but for its weights. ``say`` hears news."""
        self._say = say
        config = self.config
        with ExitStack() as stack:
            if self.sharded:
                stack.enter_context(attention_of(self.model, self.way))
            else:
                self.way = stack.enter_context(isolate(self.model, self.streams))
            head = LossHead(self.model)
            stack.callback(head.release)
            self._head = head
            arranges = (self.compiled or config.checkpointing) and not self.fused
            blocks = blocks_of(self.model) if arranges else []
            if config.float8:
                stack.enter_context(in_float8(blocks))
            stack.enter_context(arranged(blocks, self.compiled, config.checkpointing))
            if self.compiled:
                # A block's gradients come all at once, so cutting its code up by buckets gains nothing.
                stack.enter_context(torch._dynamo.config.patch(optimize_ddp=False))
            try:
                yield
            finally:
                if not self.streams and not self.sharded:
                    self.accelerator.unwrap_model(self._wrapped, keep_fp32_wrapper=False)

    def whole(self) -> tuple[PreTrainedModel, torch.optim.Optimizer] | None:
        """Return the model and its optimizer in one piece on the main process, None on the others, which ask too.

        What is cut up is copied to the host, and is what the same training would hold where it is not.
        """
        main = self.accelerator.is_main_process
        if not self.sharded:
            return (self.model, self.adamw) if main else None
        twin, optimizer = self._twins() if main else (None, None)
        distributed.let_go(self._wrapped)
        distributed.gather_weights(self.model, twin)
        distributed.gather_state(self.model, self.adamw, twin, optimizer)
        return (twin, optimizer) if twin and optimizer else None

    def whole_model(self) -> PreTrainedModel | None:
        """Return the model alone likewise, on the main process' device."""
        if not self.sharded:
            return self.model if self.accelerator.is_main_process else None
        twin = self._twin() if self.accelerator.is_main_process else None
        distributed.let_go(self._wrapped)
        distributed.gather_weights(self.model, twin)
        return twin and twin.to(self.accelerator.device)

    def restore(self, folder: Path) -> dict[str, Any]:
        """Go on from a checkpoint that is known to be whole, however many processes wrote it; return its state.

        Raises ValueError where it is damaged or belongs to another model, and under DeepSpeed, whose optimizer is
        in no checkpoint.
        """
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            raise ValueError("a run under DeepSpeed cannot be resumed: use training.sharding full, which can")
        if not self.sharded:
            return checkpoints.load(folder, self.model, self.adamw, verified=True)
        twin, optimizer = self._twins() if self.accelerator.is_main_process else (None, None)
        state = checkpoints.load(folder, twin, optimizer, verified=True) if twin and optimizer else {}
        distributed.deal_out(self.model, self.adamw, twin, optimizer)
        found: dict[str, Any] = distributed.tell(state)
        return found

    def _twin(self) -> PreTrainedModel:
        twin = distributed.blank_like(self.model)
        if self.streams:
            _to_bf16(twin, _HOST)
        return twin

    def _twins(self) -> tuple[PreTrainedModel, torch.optim.Optimizer]:
        twin = self._twin()
        return twin, self._paged(twin, _HOST) if self.streams else self._plain(twin)

    def train(self) -> None:
        """Put the model into training mode."""
        self._wrapped.train()

    def eval(self) -> None:
        """Put the model into evaluation mode."""
        self._wrapped.eval()

    def plainly(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that runs the model uncompiled, as what writes text must: its shapes keep changing."""

        def run(*given: Any) -> Any:
            with torch.compiler.set_stance("force_eager") if self.compiled else nullcontext():
                return function(*given)

        return run

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next update."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def learn(self, packed: Packed, rows: Rows, bearing: int, seed: int) -> tuple[Tensor, Tensor]:
        """Make the gradient of this process' rows; return their loss over ``bearing`` and the norm, clipped.

        ``bearing`` counts the tokens that bear loss in the rows of all processes. Out of memory, one process
        goes on with half as many rows at once: the rows of the update stay the same. Raises ValueError where
        that does not help.
        """
        while True:
            torch.manual_seed(seed)
            try:
                total = self._gradient(packed, rows, bearing)
                break
            except torch.OutOfMemoryError as error:
                if self.micro == 1 or self.accelerator.num_processes > 1:
                    raise ValueError(self._full()) from error
            self._halve()
        return total, self._clipped()

    def step(self) -> None:
        """Change the weights by the gradient, and forget it."""
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self.body is not None:
            self.body.turn()

    def prefetch(self, packed: Packed, rows: Rows) -> None:
        """Bring the batches of the next update onto the GPU while it still computes this one's."""
        if self.streams and self.accelerator.device.type == "cuda":
            self._ahead = {_key(packed, piece): self._batch(packed, piece) for piece in self._pieces(rows)}

    def loss(self, packed: Packed, rows: Rows) -> Tensor:
        """Return the loss of rows in nats, added up over their tokens that bear loss."""
        total = torch.zeros((), device=self.accelerator.device)
        for piece in self._pieces(rows):
            total = total + self._summed_loss(packed, piece)
        return total

    def _gradient(self, packed: Packed, rows: Rows, bearing: int) -> Tensor:
        total = torch.zeros((), device=self.accelerator.device)
        pieces = self._pieces(rows)
        for number, piece in enumerate(pieces):
            waits = number + 1 < len(pieces)
            with self.accelerator.no_sync(self._wrapped) if waits else nullcontext():
                loss = self._summed_loss(packed, piece) / bearing
                # Several processes average their gradients, which here must be added.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            total += loss.detach()
        return total

    def _summed_loss(self, packed: Packed, rows: Rows) -> Tensor:
        ready = self._ahead.pop(_key(packed, rows), None)
        batch = self._batch(packed, rows) if ready is None else ready
        if self.streams:
            loss: Tensor = self._wrapped(batch)
            return loss
        with self._head.only_at(batch.places):
            logits = self._wrapped(**batch.inputs).logits
        return F.cross_entropy(logits.float(), batch.targets, reduction="sum")

    def _batch(self, packed: Packed, rows: Rows) -> Batch:
        device = self.accelerator.device
        if self.streams:
            return collate_stream(packed, rows, device, self.micro, self.limits)
        return collate(packed, rows, device, self.model.dtype, self.way)

    def _pieces(self, rows: Rows) -> list[Rows]:
        return [rows[start : start + self.micro] for start in range(0, len(rows), self.micro)]

    def _clipped(self) -> Tensor:
        if isinstance(self.adamw, PagedAdamW):
            return self.adamw.clip(self.config.clip)
        if self.sharded:
            long = torch.nn.utils.clip_grad_norm_(self._wrapped.parameters(), self.config.clip)
            assert isinstance(long, DTensor)
            return long.full_tensor()
        norm: Tensor = self.accelerator.clip_grad_norm_(self._wrapped.parameters(), self.config.clip)
        return norm

    def _halve(self) -> None:
        """Take half as many rows at once from here on, with what half an update left behind thrown away."""
        self._ahead = {}
        self.model.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        before, self.micro = self.micro, -(-self.micro // 2)
        self._say(f"out of memory with {before} sequences at once: going on with {self.micro}, the same an update")

    def _full(self) -> str:
        if self.micro == 1:
            return (
                "out of memory with one sequence at once: set training.checkpointing, training.optimizer lean or "
                "an adapter, or lower training.context"
            )
        return f"out of memory with {self.micro} sequences at once: halve training.batch_size"


def _key(packed: Packed, rows: Rows) -> tuple[int, bytes]:
    return id(packed), rows.tobytes()


def _to_bf16(model: PreTrainedModel, device: torch.device) -> None:
    """Move a model to a device, its parameters as bf16; buffers, such as rotary angles, keep their type."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(device, torch.bfloat16)
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = buffer.to(device)
