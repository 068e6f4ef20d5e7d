"""RFNiNClassifier and RFNiNRegressor: Network in Network on frames, the scikit-learn way."""

from __future__ import annotations

from sklstruct.estimators import NetworkClassifier, NetworkRegressor

from .architecture import RFNiN


class RFNiNClassifier(RFNiN, NetworkClassifier):
    """Classifier with a Network in Network whose spatial kernels are learned on a frame.

    The mean over space knows what there is in a sample, and not where.  Much of what scans say
    that are registered to each other is about where: ``LinearStackClassifier`` puts a linear
    classifier of voxels beside this one.

    See Also
    --------
    RFNiNRegressor : The same for values.
    LinearStackClassifier : This network and a linear model together.
    VoxelSVC : A linear model to compare with.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct import RFNiNClassifier
    >>> X = np.random.default_rng(0).normal(size=(8, 12, 12, 12))
    >>> model = RFNiNClassifier(max_epochs=1, random_state=0).fit(X, [0, 1] * 4)
    >>> model.predict_proba(X).shape
    (8, 2)
    """


class RFNiNRegressor(RFNiN, NetworkRegressor):
    """Regressor with a Network in Network whose spatial kernels are learned on a frame.

    See Also
    --------
    RFNiNClassifier : The same for classes.
    LinearStackRegressor : This network and a linear model together.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct import RFNiNRegressor
    >>> X = np.random.default_rng(0).normal(size=(8, 12, 12, 12))
    >>> model = RFNiNRegressor(max_epochs=1, random_state=0).fit(X, X.std(axis=(1, 2, 3)))
    >>> model.predict(X).shape
    (8,)
    """
