"""What the outputs of a network are worth: ``objective(network, x, y)`` is the loss of each sample.

An objective may be any such function.  Those here tell two steps apart: what is computed, by
``__call__``, and what the outputs are worth, by ``of``.  So they can be put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.dynamic import PoseNetwork


def main_output(outputs: Any) -> Tensor:
    """Return the outputs of a network, the first of several."""
    return outputs[0] if isinstance(outputs, (tuple, list)) else outputs


class Objective:
    """Base of objectives that judge outputs alone.

    See Also
    --------
    CrossEntropy, SquaredError : The usual ones.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.training import Objective
    >>> class Absolute(Objective):
    ...     def of(self, outputs, y):
    ...         return (outputs[:, 0] - y).abs()
    >>> Absolute()(torch.nn.Identity(), torch.tensor([[1.0], [3.0]]), torch.tensor([1.0, 1.0]))
    tensor([0., 2.])
    """

    def __call__(self, network: nn.Module, x: Tensor, y: Any) -> Tensor:
        """Return the loss of each sample, shape (n,)."""
        return self.of(main_output(network(x)), y)

    def of(self, outputs: Tensor, y: Any) -> Tensor:
        """Return the loss of each sample (n,) from outputs (n, n_outputs) and targets."""
        raise NotImplementedError(f"{type(self).__name__} must define of(outputs, y).")


@dataclass(frozen=True)
class CrossEntropy(Objective):
    r"""Cross entropy of logits and classes.

    .. math::
        \ell = -\sum_c t_c \log \mathrm{softmax}(o)_c, \qquad
        t_c = (1 - s) \, [c = y] + s / C

    Parameters
    ----------
    label_smoothing : float, default=0.0
        The share s of every target that is spread over all C classes.

    See Also
    --------
    SquaredError : For values in place of classes.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.training import CrossEntropy
    >>> logits, y = torch.tensor([[0.0, 2.0]]), torch.tensor([1])
    >>> CrossEntropy().of(logits, y), CrossEntropy(label_smoothing=0.1).of(logits, y)
    (tensor([0.1269]), tensor([0.2269]))
    """

    label_smoothing: float = 0.0

    def of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Map logits (n, n_classes, ...) and numbers of classes (n, ...) to losses (n, ...)."""
        return F.cross_entropy(outputs, y, reduction="none", label_smoothing=self.label_smoothing)


