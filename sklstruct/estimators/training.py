"""The training of a network: data in batches, loss, optimiser, schedule, device and threads."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from torch import Tensor, nn

from .rows import Rows, in_turn

_INITIALISATION = threading.RLock()


@dataclass(frozen=True)
class Samples(torch.utils.data.Dataset[Any]):
    """Samples, targets and weights of equal length, and how samples become a tensor.

    Parameters
    ----------
    x : Rows, shape (n, channels, *spatial)
    y : Tensor, shape (n,) of class numbers or (n, n_outputs) of values
    weight : Tensor, shape (n,)
        With mean one.
    prepare : callable
        Maps an array of samples to a tensor with memory of its own.
    """

    x: Rows
    y: Tensor
    weight: Tensor
    prepare: Callable[[NDArray[Any]], Tensor]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Any) -> Any:
        return self.prepare(self.x[index]), (self.y[index], self.weight[index])

    def take(self, index: NDArray[np.intp]) -> Samples:
        """Return some of the samples."""
        x, y, weight = self.x.take(index), self.y[index], self.weight[index]
        return replace(self, x=x, y=y, weight=weight)

    def batches(self, indices: Iterable[NDArray[np.intp]]) -> Iterator[Any]:
        """Yield the samples of every array of indices."""
        return in_turn(self.__getitem__, indices, self.x)


class Batches:
    """Iterate over samples in batches of (nearly) equal size.

    Whole batches are taken at once, which is twice as fast as collecting single samples; and no
    batch is much smaller than another, which batch norm would not like.

    Parameters
    ----------
    dataset : Samples
    batch_size : int
        Largest size of a batch.
    generator : torch.Generator, default=None
        Shuffles the samples and drives the augmentation; if None, they come in order.
    augment : callable, default=None
        Maps (batch, generator) to a batch.
    device : str, default="cpu"
        Where batches are wanted.
    """

    def __init__(
        self,
        dataset: Samples,
        batch_size: int,
        generator: torch.Generator | None = None,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        self.dataset, self.generator, self.augment = dataset, generator, augment
        self.device = device
        self.n_batches = -(-len(dataset) // min(batch_size, len(dataset)))

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        order = torch.arange(n)
        if self.generator is not None:
            order = torch.randperm(n, generator=self.generator)
        for x, targets in self.dataset.batches(np.array_split(order.numpy(), self.n_batches)):
            x = x.to(self.device)
            if self.augment is not None and self.generator is not None:
                x = self.augment(x, self.generator)
            yield x, targets


class TrainingEnded(Exception):
    """Raised where a callback ends a training before its time."""


class Net(NeuralNet):
    """A skorch net with a weighted loss, and with interruptions that interrupt.

    Callbacks of skorch end a training by raising KeyboardInterrupt; skorch therefore takes
    Ctrl-C for such an end too, and would pass off half a training as a whole one.
    """

    def partial_fit(self, X: Any, y: Any = None, epochs: int = 1) -> Net:
        """Train for some epochs, or until a callback ends it."""
        self.notify("on_train_begin", X=X, y=y)
        with suppress(TrainingEnded):
            self.fit_loop(X, y, epochs=epochs)
        self.notify("on_train_end", X=X, y=y)
        return self

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call a method of every callback."""
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as end:
            line = traceback.extract_tb(end.__traceback__)[-1].line or ""
            if not line.startswith("raise"):
                raise  # a signal that came while a callback was running
            raise TrainingEnded from end

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "module": None}  # it is module_, once is enough

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.module = self.module_

    def get_loss(self, y_pred: Tensor, y_true: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Return the mean of weight times loss; weights have mean one over all samples."""
        y, weight = (part.to(y_pred.device) for part in y_true)
        loss = self.criterion_(y_pred, y)
        if loss.ndim > 1:
            loss = loss.mean(dim=1)
        return (loss * weight).mean()


def make_optimizer(groups: Any, *, name: str, weight_decay: float, **params: Any) -> Any:
    """Return an optimiser that decays weights, but neither biases nor norms.

    Parameters
    ----------
    groups : list of dict
        As skorch passes the parameters of a module.
    name : {"adamw", "adam", "sgd", "adadelta"}
    weight_decay : float
    **params
        Learning rate ``lr`` and whatever else the optimiser takes.
    """
    parameters = [parameter for group in groups for parameter in group["params"]]
    parts = [
        {"params": [p for p in parameters if p.ndim > 1], "decays": True},
        {"params": [p for p in parameters if p.ndim <= 1], "decays": False},
    ]
    make, defaults = OPTIMIZERS[name]
    optimizer = make([part for part in parts if part["params"]], **{**defaults, **params})
    set_rates(optimizer, params["lr"], weight_decay)
    return optimizer


def set_rates(optimizer: Any, lr: float, weight_decay: float) -> None:
    """Set the rates of an optimiser, also those that a schedule has left at other values."""
    for group in optimizer.param_groups:
        group["lr"] = lr
        group["weight_decay"] = weight_decay if group["decays"] else 0.0
        for name in ("betas", "momentum"):
            if name in group:
                group[name] = optimizer.defaults[name]


OPTIMIZERS: dict[str, Any] = {
    "adamw": (torch.optim.AdamW, {"fused": True}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adadelta": (torch.optim.Adadelta, {"rho": 0.95, "eps": 1e-6}),
}


SCHEDULES = ("one-cycle", "cosine", "linear", "constant")


def make_schedule(name: str, optimizer: Any, lr: float, n_steps: int) -> tuple[Any, dict[str, Any]]:
    """Return a torch scheduler class and its parameters for so many steps.

    Parameters
    ----------
    name : {"one-cycle", "cosine", "linear"}
        Up and down again, down as half a cosine, or straight down to zero.
    optimizer : torch.optim.Optimizer
    lr : float
        The highest learning rate.
    n_steps : int
    """
    schedulers = torch.optim.lr_scheduler
    if name == "one-cycle":
        momentum = any(key in optimizer.defaults for key in ("momentum", "betas"))
        # The scheduler is asked once more after the last step, for a rate that is not used.
        params = {"max_lr": lr, "total_steps": n_steps + 1, "cycle_momentum": momentum}
        return schedulers.OneCycleLR, params
    if name == "cosine":
        return schedulers.CosineAnnealingLR, {"T_max": n_steps}
    params = {"start_factor": 1.0, "end_factor": 0.0, "total_iters": n_steps}
    return schedulers.LinearLR, params


def resolve_device(device: str) -> str:
    """Return the torch device for a name; "auto" is CUDA, then MPS, then the CPU.

    The environment variable ``SKLSTRUCT_DEVICE`` decides in place of "auto".

    Raises
    ------
    ValueError
        If torch does not know the device, or this machine does not have it.
    """
    if device == "auto":
        device = os.environ.get("SKLSTRUCT_DEVICE") or best_device()
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={device!r} cannot be used here: {reason}") from error
    return device


def best_device() -> str:
    """Return "cuda", "mps" or "cpu", the first that this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def seeded_initialisation(seed: int) -> Iterator[None]:
    """Let torch's global generator, borrowed for a moment, start from a seed.

    Layers draw their first weights from it.  It belongs to the process, so networks that are
    built in threads side by side have to wait for each other here; all later randomness has
    generators of its own.
    """
    generator = torch.default_generator  # networks are built on the CPU
    with _INITIALISATION:
        state = generator.get_state()
        generator.manual_seed(seed)
        try:
            yield
        finally:
            generator.set_state(state)


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Let torch use so many threads for one operation; None leaves it alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def epochs_for(n_samples: int, table: tuple[tuple[int, int], ...]) -> int:
    """Return epochs for a number of samples, interpolated in a table on logarithmic scales."""
    sizes, epochs = np.log(np.array(table)).T
    return int(np.rint(np.exp(np.interp(np.log(n_samples), sizes, epochs))))
