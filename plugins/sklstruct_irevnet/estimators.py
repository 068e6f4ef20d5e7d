"""IRevNetClassifier and IRevNetRegressor: the invertible network the scikit-learn way."""

from __future__ import annotations

from sklstruct.estimators import NetworkClassifier, NetworkRegressor

from .architecture import IRevNet


class IRevNetClassifier(IRevNet, NetworkClassifier):
    """Classifier with an invertible network, whose representations can be mapped back to samples.

    ``transform`` gives the last representation, or that of a block that ``feature_layer`` names,
    such as "stages.block3"; ``inverse_transform`` gives the samples back.

    See Also
    --------
    IRevNetRegressor : The same for values.
    RFNNClassifier : Loses information by design, and learns from fewer samples.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import IRevNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = IRevNetClassifier(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> Z = model.fit(X[:50], y[:50]).transform(X[:3])
    >>> bool(np.allclose(model.inverse_transform(Z), X[:3], atol=1e-3))
    True
    """


class IRevNetRegressor(IRevNet, NetworkRegressor):
    """Regressor with an invertible network, whose representations can be mapped back to samples.

    See Also
    --------
    IRevNetClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import IRevNetRegressor
    >>> X = load_digits().images[:60]
    >>> ink = X.mean(axis=(1, 2))
    >>> model = IRevNetRegressor(max_epochs=1, random_state=0).fit(X, ink)
    >>> model.reconstruction_error(X) < 1e-5
    True
    """
