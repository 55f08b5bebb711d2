"""AdamW for weights in bf16, its state in fp32, worked off page by page.

The forward pass and the backward pass read and write bf16 alone, so nothing is cast there; a copy of the weights
in fp32, the master, gathers the small changes that bf16 would round away (Micikevicius et al. 2018, arXiv
1710.03740). The state of all parameters lies in one piece, which pages of equal size cut up: one compiled kernel
does a page, whatever parameters fall on it, and what it needs besides is a page of gradients.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Module, Parameter

BLOCK = 256
"""Elements that a parameter's place is filled up to a multiple of."""

PAGE = 2**24
"""Elements of a page at most: its gradients and weights, 64 MiB in bf16, stay near the cores."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A part of the state: its type, and one number for so many elements."""

    dtype: torch.dtype
    elements: int = 1


@dataclass(frozen=True, slots=True)
class Piece:
    """Elements ``start`` to ``stop`` of a parameter, flat, which stand from ``at`` on in a page."""

    parameter: Parameter
    start: int
    stop: int
    at: int


@dataclass(frozen=True, slots=True)
class Book:
    """The pages of a group of parameters. ``state`` holds (pages, page) numbers of each kind."""

    pages: list[list[Piece]]
    size: int
    state: dict[str, Tensor]


class PagedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) over parameters of one type, usually bf16.

    ``state`` shows each parameter's part of the pages in the shape of the parameter, so checkpoints are written
    and read by name; they must be changed in place. ``clip`` comes before ``step``. A parameter without a
    gradient counts as one whose gradient is 0. ``compiled`` compiles the kernel, which changes no arithmetic;
    a rule that rounds at random draws from ``seed``.
    """

    kinds: ClassVar[dict[str, Kind]] = {
        "master": Kind(torch.float32),
        "exp_avg": Kind(torch.float32),
        "exp_avg_sq": Kind(torch.float32),
    }

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        device: torch.device,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        compiled: bool = False,
        page: int = PAGE,
        seed: int = 0,
    ) -> None:
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0, "betas": betas, "eps": eps})
        self._device, self.seed, self._scale = device, seed, torch.ones((), device=device)
        rule = type(self).rule
        self._rule: Callable[..., Tensor] = torch.compile(rule, dynamic=False) if compiled else rule
        self._books = [self._bound(group["params"], page) for group in self.param_groups]
        self._steps = torch.zeros(sum(len(group["params"]) for group in self.param_groups))
        for index, parameter in enumerate(self._parameters()):
            self.state[parameter]["step"] = self._steps[index]
        if "master" in self.kinds:
            for parameter in self._parameters():
                self.state[parameter]["master"].copy_(parameter.detach())

    @staticmethod
    def rule(
        dials: Tensor, seed: Tensor, weight: Tensor, gradient: Tensor, master: Tensor, mean: Tensor, square: Tensor
    ) -> Tensor:
        """Change a page of master weights and moments in place and return the weights, in the gradients' type.

        ``dials`` are rate, decay, the two betas, their corrections, eps, and what gradients are multiplied by.
        """
        rate, decay, beta1, beta2, fix1, fix2, eps, scale = dials.unbind()
        g = gradient.float() * scale
        new_mean = mean + (1 - beta1) * (g - mean)
        new_square = beta2 * square + (1 - beta2) * g * g
        new = master * (1 - rate * decay) - rate * (new_mean / fix1) / ((new_square / fix2).sqrt() + eps)
        mean.copy_(new_mean)
        square.copy_(new_square)
        master.copy_(new)
        return new.to(weight.dtype)

    @torch.no_grad()
    def clip(self, most: float) -> Tensor:
        """Note by what gradients are to be multiplied so that their norm is at most ``most``; return the norm."""
        gradients = [p.grad for p in self._parameters() if p.grad is not None]
        norms = torch._foreach_norm(gradients, 2, torch.float32)
        norm = torch.stack(norms).norm() if norms else torch.zeros((), device=self._device)
        self._scale = (most / (norm + 1e-6)).clamp(max=1.0)
        return norm

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter by its gradient."""
        assert closure is None
        self._steps += 1
        done = int(self._steps[0])
        for number, (group, book) in enumerate(zip(self.param_groups, self._books, strict=True)):
            weights, gradients = self._buffers(book)
            (beta1, beta2), eps = group["betas"], group["eps"]
            plain = [group["lr"], group["weight_decay"], beta1, beta2, 1 - beta1**done, 1 - beta2**done, eps]
            dials = torch.cat((self._moved(torch.tensor(plain)), self._scale.view(1)))
            seeds = [self._seed(done, number, index) for index in range(len(book.pages))]
            drawn = self._moved(torch.tensor(seeds, dtype=torch.int32))
            for index, pieces in enumerate(book.pages):
                _gather(gradients, pieces, [p.parameter.grad for p in pieces])
                if "master" not in self.kinds:
                    _gather(weights, pieces, [p.parameter for p in pieces])
                state = (book.state[kind][index] for kind in self.kinds)
                _scatter(self._rule(dials, drawn[index], weights, gradients, *state), pieces)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave, or what a checkpoint holds, each part in its own type."""
        for index, parameter in enumerate(self._parameters()):
            for name, tensor in state_dict["state"].get(index, {}).items():
                self.state[parameter][name].copy_(tensor)

    def _parameters(self) -> Iterable[Parameter]:
        return (parameter for group in self.param_groups for parameter in group["params"])

    def _seed(self, step: int, group: int, page: int) -> int:
        """Return what a page's randomness follows from; this rule has none."""
        return 0

    def _moved(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device without waiting for what the device still computes."""
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else tensor

    def _buffers(self, book: Book) -> tuple[Tensor, Tensor]:
        """Return room for a page of weights and of gradients."""
        dtype = book.pages[0][0].parameter.dtype
        weights = torch.zeros(book.size, dtype=dtype, device=self._device)
        return weights, torch.zeros_like(weights)

    def _bound(self, parameters: list[Parameter], most: int) -> Book:
        """Lay parameters on pages, the fewest and smallest that hold them, and make their state."""
        places, total = [], 0
        for parameter in parameters:
            places.append(total)
            total += _rounded(parameter.numel())
        count = -(-total // most)
        size = _rounded(-(-total // count))
        pages: list[list[Piece]] = [[] for _ in range(count)]
        for parameter, place in zip(parameters, places, strict=True):
            assert parameter.is_contiguous()
            for page in range(place // size, (place + parameter.numel() - 1) // size + 1):
                start, stop = max(page * size - place, 0), min((page + 1) * size - place, parameter.numel())
                pages[page].append(Piece(parameter, start, stop, place + start - page * size))
        state = {
            name: torch.zeros(count, size // kind.elements, dtype=kind.dtype, device=self._device)
            for name, kind in self.kinds.items()
        }
        for parameter, place in zip(parameters, places, strict=True):
            for name, kind in self.kinds.items():
                begin, length = place // kind.elements, -(-parameter.numel() // kind.elements)
                flat = state[name].view(-1)[begin : begin + length]
                self.state[parameter][name] = flat.view(parameter.shape) if kind.elements == 1 else flat
        return Book(pages, size, state)


def _rounded(count: int) -> int:
    return -(-count // BLOCK) * BLOCK


def _gather(page: Tensor, pieces: list[Piece], sources: list[Tensor | None]) -> None:
    """Lay pieces of tensors on a page; 0 stands where there is none."""
    given = [(piece, source) for piece, source in zip(pieces, sources, strict=True) if source is not None]
    if len(given) < len(pieces) or sum(p.stop - p.start for p in pieces) < len(page):
        page.zero_()
    if given:
        torch._foreach_copy_(
            [page[p.at : p.at + p.stop - p.start] for p, _ in given],
            [source.reshape(-1)[p.start : p.stop] for p, source in given],
        )


def _scatter(page: Tensor, pieces: list[Piece]) -> None:
    """Write a page of weights to the parameters that stand on it."""
    torch._foreach_copy_(
        [p.parameter.view(-1)[p.start : p.stop] for p in pieces],
        [page[p.at : p.at + p.stop - p.start] for p in pieces],
    )


def groups_of(model: Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the parameters in two groups: matrices decay, biases and the scales of norms do not."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
