"""Will it fit, and how long: memory and time of a training, reckoned before anything is downloaded or allocated.

Memory is the most that torch has allocated at once, by part. An update has two peaks: where the backward pass
begins, and where it ends and the weights are changed; the larger counts. The CUDA context stands beside it.
``benchmarks/memory_gpu.py`` puts it to the test.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aritmo.cards import Card
from aritmo.shapes import WORTH_COMPILING, Shape

GIB = 2**30

_CONTEXT = 0.6 * GIB
"""What CUDA itself takes of a card (its context and the kernels loaded), outside torch's account."""
_SPARE = 0.03
"""Share of a card left free, for the holes between torch's blocks."""
_WORKSPACE, _WORKSPACE_BESIDE, _CPU_WORKSPACE = 272 * 2**20, 156 * 2**20, 64 * 2**20
"""Scratch room of the library that multiplies matrices, and small buffers: on a GPU (measured, for gpt2), there
with an adapter, and on a CPU."""
_CHUNK = 2048
"""Places whose logits exist at once in the loss head of bf16 training (``aritmo.losses``)."""
_PAGE = 2**24
"""Parameters that the optimizer changes at once in bf16 training (``aritmo.pages``)."""
_PROCESS = 2.5 * GIB
"""Host memory of a process with torch and CUDA, before any model."""
_CPU_PROCESS = 0.6 * GIB
"""The same without CUDA."""
_FILLED = 0.99
"""Share of packed sequences that examples fill."""

FUSED_MFU, FLOAT8_MFU = 0.577, 0.728
"""Share of a card's bf16 peak that a GPT-2 reaches by its own kernels, and in float8: GPT-2 XL on an H100, 55.5 k
and 70.1 k tokens/s (measured)."""
COMPILED_MFU = 0.51
"""What compiled bf16 training reaches otherwise: GPT-2 XL on an H100, 49.8 k tokens/s (measured)."""
EAGER_MFU = 0.20
"""The same without compilation: 19.7 k tokens/s (measured)."""
CORE_FLOPS = 60e9
"""FLOP/s that fp32 training reaches on one core (x86-64 with AVX-512, tiny and gpt2: 56 to 68e9, measured)."""


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to train: bytes a parameter, and what the forward pass keeps.

    ``base`` counts the bytes of a weight of a block's matrices, ``rest`` those of every other parameter; of each
    parameter that is trained, ``master`` those of its fp32 weight where the forward pass reads another,
    ``gradients`` and ``moments``. With ``rank`` an adapter's are trained, and the model's own stand still.
    ``element`` is the bytes of what flows between; with ``eight`` products are in 8 bits. ``opened`` are the bytes
    that a parameter takes in the host's memory while the model is opened. ``settings`` choose the mode in ``aritmo
    train``.
    """

    name: str
    base: float
    rest: float
    master: float
    gradients: float
    moments: float
    opened: float = 4
    element: int = 2
    rank: int = 0
    checkpointing: bool = False
    compiled: bool = True
    eight: bool = False
    settings: tuple[str, ...] = ()

    def trained(self, shape: Shape) -> int:
        """Return how many parameters are trained."""
        return shape.adapter(self.rank) if self.rank else shape.parameters

    def weights(self, shape: Shape) -> float:
        """Return the bytes of the weights that the forward pass reads, an adapter's included."""
        matrices = shape.layers * shape.block
        own = self.base * matrices + self.rest * (shape.parameters - matrices)
        return own + (self.rest * shape.adapter(self.rank) if self.rank else 0)

    @property
    def work(self) -> float:
        """The work of a token over that of plain full training.

        That is 1 forward, 1 back to the activations and 1 to the weights, which an adapter's base is spared;
        checkpointing goes forward twice.
        """
        return (2 + (not self.rank) + self.checkpointing) / 3


_BF16 = "training.precision=bf16"
_AGAIN = "training.checkpointing=true"
_LEAN = "training.optimizer=lean"
_LORA = (_BF16, _AGAIN, "training.adapter=lora")

