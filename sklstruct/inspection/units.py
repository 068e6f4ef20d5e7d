"""What a unit of a network says of samples: an output, a channel of a layer, one place of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray
from sklearn.base import is_classifier
from torch import Tensor

from ..layers import find_layer
from ..params import check, integer, one_of
from .opened import Opened

Said = Callable[[Tensor], tuple[Tensor, Tensor]]

OVER = one_of("mean", "max")


def responses(
    estimator: Any, X: Any, unit: Any = None, layer: str | None = None, *, over: str = "mean"
) -> NDArray[Any]:
    r"""Return how strongly samples drive a unit.

    .. math::
        f(x) = \frac{1}{P} \sum_p h_{kp}(x)
        \quad\text{or}\quad f(x) = \max_p h_{kp}(x)
        \quad\text{or}\quad f(x) = h_{kp}(x)

    of what a layer gives in a channel k at P places p; or what the network says.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.
    X : array-like, shape (n, ...)
        Samples of the shape that ``fit`` had.
    unit : label, int or tuple of int, default=None
        Without a layer, a class: of two, the difference of their logits, else a logit; None is the
        second of two classes, and of more the one that is predicted.  For a regressor the number
        of a value, in units of y about their mean.  With a layer, the number of a channel, or
        (channel, \*place).
    layer : str, default=None
        Name of a layer in ``net_.module_``; None is the output.
    over : {"mean", "max"}, default="mean"
        What counts of the places of a channel.

    Returns
    -------
    values : ndarray, shape (n,)

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    ValueError
        If there is no such layer or unit, or X has another shape.

    See Also
    --------
    maximise : The samples that drive it most.
    best_patches : The parts of samples that do.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import responses
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> responses(model, X[:5], unit=7).shape
    (5,)
    >>> at_a_place = responses(model, X[:5], unit=(2, 0, 3), layer="stages.0")
    >>> bool((at_a_place <= responses(model, X[:5], 2, "stages.0", over="max")).all())
    True
    """
    opened = Opened(estimator)
    with watched_unit(opened, unit, layer, over) as said:
        return opened.run(opened.read(X), lambda x: said(x)[0])


@contextmanager
def watched_unit(opened: Opened, unit: Any, layer: str | None, over: str) -> Iterator[Said]:
    """Give the function from standardised samples to what a unit says of them, and to features.

    The features, (n, n_features), are what the layer of the unit gives, or the samples.
    """
    check("over", over, OVER)
    with watched_places(opened, unit, layer) as at_places:

        def said(x: Tensor) -> tuple[Tensor, Tensor]:
            values, features = at_places(x)
            values = values.flatten(1)
            return values.amax(1) if over == "max" else values.mean(1), features

        yield said


@contextmanager
def watched_places(opened: Opened, unit: Any, layer: str | None) -> Iterator[Said]:
    """Give what ``watched_unit`` does, but all places of a channel, (n, 1, *places)."""
    if layer is None:
        weigh = opened.weigh(unit)

        def of_output(x: Tensor) -> tuple[Tensor, Tensor]:
            outputs = opened.outputs(x)
            return (outputs * weigh(outputs.detach())).sum(1, keepdim=True), x.flatten(1)

        yield of_output
        return
    numbers = unit if isinstance(unit, tuple) else (unit,)
    with opened.at(layer) as passing:

        def of_layer(x: Tensor) -> tuple[Tensor, Tensor]:
            maps = opened.as_maps(passing(x)[0])
            shape = tuple(maps.shape[1:])
            if len(numbers) not in (1, len(shape)) or not all(
                integer(0, extent - 1).holds(number)
                for number, extent in zip(numbers, shape, strict=False)
            ):
                raise ValueError(
                    "unit must be the number of a channel, or (channel, *place), within "
                    f"{shape} of layer={layer!r}, got {unit!r}."
                )
            return maps[:, *numbers].unsqueeze(1), maps.flatten(1)

        yield of_layer


def units_of(opened: Opened, layer: str | None) -> list[Any]:
    """Return what units there are: channels of a layer, or classes or numbers of values."""
    if layer is not None:
        find_layer(opened.network, layer, "layer")
        return list(range(opened.layers()[layer][0]))
    if is_classifier(opened.estimator):
        return opened.estimator.classes_.tolist()
    return list(range(opened.estimator.target_.n_outputs))
