r"""Where a network looks: gradients, and the class activations that its outputs are made of.

What is explained is one number :math:`f` for each sample: the difference of the two logits
where there are two classes, else the logit of a class, or a value that a regressor predicts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..estimators.base import NetworkEstimator
from ..params import check, integer, one_of, real
from ..training.objectives import main_output
from .occlusion import target_column


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

    See Also
    --------
    class_activation_map : What places contribute.
    occlusion_map : For any estimator.

    References
    ----------
    K. Simonyan, A. Vedaldi and A. Zisserman. Deep inside convolutional networks. ICLR, 2014.

    D. Smilkov, N. Thorat, B. Kim, F. Viegas and M. Wattenberg. SmoothGrad: removing noise by
    adding noise. 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import gradient_map
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> gradient_map(model, X[:3], target=7).shape
    (3, 8, 8)
    >>> gradient_map(model, X[:3], kind="input_x_gradient").shape
    (3, 8, 8)
    """
    weigh = output_weights(estimator, target)
    check("kind", kind, one_of("gradient", "input_x_gradient"))
    check("n_samples", n_samples, integer(1))
    check("noise", noise, real(least=0))
    module = estimator.net_.module_
    unit = torch.from_numpy(estimator.scale_).view(-1, *(1,) * (len(estimator.in_shape_) - 1))

    def slope(x: Tensor) -> Tensor:
        """Return the derivative with respect to the standardised samples."""
        # Of the input alone: gradients of the weights would stay in the network.
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().requires_grad_()
            outputs = main_output(module(x))
            f = (outputs * weigh(outputs.detach())).sum()
            return torch.autograd.grad(f, x)[0]

    def explain(x: Tensor) -> Tensor:
        # Anew for every piece: a map must not depend on which samples come along.
        generator = torch.Generator().manual_seed(random_state)
        total = torch.zeros_like(x)
        for _ in range(n_samples):
            shift = noise * torch.randn(x.shape[1:], generator=generator).to(x)
            total += slope(x + shift)
        total *= x if kind == "input_x_gradient" else 1 / unit.to(x)
        return total.sum(dim=1) / n_samples

    return estimator._run(estimator._read(X, reset=False), explain).astype(np.float32, copy=False)


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
        outputs, (n, n_outputs, \*places).  Places lie in the middle of what they see: as far
        apart as the strides of the layers, one after another, say, the first one on the first
        sample unless supports are even, or not padded by half.
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

    See Also
    --------
    gradient_map : For any network.
    occlusion_map : For any estimator.

    References
    ----------
    B. Zhou, A. Khosla, A. Lapedriza, A. Oliva and A. Torralba. Learning deep features for
    discriminative localization. CVPR, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct import RFNiNClassifier
    >>> from sklstruct.inspection import class_activation_map
    >>> X = np.random.default_rng(0).normal(size=(8, 12, 12, 12))
    >>> model = RFNiNClassifier(max_epochs=1, random_state=0).fit(X, [0, 1] * 4)
    >>> class_activation_map(model, X[:2], target=1).shape
    (2, 12, 12, 12)
    """
    weigh = output_weights(estimator, target)
    module = estimator.net_.module_
    if not hasattr(module, "class_activations"):
        raise TypeError(
            f"The network {type(module).__name__} of {type(estimator).__name__} has no class "
            "activations, which need a mean over places before the last layer: use a gradient map "
            "(gradient_map)."
        )
    spatial = estimator.in_shape_[1:]

    def explain(x: Tensor) -> Tensor:
        activations: Tensor = module.class_activations(x)
        weights = weigh(main_output(module(x)))
        return torch.einsum("no...,no->n...", activations, weights)

    coarse = estimator._run(estimator._read(X, reset=False), explain)
    strides, firsts = (np.broadcast_to(each, len(spatial)).tolist() for each in lattice(module))
    for length, n_places, stride in zip(spatial, coarse.shape[1:], strides, strict=True):
        # Strides say where places lie only if no layer has lost some at the border.
        if (length - 1) // stride + 1 != n_places:
            raise TypeError(
                f"A stride of {stride} on {length} samples must give {(length - 1) // stride + 1} "
                f"class activations, got {n_places}."
            )
    axes = zip(spatial, strides, firsts, strict=True)
    places = [(np.arange(length) - first) / stride for length, stride, first in axes]
    grid = np.meshgrid(*places, indexing="ij")
    # Past the last place nothing is known, and the map stays as it is there.
    options: dict[str, Any] = {"output": np.float32, "order": 1, "mode": "nearest"}
    return np.stack([ndimage.map_coordinates(values, grid, **options) for values in coarse])


def output_weights(estimator: Any, target: Any) -> Callable[[Tensor], Tensor]:
    """Return what maps outputs (n, n_outputs) to the weights with which they are added to f."""
    if not isinstance(estimator, NetworkEstimator) or estimator._dense:
        raise TypeError(
            "estimator must be a network estimator with one output a sample, got "
            f"{type(estimator).__name__}; of a stack, explain network_."
        )
    check_is_fitted(estimator)
    n_outputs = estimator.target_.n_outputs
    column = target_column(estimator, target, n_outputs)

    def weigh(outputs: Tensor) -> Tensor:
        chosen = outputs.argmax(1) if column is None else torch.full((len(outputs),), column)
        weights = one_hot(chosen.to(outputs.device), n_outputs).to(outputs)
        if not is_classifier(estimator):
            return weights * torch.from_numpy(estimator.target_.scale).to(outputs)
        # Of two classes, only the difference of the logits means anything.
        return 2 * weights - 1 if n_outputs == 2 else weights

    return weigh


def lattice(module: nn.Module) -> tuple[Any, Any]:
    """Return how far apart the places of what a module gives are, and where the first one is.

    Both are in samples of what it is given; of parts one after another, from the first on.
    """
    if (stride := getattr(module, "stride", None)) is None:
        stride, first = np.array(1), np.array(0.0)
        for own_stride, own_first in map(lattice, module.children()):
            stride, first = stride * own_stride, first + stride * own_first
        return stride, first
    size, padding, dilation = (
        getattr(module, name, usual)
        for name, usual in (("kernel_size", 1), ("padding", 0), ("dilation", 1))
    )
    reach = np.multiply(dilation, np.array(size) - 1)
    padding = {"same": reach // 2, "valid": 0}[padding] if isinstance(padding, str) else padding
    return np.array(stride), reach / 2 - np.array(padding)
