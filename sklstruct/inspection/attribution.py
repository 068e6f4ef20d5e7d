r"""Where a network looks: gradients, and the class activations that its outputs are made of.

What is explained is one number :math:`f` for each sample: the difference of the two logits
where there are two classes, else the logit of a class, or a value that a regressor predicts; of
what is said at every place, the mean over places.  Maps are of samples as the network reads them,
after the steps of a pipeline and without channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..params import check, integer, one_of, real
from ..studies.tasks import is_dense
from ..training.objectives import main_output
from .opened import Opened, slope
from .places import Places


def gradient_map(
    estimator: Any,
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
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.
    X : array-like, shape (n, ...)
        Samples as ``fit`` had them; paths of scans are read one at a time.
    target : label or int, default=None
        A class; None is the second of two classes, and of more the one that is predicted for
        the sample.  Of two classes, the map of one is the negative map of the other.  For a
        regressor of several values, the number of the value.
    kind : {"gradient", "input_x_gradient"}, default="gradient"
    n_samples : int, default=1
        Over how many noisy copies of a sample to average (SmoothGrad); 10 to 50 are usual.  The
        class is that of the sample, whatever those of the copies are.
    noise : float, default=0.0
        Standard deviation of that noise, relative to that of the channel in training, of which
        0.3 to 1 are usual.
    random_state : int, default=0
        Decides the noise, which is the same for every sample.

    Returns
    -------
    maps : ndarray of float32, shape (n, *spatial)

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    ValueError
        If the target or a parameter is none of the above, or X has another shape.

    See Also
    --------
    integrated_gradients : What adds up to the output.
    class_activation_map, grad_cam_map : What places contribute.
    occlusion_map : For any estimator.
    SampleMapsDisplay.from_estimator, MapDisplay.from_estimator : Pictures of maps.

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
    opened = Opened(estimator)
    weigh = opened.weigh(target)
    check("kind", kind, one_of("gradient", "input_x_gradient"))
    check("n_samples", n_samples, integer(1))
    check("noise", noise, real(least=0))
    check("random_state", random_state, integer(0))
    unit = torch.from_numpy(opened.estimator.scale_).view(-1, *(1,) * (len(opened.in_shape) - 1))

    def explain(x: Tensor) -> Tensor:
        # Anew for every piece: a map must not depend on which samples come along.
        generator = torch.Generator().manual_seed(random_state)
        f = explained(opened, weigh, x)
        total = torch.zeros_like(x)
        for _ in range(n_samples):
            shift = noise * torch.randn(x.shape[1:], generator=generator).to(x)
            total += slope(f, x + shift)
        total *= x if kind == "input_x_gradient" else 1 / unit.to(x)
        return total.sum(dim=1) / n_samples

    return opened.run(opened.read(X), explain).astype(np.float32, copy=False)


def class_activation_map(estimator: Any, X: Any, target: Any = None) -> NDArray[np.float32]:
    r"""Return what every place contributes to what a network says.

    .. math::
        f = b + \frac{1}{P} \sum_p m_p, \qquad m_p = \sum_k w_k h_{kp}

    for a network whose last layers are the mean over the places p of features h, and a linear
    layer with weights w and bias b; for one with outputs at all places, :math:`m_p` is these, and
    b is 0.  The places are those of the last layer, between which the map is interpolated
    linearly: it is no finer than they are.  Where they lie in samples follows from the layers, see
    ``grad_cam_map``.

    Parameters
    ----------
    estimator : fitted network estimator
        Or what ends in one.  Its network must have ``class_activations(x)``, which returns
        :math:`m_p` of all outputs, (n, n_outputs, \*places), or an output at every place.
    X : array-like, shape (n, ...)
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
        If it does not end in a network estimator, or its network has no class activations.
    ValueError
        If there is no such target, or X has another shape.

    See Also
    --------
    grad_cam_map : At any layer of any network.
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
    opened = Opened(estimator)
    weigh, network = opened.weigh(target), opened.network
    if hasattr(network, "class_activations"):
        activations: Callable[[Tensor], Tensor] = network.class_activations
    elif is_dense(estimator):
        activations = lambda x: main_output(network(x))  # noqa: E731
    else:
        raise TypeError(
            f"The network {type(network).__name__} of {type(opened.estimator).__name__} has no "
            "class activations, which need a mean over places before the last layer: use a "
            "gradient map (gradient_map), or one of any layer (grad_cam_map)."
        )

    def explain(x: Tensor) -> Tensor:
        return torch.einsum("no...,no->n...", activations(x), weigh(opened.outputs(x)))

    samples = opened.read(X)
    coarse = opened.run(samples, explain)
    places = Places(opened, samples.shape[1:], activations)
    return places.to_samples(coarse, places.at(coarse.shape[1:]))


def explained(
    opened: Opened, weigh: Callable[[Tensor], Tensor], x: Tensor
) -> Callable[[Tensor], Tensor]:
    """Return f as a function of standardised samples, of the classes that it is for x."""
    with torch.inference_mode(False), torch.no_grad():  # for gradients, but not of itself
        weights = weigh(opened.outputs(x.clone()))
    return lambda x: (opened.outputs(x) * weights).sum(dim=1)
