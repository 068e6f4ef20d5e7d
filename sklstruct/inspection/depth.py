"""What becomes of classes from block to block of a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.base import is_classifier
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from ..estimators.samples import as_array
from ..params import check, integer, one_of
from ..studies.tasks import is_dense
from ..threads import one_blas_thread
from .blocks import Array, block_features, block_names
from .opened import Opened

PENALTIES = tuple(10.0**k for k in range(-2, 3))  # where the mean squared norm of samples is 1
FOLDS = 5
ROUNDING = 1e-5  # of distances, which are those of features in single precision
SMALLEST = 0.05  # share of the distances between classes that the second margin leaves out


def accuracy_by_depth(
    estimator: Any,
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    *,
    layers: Sequence[str] | None = None,
) -> pd.DataFrame:
    r"""Measure how well classes can be told apart after every block of a network.

    Features are averaged over all places, :math:`\bar\Phi_j(x) = \frac{1}{P} \sum_p
    \Phi_j(x)(p)`, and standardised.  A linear support vector machine then says how far classes
    are linearly separated, and the label of the nearest neighbour how much distances mean.  Both
    are fitted to the training samples alone, which also choose the penalty of the machine, by
    cross-validation in up to five folds.

    Parameters
    ----------
    estimator : fitted network classifier
        Or a pipeline or a search that ends in one.
    X : array-like, shape (n, ...)
        Training samples, such as those that the network was fitted to.
    y : array-like, shape (n,)
        Their labels.
    X_test : array-like, shape (n_test, ...)
    y_test : array-like, shape (n_test,)
    layers : sequence of str, default=None
        Names of the layers in ``net_.module_``, in their order; None takes the blocks of the
        network, which are the children of its ``stages``.

    Returns
    -------
    table : DataFrame
        One row for each layer and classifier: ``layer``, ``depth`` from 1, ``classifier``, which is
        "linear_svm" or "nearest_neighbour", ``accuracy`` on the test samples and ``n_features``.
        The last row is the network itself, with layer and classifier "head".

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network classifier.
    ValueError
        If the network has no stages and no layers are named, there is no such layer, a class has
        a single training sample, or the data cannot be used.

    See Also
    --------
    accuracy_by_components : The same over the dimension.
    contraction_by_depth : Distances within and between classes.
    DepthDisplay : A picture of it.

    References
    ----------
    J.-H. Jacobsen, A. W. M. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR,
    2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import accuracy_by_depth
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> table = accuracy_by_depth(model, X[:100], y[:100], X[100:150], y[100:150])
    >>> table[["layer", "depth", "classifier", "n_features"]]
          layer  depth         classifier  n_features
    0  stages.0      1         linear_svm           4
    1  stages.0      1  nearest_neighbour           4
    2  stages.1      2         linear_svm           8
    3  stages.1      2  nearest_neighbour           8
    4      head      3               head          10
    """
    opened = opened_classifier(estimator)
    names = block_names(estimator, layers)
    labels, labels_test = labels_of(X, y, "y"), labels_of(X_test, y_test, "y_test")
    training = block_features(estimator, X, names)
    tested = block_features(estimator, X_test, names)
    rows: list[tuple[Any, ...]] = []
    for depth, (name, *features) in enumerate(zip(names, training, tested, strict=True), 1):
        scores = probe(*standardised(*features), labels, labels_test)
        width = features[0].shape[1]
        rows += [(name, depth, kind, accuracy, width) for kind, accuracy in scores.items()]
    head = float(estimator.score(X_test, y_test))
    rows.append(("head", len(names) + 1, "head", head, opened.estimator.target_.n_outputs))
    return pd.DataFrame(rows, columns=["layer", "depth", "classifier", "accuracy", "n_features"])


def accuracy_by_components(
    estimator: Any,
    X: Any,
    y: Any,
    X_test: Any,
    y_test: Any,
    *,
    n_components: Sequence[int] | None = None,
    layer: str | None = None,
) -> pd.DataFrame:
    r"""Measure in how many dimensions of a representation classes can be told apart.

    The classifiers of ``accuracy_by_depth`` see :math:`\pi_d \bar\Phi(x)`, the first d principal
    components of the features, which are averaged over all places and standardised.  Components
    are those of the training samples, and keep their variances.

    Parameters
    ----------
    estimator, X, y, X_test, y_test
        As ``accuracy_by_depth`` takes them.
    n_components : sequence of int, default=None
        Numbers of components; None are the powers of two, and all.
    layer : str, default=None
        Name of a layer in ``net_.module_``; None takes the last block of the network.

    Returns
    -------
    table : DataFrame
        One row for each number and classifier: ``n_components``, ``classifier``, ``accuracy`` on
        the test samples, and ``variance``, the share of the components in that of all features.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network classifier.
    ValueError
        If there are not so many components, or ``accuracy_by_depth`` would refuse the rest.

    See Also
    --------
    accuracy_by_depth : The same over the depth.
    ComponentsDisplay : A picture of it.

    References
    ----------
    J.-H. Jacobsen, A. W. M. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR,
    2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import accuracy_by_components
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> table = accuracy_by_components(model, X[:100], y[:100], X[100:150], y[100:150])
    >>> table["n_components"].unique().tolist()
    [1, 2, 4, 8]
    """
    opened_classifier(estimator)
    names = block_names(estimator, None if layer is None else [layer])[-1:]
    labels, labels_test = labels_of(X, y, "y"), labels_of(X_test, y_test, "y_test")
    training, tested = standardised(
        *block_features(estimator, X, names), *block_features(estimator, X_test, names)
    )
    most = min(training.shape)
    if n_components is None:
        n_components = sorted({most, *(2**k for k in range(most.bit_length()))})
    for number in n_components:
        check("Each of n_components", number, integer(1, most))
    with one_blas_thread():
        components = PCA(svd_solver="full").fit(training)
        training, tested = components.transform(training), components.transform(tested)
    shares = np.cumsum(components.explained_variance_ratio_)
    rows = [
        (number, kind, accuracy, shares[number - 1])
        for number in n_components
        for kind, accuracy in probe(
            training[:, :number], tested[:, :number], labels, labels_test
        ).items()
    ]
    return pd.DataFrame(rows, columns=["n_components", "classifier", "accuracy", "variance"])


def contraction_by_depth(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    layers: Sequence[str] | None = None,
    places: str = "mean",
) -> pd.DataFrame:
    r"""Measure how blocks of a network contract classes, and keep them apart.

    With distances :math:`d_j(x, x') = \|\Phi_j(x) - \Phi_j(x')\|` after block j, divided by their
    mean over all pairs of samples, so that units and numbers of features do not matter,

    .. math::
        d_j(x, x') \le d_0(x, x') \quad\text{if } f(x) = f(x'), \qquad
        d_j(x, x') > \varepsilon \quad\text{if } f(x) \ne f(x')

    are what a network should come to that generalises: it contracts classes, compared with the
    standardised samples :math:`\Phi_0(x) = x`, and leaves a margin between them.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.
    X : array-like, shape (n, ...)
        All pairs of them are compared, so at most some thousands.
    y : array-like, shape (n,)
        Labels.
    layers : sequence of str, default=None
        Names of the layers in ``net_.module_``, in their order; None takes the blocks of the
        network, which are the children of its ``stages``.
    places : {"mean", "all"}, default="mean"
        Whether features are averaged over all places, or the values at each count; these are
        then all in memory.  Samples themselves are never averaged.

    Returns
    -------
    table : DataFrame
        One row for the samples, at depth 0 with layer "input", and for each layer: ``layer``,
        ``depth``, ``ratio`` of the mean distance within classes to that between them,
        ``contracted``, the share of pairs within a class that are no farther apart than as
        samples (NaN for these), ``margin``, the smallest distance between classes, and
        ``margin_5``, their 5 % quantile, which does not hang on a single pair.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network estimator.
    ValueError
        If there are no two classes, or no class of two samples, all samples are the same after
        a layer, the network has no stages and no layers are named, or there is no such layer.

    See Also
    --------
    accuracy_by_depth : What classifiers make of it.
    DepthDisplay : A picture of it.

    References
    ----------
    J.-H. Jacobsen, A. W. M. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR,
    2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import contraction_by_depth
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X, y)
    >>> table = contraction_by_depth(model, X, y)
    >>> table["layer"].tolist(), table.columns[2:].tolist()
    (['input', 'stages.0', 'stages.1'], ['ratio', 'contracted', 'margin', 'margin_5'])
    """
    opened = Opened(estimator)
    check("places", places, one_of("mean", "all"))
    names = block_names(estimator, layers)
    labels = np.unique(labels_of(X, y, "y"), return_inverse=True)[1]
    alike = pdist(labels[:, np.newaxis]) == 0
    if alike.all() or not alike.any():
        raise ValueError(
            "y must have two classes, and one of them two samples, got "
            f"{len(np.unique(labels))} in {len(labels)} samples."
        )
    samples = opened.estimator._to_tensor(opened.read(X)[:]).flatten(1).double()
    features = [samples.numpy(), *block_features(estimator, X, names, places)]
    rows: list[tuple[Any, ...]] = []
    for depth, (name, values) in enumerate(zip(["input", *names], features, strict=True)):
        distances = relative_distances(values, name)
        within, between = distances[alike], distances[~alike]
        if depth == 0:
            before, contracted = within, np.nan
        else:
            contracted = np.mean(within <= before * (1 + ROUNDING))
        margins = between.min(), np.quantile(between, SMALLEST)
        rows.append((name, depth, within.mean() / between.mean(), contracted, *margins))
    columns = ["layer", "depth", "ratio", "contracted", "margin", "margin_5"]
    return pd.DataFrame(rows, columns=columns)


def opened_classifier(estimator: Any) -> Opened:
    """Return a network classifier, or raise TypeError unless it has one label a sample."""
    opened = Opened(estimator)
    if not is_classifier(estimator) or is_dense(estimator):
        raise TypeError(
            "estimator must be a classifier with one label a sample, got "
            f"{type(opened.estimator).__name__}."
        )
    return opened


def labels_of(X: Any, y: Any, name: str) -> NDArray[Any]:
    """Return labels as an array, or raise ValueError unless there is one for each sample."""
    labels = column_or_1d(as_array(y))
    check_classification_targets(labels)
    if len(X) != len(labels):
        raise ValueError(
            f"{name} must have a label for each of {len(X)} samples, got {len(labels)}."
        )
    return labels


def standardised(training: Array, tested: Array) -> tuple[Array, Array]:
    """Return features less the mean of the training samples, divided by their deviation."""
    scaler = StandardScaler().fit(training)
    return scaler.transform(training), scaler.transform(tested)


@one_blas_thread()
def probe(
    training: Array, tested: Array, labels: NDArray[Any], labels_test: NDArray[Any]
) -> dict[str, float]:
    """Return the accuracies of two classifiers that are fitted to training samples alone."""
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.min() < 2:
        raise ValueError(
            "y must have two classes or more, each of two samples or more, got "
            f"{len(counts)} classes of at least {counts.min()}."
        )
    unit = np.square(training).sum(axis=1).mean() or 1.0
    machine = GridSearchCV(
        SVC(kernel="linear", random_state=0),  # else it would draw a seed, to no use
        {"C": [penalty / unit for penalty in PENALTIES]},
        cv=StratifiedKFold(min(FOLDS, counts.min())),
    )
    probes = {"linear_svm": machine, "nearest_neighbour": KNeighborsClassifier(1)}
    return {
        name: float(model.fit(training, labels).score(tested, labels_test))
        for name, model in probes.items()
    }


def relative_distances(features: Array, name: str) -> Array:
    """Return the distances of all pairs, divided by their mean, shape (n_pairs,)."""
    distances = pdist(features)
    mean = distances.mean()
    if not mean > 0:
        raise ValueError(f"All samples of X have the same features in layer {name!r}.")
    return distances / mean