@dataclass(frozen=True)
class BinaryCrossEntropy(Objective):
    r"""Cross entropy of one logit and the probability of an event, or whether there was one.

    .. math::
        \ell = -r \, y \log \sigma(o) - (1 - y) \log(1 - \sigma(o))

    Parameters
    ----------
    pos_weight : float, default=1.0
        The factor r on what events count, against what others do.

    See Also
    --------
    CrossEntropy : For several classes.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.training import BinaryCrossEntropy
    >>> logits, y = torch.tensor([[0.0], [2.0]]), torch.tensor([1.0, 0.5])
    >>> BinaryCrossEntropy().of(logits, y)
    tensor([0.6931, 1.1269])
    """

    pos_weight: float = 1.0

    def of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Map logits (n, 1, ...) and probabilities (n, ...) to losses (n, ...)."""
        weight = outputs.new_tensor(self.pos_weight)
        return F.binary_cross_entropy_with_logits(
            outputs[:, 0], y, reduction="none", pos_weight=weight
        )


@dataclass(frozen=True)
class SquaredError(Objective):
    """Squared error, the mean over the values of a sample.

    See Also
    --------
    CrossEntropy : For classes.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.training import SquaredError
    >>> SquaredError().of(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([2.])
    """

    def of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Map outputs and values, both (n, n_values, ...), to losses (n, ...)."""
        return F.mse_loss(outputs, y, reduction="none").mean(dim=1)


@dataclass(frozen=True)
class AtPlaces(Objective):
    r"""The weighted mean over all places of another objective.

    .. math:: \ell = \frac{1}{P} \sum_p w_p \, \ell_p

    Parameters
    ----------
    base : Objective
        Its ``of`` gives losses (n, \*spatial).

    See Also
    --------
    CrossEntropy, BinaryCrossEntropy, SquaredError : What a place may be worth.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.training import AtPlaces, SquaredError
    >>> outputs, y = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    >>> AtPlaces(SquaredError()).of(outputs, (y, torch.eye(2)[None]))
    tensor([0.5000])
    """

    base: Objective

    def of(self, outputs: Tensor, y: tuple[Tensor, Tensor]) -> Tensor:
        """Map outputs (n, n_outputs, *spatial), and targets with weights (n, *spatial), to (n,)."""
        values, weight = y
        return (self.base.of(outputs, values) * weight).flatten(1).mean(1)


@dataclass(frozen=True)
class Auxiliary(Objective):
    r"""A main loss and those of side outputs, for a network that returns a tuple.

    .. math:: \ell = \ell(o_0, y) + \sum_k a_k \, \ell(o_k, y)

    Parameters
    ----------
    base : Objective
    weights : sequence of float, or float
        The :math:`a_k` of the outputs after the first one; a number is that of each, however many
        there are.

    See Also
    --------
    Penalised : A penalty of the network beside the loss.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.training import Auxiliary, CrossEntropy
    >>> logits, y = torch.zeros(5, 3), torch.zeros(5, dtype=torch.long)
    >>> network = lambda x: (logits, logits)  # with a side output
    >>> Auxiliary(CrossEntropy(), weights=[0.3])(network, None, y)
    tensor([1.4282, 1.4282, 1.4282, 1.4282, 1.4282])
    """

    base: Objective
    weights: Sequence[float] | float

    def __post_init__(self) -> None:
        if not hasattr(self.base, "of"):
            raise TypeError(
                "Side outputs need an objective with of(outputs, y), as those of "
                f"sklstruct.training have, got {self.base!r}."
            )

    def __call__(self, network: nn.Module, x: Tensor, y: Any) -> Tensor:
        """Return the loss of each sample, shape (n,)."""
        outputs = network(x)
        main, *others = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        weights = self.weights
        if not isinstance(weights, Sequence):
            weights = [weights] * len(others)
        if len(others) != len(weights):
            raise ValueError(
                f"weights must be one for each side output, got {len(weights)} for a network "
                f"with {len(others)}."
            )
        sides = (w * self.base.of(o, y) for w, o in zip(weights, others, strict=True))
        return sum(sides, self.base.of(main, y))


@dataclass(frozen=True)
class Penalised:
    r"""An objective and a penalty of the network.

    .. math:: \ell + \lambda \, R(\text{network})

    Parameters
    ----------
    base : callable
        An objective.
    penalty : callable
        Maps the network to a number.
    strength : float, default=1.0

    See Also
    --------
    Auxiliary : Losses of side outputs.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.training import Penalised, SquaredError
    >>> network = torch.nn.Linear(1, 1)
    >>> objective = Penalised(SquaredError(), lambda net: net.weight.abs().sum(), strength=0.1)
    >>> objective(network, torch.ones(4, 1), torch.ones(4, 1)).shape
    torch.Size([4])
    """

    base: Callable[[nn.Module, Tensor, Any], Tensor]
    penalty: Callable[[nn.Module], Tensor]
    strength: float = 1.0

    def __call__(self, network: nn.Module, x: Tensor, y: Any) -> Tensor:
        """Return the loss of each sample, shape (n,)."""
        return self.base(network, x, y) + self.strength * self.penalty(network)


@dataclass(frozen=True)
class PosePenalty:
    r"""An objective and a penalty of poses that differ from place to place.

    .. math::
        \ell + \lambda \sum_b \frac{1}{P} \sum_p \sum_i 1 - \cos(\theta_{b, p + e_i} - \theta_{bp})

    over the dynamic steerable blocks b of the network, the places p and the axes i.

    Parameters
    ----------
    base : callable
        An objective.
    strength : float, default=0.1

    See Also
    --------
    sklstruct.layers.DynamicSteerableBlock : What has poses.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import DynamicSteerableBlock, MeanNetwork
    >>> from sklstruct.training import CrossEntropy, PosePenalty
    >>> network = MeanNetwork((1, 8, 8), 2, torch.nn.Sequential(DynamicSteerableBlock(1, 4)))
    >>> objective = PosePenalty(CrossEntropy(), strength=0.1)
    >>> objective(network, torch.zeros(3, 1, 8, 8), torch.tensor([0, 1, 0])).shape
    torch.Size([3])
    """

    base: Callable[[nn.Module, Tensor, Any], Tensor]
    strength: float = 0.1

    def __call__(self, network: nn.Module, x: Tensor, y: Any) -> Tensor:
        """Return the loss of each sample, shape (n,)."""
        rough: list[Tensor] = []

        def see(where: PoseNetwork, args: Any, pose: Tensor) -> None:
            rough.append(where.roughness(pose))

        parts = [part for part in network.modules() if isinstance(part, PoseNetwork)]
        hooks = [part.register_forward_hook(see) for part in parts]
        try:
            losses = self.base(network, x, y)
        finally:
            for hook in hooks:
                hook.remove()
        return losses + self.strength * sum(rough)


@dataclass(frozen=True)
class NetworkLoss:
    """The loss that a network itself defines, ``network.loss(x, y)``.

    See Also
    --------
    CrossEntropy, SquaredError : Losses that suit y.
    Penalised : A loss and a penalty.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.training import NetworkLoss
    >>> class Net(nn.Linear):
    ...     def loss(self, x, y):
    ...         return (self(x)[:, 0] - y).abs()
    >>> NetworkLoss()(Net(2, 1), torch.zeros(5, 2), torch.zeros(5)).shape
    torch.Size([5])
    """

    def __call__(self, network: Any, x: Tensor, y: Any) -> Tensor:
        """Return the loss of each sample, shape (n,)."""
        losses: Tensor = network.loss(x, y)
        return losses