GPU_MODES = (
    Mode("full", 2, 2, 4, 2, 8, settings=(_BF16,)),
    Mode("full, float8", 2, 2, 4, 2, 8, eight=True, settings=(_BF16, "training.float8=true")),
    Mode("full, checkpointing", 2, 2, 4, 2, 8, checkpointing=True, settings=(_BF16, _AGAIN)),
    # Moments of 8 bits, in blocks of 256 with an fp32 scale each.
    Mode("lean", 2, 2, 0, 2, 2.03, settings=(_BF16, _LEAN)),
    Mode("lean, checkpointing", 2, 2, 0, 2, 2.03, checkpointing=True, settings=(_BF16, _LEAN, _AGAIN)),
    Mode(
        "LoRA", 2, 2, 4, 2, 8, opened=2, rank=16, checkpointing=True, compiled=False,
        settings=(*_LORA, "training.base_bits=16"),
    ),
    Mode(
        "LoRA, 8-bit base", 1, 2, 4, 2, 8, opened=2, rank=16, checkpointing=True, compiled=False,
        settings=(*_LORA, "training.base_bits=8"),
    ),
    # Four bits, and a scale of 8 bits for every 64 weights (Dettmers et al. 2023, arXiv 2305.14314).
    Mode(
        "LoRA, 4-bit base", 0.516, 2, 4, 2, 8, opened=2, rank=16, checkpointing=True, compiled=False,
        settings=(*_LORA, "training.base_bits=4"),
    ),
)  # fmt: skip
"""The ways to train on a GPU, the plainest first."""

CPU_MODE = Mode("full, fp32", 4, 4, 0, 4, 8, element=4, compiled=False)
"""The way to train on a CPU."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: ``steps`` updates of ``batch`` sequences of ``context`` tokens.

    ``sequences`` is how many the data makes, None where nothing is known of the data.
    """

    steps: int
    batch: int
    context: int
    sequences: int | None = None

    @property
    def tokens(self) -> int:
        return self.steps * self.batch * self.context

    @property
    def epochs(self) -> float | None:
        return self.steps * self.batch / self.sequences if self.sequences else None


@dataclass(frozen=True, slots=True)
class Device:
    """Where training runs: ``memory`` in bytes, the peak in FLOP/s or None where it is not known; ``eight`` says
    that it multiplies 8-bit numbers.
    """

    name: str
    memory: float
    peak: float | None
    gpu: bool = True
    eight: bool = False

    @classmethod
    def of_card(cls, card: Card | None, gib: float | None = None) -> "Device":
        """Return a GPU of a known kind, of a memory in GiB, or both."""
        memory = gib if gib is not None else card.memory if card else 0.0
        name = card.name if card else f"a GPU of {memory:g} GiB"
        peak = card.teraflops * 1e12 if card else None
        return cls(name, memory * GIB, peak, eight=card is not None and card.fp8)


@dataclass(frozen=True, slots=True)
class Fit:
    """One mode on one device: bytes by part at the peak, of the training and in the host's memory beside it.

    ``micro`` sequences are taken at once, ``accumulation`` times an update. ``tokens_per_second`` and
    ``seconds`` are None where the device's speed is not known.
    """

    mode: Mode
    device: Device
    micro: int
    accumulation: int
    parts: dict[str, float]
    host: dict[str, float]
    tokens_per_second: float | None
    seconds: float | None

    @property
    def peak(self) -> float:
        """The most bytes that torch allocates at once."""
        return sum(self.parts.values())

    @property
    def needed(self) -> float:
        """The bytes that the device must have in all."""
        if not self.device.gpu:
            return self.peak + sum(self.host.values())
        return (self.peak + _CONTEXT) / (1 - _SPARE)

    @property
    def fits(self) -> bool:
        return self.needed <= self.device.memory


def sequences_of(examples: int, tokens_per_example: float, context: int) -> int:
    """Return how many packed sequences so many examples make, about."""
    return max(1, round(examples * tokens_per_example / context / _FILLED))


