"""How a network is trained, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

OPTIMIZERS: dict[str, Any] = {
    "adamw": (torch.optim.AdamW, {"fused": True}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adadelta": (torch.optim.Adadelta, {"rho": 0.95, "eps": 1e-6}),
}
SCHEDULES = ("one-cycle", "cosine", "linear", "constant")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a network is trained.

    Parameters
    ----------
    max_epochs : int
        Passes over the training samples.
    batch_size : int
        Largest number of samples in a batch.
    lr : float
        Learning rate; with a schedule, the highest one.
    optimizer : {"adamw", "adam", "sgd", "adadelta"}
    schedule : {"one-cycle", "cosine", "linear", "constant"}
        Course of the learning rate over the steps.
    weight_decay : float
        Of weights; biases and norms are not decayed.
    groups : sequence of (pattern, dict), default=()
        Other values of "lr" and "weight_decay" for the parameters whose names match a pattern,
        such as ``("stages.0.*", {"lr": 0.001})``; the first pattern that matches counts.
    start : mapping of str to Tensor, default={}
        First values of parameters and buffers by name; the others are drawn.
    frozen : sequence of str, default=()
        Patterns of the names of parameters that stay as they start.
    settle_norms : bool, default=False
        Whether batch norms get the statistics of all training samples in the end.  In training
        they come from few samples, from weights that still moved and from activations that
        dropout had spread: with few samples that shifts all outputs alike.
    patience : int, default=None
        Epochs without a lower validation loss after which training ends, and goes back to the
        best one; None trains for all epochs.
    """

    max_epochs: int
    batch_size: int
    lr: float
    optimizer: str
    schedule: str
    weight_decay: float
    groups: Sequence[tuple[str, Mapping[str, float]]] = ()
    start: Mapping[str, Tensor] | None = None
    frozen: Sequence[str] = ()
    settle_norms: bool = False
    patience: int | None = None

    def prepare(self, network: nn.Module) -> None:
        """Start and freeze the parameters that the plan names.

        Raises
        ------
        ValueError
            If the network has no parameter of such a name.
        """
        names = [name for name, _ in network.named_parameters()]
        for pattern in [*self.frozen, *(pattern for pattern, _ in self.groups)]:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(
                    f"No parameter of the network matches {pattern!r}; it has {', '.join(names)}."
                )
        if self.start:
            unknown = network.load_state_dict(self.start, strict=False).unexpected_keys
            if unknown:
                raise ValueError(f"The network has no parameters {unknown} to start from.")
        for name, parameter in network.named_parameters():
            if any(fnmatchcase(name, pattern) for pattern in self.frozen):
                parameter.requires_grad_(False)


def make_optimizer(named: Sequence[tuple[str, Tensor]], *, plan: Plan, lr: float) -> Any:
    """Return an optimiser that decays weights, but neither biases nor norms.

    Parameters
    ----------
    named : sequence of (str, Tensor)
        The parameters of a network by name.
    plan : Plan
    lr : float
        The same as the plan's; skorch hands it over by itself.
    """
    sorted_in: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in named:
        if not parameter.requires_grad:
            continue
        matches = (k for k, (pattern, _) in enumerate(plan.groups) if fnmatchcase(name, pattern))
        group, decays = next(matches, -1), parameter.ndim > 1
        sorted_in.setdefault(
            (group, decays), {"params": [], "decays": decays, "group": group}
        )["params"].append(parameter)
    make, defaults = OPTIMIZERS[plan.optimizer]
    # Weights come first, as they did where there were no groups: sums over groups round alike.
    parts = [sorted_in[key] for key in sorted(sorted_in, key=lambda k: (k[0], not k[1]))]
    optimizer = make(parts, **{**defaults, "lr": lr})
    set_rates(optimizer, plan)
    return optimizer


def set_rates(optimizer: Any, plan: Plan) -> None:
    """Set the rates of an optimiser, also those that a schedule has left at other values."""
    for part in optimizer.param_groups:
        own = plan.groups[part["group"]][1] if part["group"] >= 0 else {}
        part["lr"] = own.get("lr", plan.lr)
        part["weight_decay"] = own.get("weight_decay", plan.weight_decay) if part["decays"] else 0.0
        for name in ("betas", "momentum"):  # a cycle moves these too
            if name in part:
                part[name] = optimizer.defaults[name]


def make_schedule(name: str, optimizer: Any, n_steps: int) -> tuple[Any, dict[str, Any]]:
    """Return a torch scheduler class and its parameters for so many steps.

    Parameters
    ----------
    name : {"one-cycle", "cosine", "linear"}
        Up and down again, down as half a cosine, or straight down to zero.
    optimizer : torch.optim.Optimizer
        Its present rates are the highest ones.
    n_steps : int
    """
    schedulers = torch.optim.lr_scheduler
    if name == "one-cycle":
        momentum = any(key in optimizer.defaults for key in ("momentum", "betas"))
        rates = [part["lr"] for part in optimizer.param_groups]
        # The scheduler is asked once more after the last step, for a rate that is not used.
        params = {"max_lr": rates, "total_steps": n_steps + 1, "cycle_momentum": momentum}
        return schedulers.OneCycleLR, params
    if name == "cosine":
        return schedulers.CosineAnnealingLR, {"T_max": n_steps}
    params = {"start_factor": 1.0, "end_factor": 0.0, "total_iters": n_steps}
    return schedulers.LinearLR, params


def epochs_for(n_samples: int, table: Sequence[tuple[int, int]]) -> int:
    """Return epochs for a number of samples, interpolated in a table on logarithmic scales."""
    sizes, epochs = np.log(np.array(table)).T
    return int(np.rint(np.exp(np.interp(np.log(n_samples), sizes, epochs))))


