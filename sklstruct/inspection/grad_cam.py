"""What places of any layer contribute to what a network says."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..params import FLAG, check, one_of
from .opened import Opened, streams, with_gradients
from .places import Places


def grad_cam_map(
    estimator: Any,
    X: Any,
    target: Any = None,
    layer: str | None = None,
    *,
    kind: str = "grad_cam",
    rectify: bool = False,
) -> NDArray[np.float32]:
    r"""Return what the places of a layer contribute to what a network says.

    .. math::
        m_p = \sum_k h_{kp} \, \frac{1}{P} \sum_q \frac{\partial f}{\partial h_{kq}}
        \quad\text{(Grad-CAM)} \qquad\text{or}\qquad
        m_p = \sum_k h_{kp} \, \frac{\partial f}{\partial h_{kp}}
        \quad\text{(HiResCAM)}

    for the channels k of what the layer gives at P places p.  Between the places, the map is
    interpolated linearly: it is no finer than they are.

    Of a network whose last layers are the mean over places and a linear layer, the map of what
    the mean is taken of is that of ``class_activation_map`` divided by P, of either kind.  If all
    layers that follow are linear, HiResCAM adds up to f without its bias, also where the weights
    differ from place to place, as after features that are flattened; Grad-CAM takes them for
    alike.

    Where a place lies in samples follows from the strides, paddings and supports of the layers
    before it: in the middle of what it sees.  Places of which these do not tell are spread evenly,
    and those where branches meet are taken to lie where the last of these has them.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.
    X : array-like, shape (n, ...)
        Samples as ``fit`` had them; paths of scans are read one at a time.
    target : label or int, default=None
        As of ``gradient_map``.
    layer : str, default=None
        A layer with places, by its name in ``net_.module_``; None is the last one.
    kind : {"grad_cam", "hires_cam"}, default="grad_cam"
    rectify : bool, default=False
        Whether negative values become zero, as they do in Grad-CAM as it was published.

    Returns
    -------
    maps : ndarray of float32, shape (n, *spatial)

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    ValueError
        If the target or a parameter is none of the above, or X has another shape, or the layer
        gives nothing that has places.

    See Also
    --------
    class_activation_map : For networks that have them.

    References
    ----------
    R. R. Selvaraju, M. Cogswell, A. Das, R. Vedantam, D. Parikh and D. Batra. Grad-CAM: visual
    explanations from deep networks via gradient-based localization. ICCV, 2017.

    R. L. Draelos and L. Carin. Use HiResCAM instead of Grad-CAM for faithful explanations of
    convolutional neural networks. 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import grad_cam_map
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4, 4), max_epochs=1, random_state=0).fit(X, y)
    >>> grad_cam_map(model, X[:3], target=7, layer="stages.0").shape
    (3, 8, 8)
    """
    opened = Opened(estimator)
    weigh = opened.weigh(target)
    check("kind", kind, one_of("grad_cam", "hires_cam"))
    check("rectify", rectify, FLAG)
    samples = opened.read(X)
    places = Places(opened, samples.shape[1:], opened.outputs)
    layer, at = places.of(layer)
    with opened.at(layer) as both:

        def explain(x: Tensor) -> Tensor:
            with with_gradients():
                passing, outputs = both(x.clone().requires_grad_())
                f = (outputs * weigh(outputs.detach())).sum()
                slopes = torch.autograd.grad(f, streams(passing))
            values, slope = (opened.as_maps(parts).detach() for parts in (passing, slopes))
            if kind == "grad_cam":
                slope = slope.mean(dim=tuple(range(2, slope.ndim)), keepdim=True)
            found = (values * slope).sum(dim=1)
            return found.relu() if rectify else found

        maps = opened.run(samples, explain)
    return places.to_samples(maps, at)
