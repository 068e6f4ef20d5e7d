"""Any architecture as an estimator."""

from __future__ import annotations

from typing import Any

from ..architecture import make_architecture
from ..params import param
from .classifier import NetworkClassifier
from .regressor import NetworkRegressor


class StructuredClassifier(NetworkClassifier):
    """Classifier with any architecture.

    Parameters
    ----------
    architecture : str, Architecture or callable, default="linear"
        A registered name, see ``sklstruct list``; an architecture such as
        ``RFNN(widths=(32, 32))``, or its class; or a function ``(in_shape, n_outputs) -> Module``.
        Its parameters can be set and searched: ``architecture__frame__order``.

    See Also
    --------
    StructuredRegressor : The same for values.
    StructuredMapClassifier : A label at every place.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import StructuredClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = StructuredClassifier(architecture="rfnn", image_shape=(8, 8), max_epochs=1)
    >>> model = model.set_params(architecture__frame="pixel", random_state=0)
    >>> model.fit(X[:50], y[:50]).predict(X[:3]).shape
    (3,)
    """

    architecture: Any = param("linear", resolve=make_architecture)


class StructuredRegressor(NetworkRegressor):
    """Regressor with any architecture.

    Parameters
    ----------
    architecture : str, Architecture or callable, default="linear"
        As ``StructuredClassifier`` takes it.

    See Also
    --------
    StructuredClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import StructuredRegressor
    >>> X = load_digits().images[:60]
    >>> ink = X.mean(axis=(1, 2))
    >>> model = StructuredRegressor(architecture="rfnn", max_epochs=1, random_state=0)
    >>> model.fit(X, ink).predict(X[:3]).shape
    (3,)
    """

    architecture: Any = param("linear", resolve=make_architecture)
