"""Several processes, one a GPU, that torchrun or accelerate started: their places, and a model cut up over them.

Cut up, each process holds its part of every parameter, gradient and moment in fp32, and a block is put together
just before it computes (FSDP2: Zhao et al. 2023, arXiv 2304.11277; ZeRO, Rajbhandari et al. 2020, arXiv
1910.02054). What is gathered or dealt out goes tensor by tensor: only the main process ever holds it all, on the
host.
"""

import copy
import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, TypeVar

import torch
import torch.distributed
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Module
from torch.optim import Optimizer
from transformers import PreTrainedModel

T = TypeVar("T")

WAIT = timedelta(hours=2)
"""How long processes wait for the main one, which alone samples, judges and saves."""

_MOMENTS = ("exp_avg", "exp_avg_sq")


def place() -> PartialState:
    """Return where this process stands among all; alone it is the main one of one."""
    gpu = torch.accelerator.current_accelerator()
    # Started several times without GPUs, accelerate would take each process for the only one.
    cpu = "LOCAL_RANK" in os.environ and (gpu is None or gpu.type == "mps")
    return PartialState(cpu=cpu, timeout=WAIT)


def leave() -> None:
    """Take leave of the other processes, at the very end: alone it does nothing.

    Left to the interpreter's end, a thread of the group may still run and abort the process.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def check_launch(accelerator: Accelerator, accumulation: int) -> None:
    """Raise ValueError where processes were started in a way in which training would go wrong.

    DeepSpeed makes an update at each backward pass, and at stage 3 leaves no process the whole weights to save.
    """
    kind = accelerator.distributed_type
    if kind in (DistributedType.FSDP, DistributedType.MEGATRON_LM):
        raise ValueError(
            f"accelerate was told to use {kind.value.lower()}: launch with --multi_gpu and set "
            "training.sharding full instead"
        )
    if kind != DistributedType.DEEPSPEED:
        return
    if accumulation > 1:
        raise ValueError(
            f"training.gradient_accumulation is {accumulation}, and under DeepSpeed must be 1: raise "
            "training.batch_size, or use training.sharding full"
        )
    if accelerator.state.deepspeed_plugin.zero_stage == 3:
        raise ValueError("DeepSpeed's stage 3 cannot be saved whole: use stage 2, or training.sharding full")


def cut_up(blocks: list[Module], root: Module, half: bool) -> None:
    """Cut the parameters of ``root``, blocks in it first, up over all processes; in place, onto their devices.

    With ``half`` they compute in bf16 and gradients are added in fp32.
    """
    here = place()
    mesh = init_device_mesh(here.device.type, (here.num_processes,))
    policy = (
        MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        if half
        else MixedPrecisionPolicy()
    )
    for module in (*blocks, root):
        fully_shard(module, mesh=mesh, mp_policy=policy)


def let_go(root: Module) -> None:
    """Let a model that is cut up hold its parts alone, without what its last forward pass gathered."""
    for module in root.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def blank_like(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model of the same kind on the host, its buffers copied and its parameters not yet written."""
    with torch.device("meta"):
        twin = type(model)(copy.deepcopy(model.config))
    twin.to_empty(device="cpu")
    twin.tie_weights()
    for name, buffer in model.named_buffers():
        twin.get_buffer(name).copy_(buffer)
    twin.generation_config = copy.deepcopy(model.generation_config)
    twin.name_or_path = model.name_or_path
    return twin.eval()


@torch.no_grad()
def gather_weights(model: PreTrainedModel, twin: PreTrainedModel | None) -> None:
    """Write the weights of a model that is cut up to ``twin``, which the main process gives and no other.

    Every process must take part, and hold its parts alone.
    """
    places = dict(twin.named_parameters()) if twin else {}
    for name, parameter in model.named_parameters():
        assert isinstance(parameter, DTensor)
        whole = parameter.full_tensor()
        if twin:
            places[name].copy_(whole)


@torch.no_grad()
def gather_state(model: PreTrainedModel, optimizer: Optimizer, twin: PreTrainedModel | None, to: Any) -> None:
    """Write the state of the optimizer of a model that is cut up to that of ``twin``, an Optimizer.

    The main process gives both, the others None; every process must take part. Where that optimizer keeps master
    weights, they are the weights themselves, before they were rounded.
    """
    places = dict(twin.named_parameters()) if twin else {}
    for name, parameter in model.named_parameters():
        for kind, tensor in {"master": parameter, **optimizer.state.get(parameter, {})}.items():
            whole = _whole(tensor)
            if twin is None:
                continue
            held = to.state[places[name]]
            if kind in held:
                held[kind].copy_(whole)
            elif kind != "master":
                held[kind] = whole.cpu()


@torch.no_grad()
def deal_out(model: PreTrainedModel, optimizer: Optimizer, twin: PreTrainedModel | None, of: Any) -> None:
    """Do the opposite of both: give every process its parts of a whole model and the state of its optimizer."""
    places = dict(twin.named_parameters()) if twin else {}
    for name, parameter in model.named_parameters():
        held = of.state.get(places[name], {}) if twin else {}
        _deal(parameter, held.get("master", places.get(name)))
        step = torch.zeros((), device=parameter.device)
        if "step" in held:
            step.copy_(held["step"])
        torch.distributed.broadcast(step, 0)
        state: dict[str, Tensor] = {"step": step}
        for kind in _MOMENTS:
            state[kind] = torch.zeros_like(parameter)
            _deal(state[kind], held.get(kind))
        optimizer.state[parameter] = state


def dealt(items: Sequence[T]) -> Sequence[T]:
    """Return this process' share of items: those of each follow on those of the one before it."""
    here = place()
    first, after = (len(items) * (here.process_index + more) // here.num_processes for more in (0, 1))
    return items[first:after]


def gathered(items: Iterable[T]) -> Iterable[T]:
    """Return the items of all processes, in the processes' order; alone, they come as they are made.

    Every process must take part.
    """
    if place().num_processes == 1:
        return items
    parts: list[list[T]] = [[] for _ in range(place().num_processes)]
    torch.distributed.all_gather_object(parts, list(items))
    return chain.from_iterable(parts)


def tell(value: Any) -> Any:
    """Return what the main process gives; the others give anything. Every process must take part."""
    told = [value]
    if place().num_processes > 1:
        torch.distributed.broadcast_object_list(told, 0)
    return told[0]


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _deal(to: Tensor, whole: Tensor | None) -> None:
    """Write its parts of a tensor of the main process, 0 where it is None, to each process' part of ``to``."""
    assert isinstance(to, DTensor)
    full = torch.zeros(to.shape, dtype=to.dtype, device=to.device)
    if whole is not None:
        full.copy_(whole)
    to.to_local().copy_(distribute_tensor(full, to.device_mesh, to.placements).to_local())