def kept_per_token(shape: Shape, compiled: bool, element: int = 2, eight: bool = False) -> float:
    """Return the bytes that one block keeps of a token for the backward pass.

    Compiled: the block's input, queries, keys, values, what attention wrote, the sum behind it (a GPT-J has
    none: both its branches read one norm), what goes into the activation, and what the norms and the activation
    wrote, which products read. Without compilation also each step that transformers takes in between:
    three of its tanh-GELU, one of a gated SiLU, one of an RMS norm and its input in fp32. Besides, in fp32, mean
    and scale of each norm and one number a head; and for every element of the two streams that dropout may
    drop a byte, on a CPU a number. In 8 bits what products read is half as large, and what attention wrote is
    kept besides.
    """
    width, attended = shape.width, shape.heads * shape.head_size
    norms, gated = (1 if shape.kind == "gptj" else 2), shape.kind == "llama"
    elements = norms * width + attended + 2 * shape.key_heads * shape.head_size + attended
    elements += shape.inner * (3 if gated else 2) + norms * width
    if not compiled:
        elements += norms * width * (2 * (4 // element) - 1 if gated else 0) + shape.inner * (1 if gated else 3)
    if eight:
        elements += (attended - norms * width - shape.inner) // 2
    drops = 2 * width * (1 if element == 2 else element) if shape.dropout else 0
    return element * elements + 4 * (2 * norms + shape.heads) + drops


def parts_at_peak(shape: Shape, mode: Mode, micro: int, context: int, accumulates: bool) -> dict[str, float]:
    """Return the bytes of each part at the peak of an update that takes ``micro`` sequences at once."""
    if mode.eight:
        # The first update is in bf16 throughout; later ones hold each matrix in 8 bits besides, both ways.
        first = parts_at_peak(shape, replace(mode, eight=False), micro, context, accumulates)
        later = _parts(shape, mode, micro, context, accumulates)
        later["weights"] += 2.0 * shape.layers * shape.block
        return max(first, later, key=lambda parts: sum(parts.values()))
    return _parts(shape, mode, micro, context, accumulates)


def _parts(shape: Shape, mode: Mode, micro: int, context: int, accumulates: bool) -> dict[str, float]:
    trained, tokens, gradients = mode.trained(shape), micro * context, mode.gradients * mode.trained(shape)
    fused = mode.compiled or _fused(shape, mode)
    one = float(tokens * kept_per_token(shape, fused, mode.element, mode.eight))
    between, inner = float(mode.element * tokens * shape.width), float(mode.element * tokens * shape.inner)
    # When the gradients of a block's inside are there, what its last product read is gone.
    block, at_work = one - inner, 2 * between + 2 * inner
    head = _head_bytes(shape, mode, tokens)
    kept = (between if mode.checkpointing else one) * shape.layers
    if mode.base == 1:
        kept += tokens * shape.layers * _held_per_token(shape)
    # The head's turn: the stream around the last norm, what of it bears loss, and the gradient of that. After it
    # the last block's.
    begins = {"activations": kept, "loss head": 4 * between + head}
    if (live := 2 * between + at_work + (block if mode.checkpointing else 0.0)) > begins["loss head"]:
        begins = {"activations": kept + live, "loss head": 0.0}
    first = gradients if accumulates else 0.0 if mode.rank else mode.gradients * shape.embedding
    last = 2 * between + max(block + at_work, 0.0 if mode.rank else mode.element * shape.embedding)
    step = min(_PAGE, trained) * (6.0 if mode.compiled else 40.0)
    begins = {"gradients": first, **begins}
    ends = {"gradients": gradients, "activations": max(last, step), "loss head": 0.0}
    on_gpu = float(_WORKSPACE_BESIDE if mode.rank else _WORKSPACE)
    return {
        "weights": mode.weights(shape),
        "master weights": mode.master * trained,
        "moments": mode.moments * trained,
        **max(begins, ends, key=lambda parts: sum(parts.values())),
        "workspace": on_gpu if mode.element == 2 else float(_CPU_WORKSPACE),
    }


def _fused(shape: Shape, mode: Mode) -> bool:
    """Return whether training is by kernels of our own (``aritmo.fused_gpt2``)."""
    return shape.kind == "gpt2" and not shape.dropout and not mode.rank and mode.element == 2


def _held_per_token(shape: Shape) -> float:
    """Return the bytes of a token that the 8-bit products of a block hold on to.

    bitsandbytes keeps their inputs, in bf16, where checkpointing does not find them and so cannot let them go.
    """
    norms = 1 if shape.kind == "gptj" else 2
    return 2.0 * (norms * shape.width + shape.heads * shape.head_size + shape.inner)


def _head_bytes(shape: Shape, mode: Mode, tokens: int) -> float:
    """Return the bytes that the head takes for a moment: its matrix filled up, and logits with their gradient.

    In bf16 a chunk at a time, the gradient in the place of the logits; on a CPU all at once.
    """
    if mode.element == 4:
        return 12.0 * tokens * shape.vocabulary
    return 2.0 * shape.embedding + min(_CHUNK, tokens) * shape.vocabulary * 2.0


def host_parts(shape: Shape, mode: Mode, gpu: bool) -> dict[str, float]:
    """Return the bytes of each part in the host's memory beside the training, at their peak.

    With a GPU that is while the model is opened, or while a checkpoint takes a copy of the optimizer's state.
    """
    if not gpu:
        return {"process": _CPU_PROCESS}
    copied = max(mode.opened * shape.parameters, (mode.master + mode.moments) * mode.trained(shape))
    return {"process": _PROCESS, "opening or saving": copied}


def fit(shape: Shape, mode: Mode, work: Work, device: Device) -> Fit:
    """Return how a mode does on a device: with the largest micro-batch that fits, else with 1."""
    if work.tokens * shape.flops(work.context) < WORTH_COMPILING:
        mode = replace(mode, compiled=False)
    speed = None
    if device.peak is not None:
        speed = _share(shape, mode, device) * device.peak / (shape.flops(work.context) * mode.work)
    sizes = [size for size in range(work.batch, 0, -1) if work.batch % size == 0]
    for micro in sizes:
        found = Fit(
            mode,
            device,
            micro,
            work.batch // micro,
            parts_at_peak(shape, mode, micro, work.context, micro < work.batch),
            host_parts(shape, mode, device.gpu),
            speed,
            work.tokens / speed if speed else None,
        )
        if found.fits:
            break
    return found


def _share(shape: Shape, mode: Mode, device: Device) -> float:
    """Return the share of its peak that a device reaches."""
    if not device.gpu:
        return 1.0
    if _fused(shape, mode):
        return FLOAT8_MFU if mode.eight else FUSED_MFU
    return COMPILED_MFU if mode.compiled else EAGER_MFU


def plan(shape: Shape, work: Work, device: Device, rank: int = 16) -> list[Fit]:
    """Return every way to train on a device, the plainest first; ``rank`` is that of adapters.

    Raises ValueError where the model does not take sequences that long.
    """
    if work.context > shape.positions:
        raise ValueError(
            f"the model takes {shape.positions:,} tokens at once, not {work.context:,}; lower training.context"
        )
    able = [mode for mode in GPU_MODES if not mode.eight or (device.eight and _fused(shape, mode))]
    modes = [replace(mode, rank=rank) if mode.rank else mode for mode in able] if device.gpu else [CPU_MODE]
    return [fit(shape, mode, work, device) for mode in modes]


def best_of(fits: Sequence[Fit]) -> Fit | None:
    """Return the fastest that fits, the plainer of equals; of unknown speed the plainest; None where none fits.

    Adapters come last, since they learn less; 8 bits are for whom asks for them.
    """
    fitting = [one for one in fits if one.fits and not one.mode.eight]
    whole = [one for one in fitting if not one.mode.rank] or fitting
    return min(whole, key=lambda one: one.mode.work, default=None)


def advice(fits: Sequence[Fit]) -> str:
    """Return in one sentence which way to take, or what would have to change."""
    best = best_of(fits)
    if best is None:
        least = min(fits, key=lambda one: one.needed)
        return (
            f"does not fit: «{least.mode.name}», which takes least, takes {least.needed / GIB:.1f} GiB of the "
            f"{least.device.memory / GIB:.1f} there are: take a larger card, a smaller model or a shorter context"
        )
    options = [f"--set {setting}" for setting in best.mode.settings]
    if best.accumulation > 1:
        options += [f"--batch-size {best.micro}", f"--set training.gradient_accumulation={best.accumulation}"]
    return f"fits: «{best.mode.name}»" + (f", with {' '.join(options)}" if options else "")
