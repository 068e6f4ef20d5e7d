r"""Where a network looks: gradients, and the class activations that its outputs are made of.

What is explained is one number :math:`f` for each sample: the difference of the two logits
where there are two classes, else the logit of a class, or a value that a regressor predicts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..layers.coarse import along_axes
from .base import NetworkEstimator

KINDS = ("gradient", "input_x_gradient")


def gradient_map(
    estimator: NetworkEstimator,
    X: Any,
    target: Any = None,
    *,
    kind: str = "gradient",
    n_samples: int = 1,
    noise: float = 0.0,
    random_state: int = 0,
) -> NDArray[np.float32]:
    r"""Return how what a network says changes with every value of its input.

    .. math::
        m_p = \sum_c \frac{\partial f}{\partial x_{cp}}
        \quad\text{or}\quad
        m_p = \sum_c (x_{cp} - \bar x_c) \, \frac{\partial f}{\partial x_{cp}}

    at a place p, over the channels c.  The first is in units of f for a unit of X, and tells
    what would matter; the second is in units of f, and tells what did matter in this sample:
    for a network that is linear it adds up to the difference of f between the sample and one
    that has the mean of its channel everywhere.

    Parameters
    ----------
    estimator : fitted network estimator
    X : array-like, shape (n, ...)
        Samples of the shape that ``fit`` had.
    target : label or int, default=None
        A class; None is the second of two classes, and of more the one that is predicted for
        the sample.  Of two classes, the map of one is the negative map of the other.  For a
        regressor of several values, the number of the value.
    kind : {"gradient", "input_x_gradient"}, default="gradient"
    n_samples : int, default=1
        Over how many noisy copies of a sample to average (SmoothGrad).
    noise : float, default=0.0
        Standard deviation of that noise, relative to that of the channel in training.
    random_state : int, default=0
        Decides the noise, which is the same for every sample.

    Returns
    -------
    maps : ndarray of float32, shape (n, *spatial)

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network estimator.
    ValueError
        If the target or a parameter is none of the above, or X has another shape.

    References
    ----------
    K. Simonyan, A. Vedaldi and A. Zisserman. Deep inside convolutional networks. ICLR, 2014.

    D. Smilkov, N. Thorat, B. Kim, F. Viegas and M. Wattenberg. SmoothGrad: removing noise by
    adding noise. 2017.
    """
    weigh = output_weights(estimator, target)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
    if n_samples < 1 or noise < 0:
        raise ValueError(
            "n_samples must be at least 1 and noise at least 0, got "
            f"n_samples={n_samples!r} and noise={noise!r}."
        )
    module = estimator.net_.module_
    unit = torch.from_numpy(estimator.scale_).view(-1, *(1,) * (len(estimator.in_shape_) - 1))

    def slope(x: Tensor) -> Tensor:
        """Return the derivative with respect to the standardised samples."""
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_()
            outputs = module(x)
            f = (outputs * weigh(outputs.detach())).sum()
            return torch.autograd.grad(f, x)[0]

    def explain(x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(random_state)  # anew for every piece
        total = torch.zeros_like(x)
        for _ in range(n_samples):
            shift = noise * torch.randn(x.shape[1:], generator=generator).to(x)
            total += slope(x + shift)
        total *= x if kind == "input_x_gradient" else 1 / unit.to(x)
        return total.sum(dim=1) / n_samples

    return estimator._run(estimator._read_rows(X, reset=False), explain).astype(
        np.float32, copy=False
    )


def class_activation_map(
    estimator: NetworkEstimator, X: Any, target: Any = None
) -> NDArray[np.float32]:
    r"""Return what every place contributes to what a network says.

    .. math::
        f = b + \frac{1}{P} \sum_p m_p, \qquad m_p = \sum_k w_k h_{kp}

    for a network whose last layers are the mean over the places p of features h, and a linear
    layer with weights w and bias b.  The places are those of the last layer, between which
    the map is interpolated linearly: it is no finer than they are.

    Parameters
    ----------
    estimator : fitted network estimator
        Its network must have ``class_activations(x)``, which returns :math:`m_p` of all
        outputs, (n, n_outputs, \*places).  The first place lies on the first sample, and the
        next ones as far apart as the strides of the layers, one after another, say.
    X : array-like, shape (n, ...)
        Samples of the shape that ``fit`` had.
    target : label or int, default=None
        As of ``gradient_map``.

    Returns
    -------
    maps : ndarray of float32, shape (n, *spatial)

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network estimator, or its network has no class activations, or others than
        its strides would give.
    ValueError
        If there is no such target, or X has another shape.

    References
    ----------
    B. Zhou, A. Khosla, A. Lapedriza, A. Oliva and A. Torralba. Learning deep features for
    discriminative localization. CVPR, 2016.
    """
    weigh = output_weights(estimator, target)
    module = estimator.net_.module_
    if not hasattr(module, "class_activations"):
        raise TypeError(
            f"The network {type(module).__name__} of {type(estimator).__name__} has no class "
            "activations, which need a mean over places before the last layer: use gradient_map."
        )
    spatial = estimator.in_shape_[1:]

    def explain(x: Tensor) -> Tensor:
        activations: Tensor = module.class_activations(x)
        weights = weigh(module(x)).view(*activations.shape[:2], *(1,) * len(spatial))
        coarse = (activations * weights).sum(dim=1, keepdim=True)
        return along_axes(coarse, interpolations(module, spatial, coarse.shape[2:]))[:, 0]

    return estimator._run(estimator._read_rows(X, reset=False), explain).astype(
        np.float32, copy=False
    )


def output_weights(estimator: Any, target: Any) -> Callable[[Tensor], Tensor]:
    """Return what maps outputs (n, n_outputs) to the weights with which they are added to f."""
    if not isinstance(estimator, NetworkEstimator):
        raise TypeError(f"estimator must be a network estimator, got {type(estimator).__name__}.")
    check_is_fitted(estimator)
    if not is_classifier(estimator):
        weights = value_weights(estimator, target)
    elif target is None and len(estimator.classes_) > 2:
        return lambda outputs: one_hot(outputs.argmax(dim=1), outputs.shape[1]).to(outputs)
    else:
        weights = class_weights(estimator.classes_.tolist(), target)
    return lambda outputs: torch.from_numpy(weights).to(outputs).expand_as(outputs)


def class_weights(classes: list[Any], target: Any) -> NDArray[np.float64]:
    """Return the weights of logits: 1 for a class, and -1 for the other one of two."""
    target = classes[-1] if target is None else target
    if target not in classes:
        raise ValueError(f"target must be one of the classes {classes}, got {target!r}.")
    others = -1.0 if len(classes) == 2 else 0.0
    return np.where([label == target for label in classes], 1.0, others)


def value_weights(estimator: Any, target: Any) -> NDArray[np.float64]:
    """Return the weights of the outputs of a regressor, from standardised values to those of y."""
    n_values = len(estimator.y_scale_)
    target = 0 if target is None and n_values == 1 else target
    if target not in range(n_values):
        raise ValueError(
            f"target must be the number of a value, from 0 to {n_values - 1}, got {target!r}."
        )
    return np.where(np.arange(n_values) == target, estimator.y_scale_, 0.0)


def stride_of(module: nn.Module) -> Any:
    """Return the stride that a module has, or its parts have one after another."""
    own = getattr(module, "stride", None)
    if own is not None:
        return np.array(own)
    return reduce(np.multiply, map(stride_of, module.children()), np.array(1))


def interpolations(
    module: nn.Module, spatial: tuple[int, ...], places: tuple[int, ...]
) -> list[NDArray[np.float64]]:
    """Return the interpolation from the places of the last layer to samples, along each axis."""
    strides = np.broadcast_to(stride_of(module), len(spatial)).tolist()
    return [interpolation(*axis) for axis in zip(spatial, places, strides, strict=True)]


def interpolation(length: int, n_places: int, stride: int) -> NDArray[np.float64]:
    """Return linear interpolation as a matrix, (length, n_places); constant past the last place."""
    if (length - 1) // stride + 1 != n_places:
        raise TypeError(
            f"A stride of {stride} on {length} samples must give {(length - 1) // stride + 1} "
            f"class activations, got {n_places}."
        )
    places = np.minimum(np.arange(length) / stride, n_places - 1)
    return np.clip(1 - np.abs(places[:, np.newaxis] - np.arange(n_places)), 0, None)
