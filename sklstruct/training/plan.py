"""How a network is trained, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import nn

FEW_SAMPLES: dict[str, Any] = {  # training of most networks on 100 to 5000 samples
    "max_epochs": ((300, 60), (1000, 40), (5000, 20)),  # by number of samples
    "batch_size": 25,
    "lr": 0.01,
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
}
OPTIMIZERS: dict[str, Any] = {
    "adamw": (torch.optim.AdamW, {"fused": True}),
    "adam": (torch.optim.Adam, {"fused": True}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adadelta": (torch.optim.Adadelta, {"rho": 0.95, "eps": 1e-6}),
}
SCHEDULES: dict[str, Any] = {  # torch scheduler and its parameters, for an optimiser and steps
    # up and down again, from and to hardly anything
    "one-cycle": lambda optimizer, n_steps: (
        torch.optim.lr_scheduler.OneCycleLR,
        {
            "max_lr": [group["lr"] for group in optimizer.param_groups],
            # The scheduler is asked once more after the last step, for a rate that is not used.
            "total_steps": n_steps + 1,
            "cycle_momentum": any(name in optimizer.defaults for name in ("momentum", "betas")),
        },
    ),
    # down as half a cosine
    "cosine": lambda optimizer, n_steps: (
        torch.optim.lr_scheduler.CosineAnnealingLR,
        {"T_max": n_steps},
    ),
    # straight down to zero
    "linear": lambda optimizer, n_steps: (
        torch.optim.lr_scheduler.LinearLR,
        {"start_factor": 1.0, "end_factor": 0.0, "total_iters": n_steps},
    ),
    "constant": None,
}


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
    frozen : sequence of str, default=()
        Names of parameters and buffers that stay as they are.  Norms work with the statistics
        that they have.
    settle_norms : bool, default=False
        Whether batch norms get the statistics of all training samples in the end.  In training
        they come from few samples, from weights that still moved and from activations that
        dropout had spread: with few samples that shifts all outputs alike.
    label_smoothing : float, default=0.0
        Share of every target that is spread over all classes.
    patience : int, default=None
        Epochs without a lower validation loss after which training ends, and goes back to the
        best one; None trains for all epochs.

    See Also
    --------
    NetworkEstimator : Joins what is set with the preset of the architecture.

    Examples
    --------
    >>> from sklstruct.training import Plan
    >>> recipe = {"optimizer": "adamw", "schedule": "one-cycle", "weight_decay": 0.01}
    >>> plan = Plan(max_epochs=10, batch_size=25, lr=0.01, **recipe)
    >>> plan.max_epochs, plan.patience
    (10, None)
    """

    max_epochs: int
    batch_size: int
    lr: float
    optimizer: str
    schedule: str
    weight_decay: float
    groups: Sequence[tuple[str, Mapping[str, float]]] = ()
    frozen: Sequence[str] = ()
    settle_norms: bool = False
    label_smoothing: float = 0.0
    patience: int | None = None

    def check_names(self, network: nn.Module) -> None:
        """Raise ValueError if a pattern of ``groups`` matches no parameter of the network."""
        names = [name for name, _ in network.named_parameters()]
        for pattern, _ in self.groups:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(
                    f"No parameter of the network matches {pattern!r}; it has {', '.join(names)}."
                )


def epochs_for(n_samples: int, table: Sequence[tuple[int, int]]) -> int:
    """Return epochs for a number of samples, interpolated in a table on logarithmic scales."""
    sizes, epochs = np.log(np.array(table)).T
    return int(np.rint(np.exp(np.interp(np.log(n_samples), sizes, epochs))))
