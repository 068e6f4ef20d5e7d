"""Whether maps of where a network looks change when the network forgets what it has learned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from torch import Tensor

from ..compat import num_samples
from ..layers import find_layer
from ..params import SEED, check, integer, one_of, real
from ..studies.data import taken
from .means import Mean, mean_over_samples
from .methods import map_method
from .opened import Opened
from .steps import Each, listed, mask_of

Array = NDArray[Any]

MEASURES: dict[str, Callable[[Array], Array]] = {"signed": np.asarray, "magnitude": np.abs}
VALUES_AT_ONCE = 1 << 22  # of maps that are compared with one another


def sanity_check(
    method: str | Callable[..., Any],
    estimator: Any,
    X: Any,
    target: Any = None,
    *,
    layers: Sequence[str] | None = None,
    order: str = "cascade",
    n_repeats: int = 5,
    level: float = 0.5,
    mask: ArrayLike | None = None,
    random_state: Any = 0,
) -> pd.DataFrame:
    r"""Measure how maps change when the weights of a network are mixed up, layer by layer.

    .. math::
        \rho_k = \frac{1}{n} \sum_i r(m_i^0, m_i^k), \qquad
        \bar\rho_k = \frac{1}{n (n - 1)} \sum_{i \ne j} r(m_i^0, m_j^k)

    where :math:`m_i^k` is the map of sample i when k layers have lost what they learned, and r is
    Spearman's rank correlation over places.  A map that says something of a network must change
    with it: a method whose :math:`\rho_k` stays high shows the sample, as an edge detector does.
    :math:`\bar\rho_k` is what maps of other samples have in common with it anyway, as they are
    smooth and lie in the middle.

    Layers are taken from the output on.  In each, the entries of every parameter are put in
    random order: this works for any network, and keeps the values, so that what passes neither
    vanishes nor explodes.  The running statistics of norms stay.  The class that is explained is
    that of the trained network.  All this happens to a copy; the estimator stays as it is.

    Parameters
    ----------
    method : str or callable
        A name in ``MAP_METHODS``, or a callable that maps (estimator, X, target) to maps
        (n, \*spatial).
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one; the method is given a
        copy of the whole.
    X : array-like, shape (n, ...)
        Samples, two at least.
    target : label or int, default=None
        What maps are about, as of ``gradient_map``.
    layers : sequence of str, default=None
        Names of layers or groups of them, in the order in which they are mixed up.  None is all
        that have parameters, from the output to the input; what has but vectors, as norms have,
        goes together with the layer before it.
    order : {"cascade", "independent"}, default="cascade"
        Whether layers stay mixed up when the next one is, or one is at a time.
    n_repeats : int, default=5
        Over how many random orders to average.
    level : float, default=0.5
        Similarity from which on a map counts as kept.
    mask : array-like of bool, shape (\*spatial), default=None
        Places that are compared, a head say: where maps are zero by construction they are alike.
        None is the mask of scans if they have one, else all places.
    random_state : int, RandomState instance or None, default=0

    Returns
    -------
    table : DataFrame
        One row for each ``step`` and ``measure``: the number of the step, 0 for the trained
        network; the ``layer`` that is mixed up in it; the measure, "signed" for r of the values
        of maps and "magnitude" for r of their magnitudes; ``similarity``, the mean over samples
        and repeats, with ``low`` and ``high``, its interval (95 %, samples and repeats counting
        as drawn); ``chance``, the mean for other samples; and ``verdict``:

        - "kept", if ``low`` reaches the level: of these weights the map says little;
        - "unclear", if the level is in the interval: more repeats or samples would tell;
        - "changed", if the similarity is below, but larger than that with maps of other samples:
          something of the sample is left;
        - "chance", if the interval of the difference between these two reaches 0.

        The verdict on the method is in the last rows of a cascade.  A map that is the same at
        all places has the similarity 0 with any other.

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    ValueError
        If a parameter is none of the above, there is one sample only, or a layer has no
        parameters.

    See Also
    --------
    SanityDisplay : A picture of it.
    deletion : Whether the places that a map points to matter.

    Notes
    -----
    To change is necessary, not sufficient, and what is to be expected depends on the task: maps
    of a network whose samples alone decide where something is may rightly look alike (Yona and
    Greenfeld, 2021; Sundararajan and Taly, 2018, on magnitudes and signs).

    References
    ----------
    J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt and B. Kim. Sanity checks for
    saliency maps. NeurIPS, 2018.

    G. Yona and D. Greenfeld. Revisiting sanity checks for saliency maps. 2021.

    M. Sundararajan and A. Taly. A note about: local explanation methods for deep neural networks
    lack sensitivity to parameter values. 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import sanity_check
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(8, 8), max_epochs=5, random_state=0).fit(X[:300], y[:300])
    >>> table = sanity_check("gradient", model, X[300:320])
    >>> bool((table["verdict"].tail(2) == "kept").any())
    False
    >>> def sample_itself(estimator, X, target=None):
    ...     return X
    >>> sanity_check(sample_itself, model, X[300:320]).tail(2)[["layer", "measure", "verdict"]]
            layer    measure verdict
    6  stages.0.0     signed    kept
    7  stages.0.0  magnitude    kept
    """
    explain = map_method(method)
    # What others have written knows one target at a time, and occlusion one sample.
    one_run = isinstance(method, str) and method != "occlusion"
    check("order", order, one_of("cascade", "independent"))
    check("n_repeats", n_repeats, integer(1))
    check("level", level, real(above=0, most=1))
    rng = check_random_state(check("random_state", random_state, SEED))
    opened = Opened(estimator)
    groups = parameters_by_layer(opened, layers)
    X, counts = listed(estimator, X), mask_of(estimator, mask, opened.in_shape[1:])
    n = num_samples(X)
    if n < 2:
        raise ValueError(f"X must have at least two samples to compare with one another, got {n}.")
    seeds = rng.randint(2**31, size=n_repeats)
    at_once = max(2, VALUES_AT_ONCE // prod(opened.in_shape[1:]))
    parts: list[Array] = []
    for numbers in np.array_split(np.arange(n), max(1, n // at_once)):
        samples = taken(X, numbers)
        targets = targets_of(opened, samples, target)
        about = partial(maps_about, explain, samples=samples, targets=targets, one_run=one_run)
        trained = ranks(about(estimator)[:, counts.ravel()])
        repeats = [[similarities(trained, trained)] for _ in seeds]
        for found, seed in zip(repeats, seeds, strict=True):
            for changed in mixed_up(estimator, [*groups.values()], order, seed):
                now = ranks(about(changed)[:, counts.ravel()])
                found.append(similarities(trained, now))
        parts.append(np.array(repeats))
    # (steps, measures, own or others, samples, repeats)
    values = np.concatenate(parts, axis=-1).transpose(1, 2, 3, 4, 0)
    rows = []
    for step, (layer, of_step) in enumerate(zip(["", *groups], values, strict=True)):
        for measure, (own, others) in zip(MEASURES, of_step, strict=True):
            similarity, beyond = mean_over_samples(own), mean_over_samples(own - others)
            verdict = verdict_on(similarity, beyond, level)
            rows.append((step, layer, measure, *similarity, others.mean(), verdict))
    names = ["step", "layer", "measure", "similarity", "low", "high", "chance", "verdict"]
    return pd.DataFrame(rows, columns=names)


def verdict_on(similarity: Mean, beyond: Mean, level: float) -> str:
    """Return what a similarity, and what it has beyond that with other samples, say of a map."""
    if similarity.high >= level:
        return "kept" if similarity.low >= level else "unclear"
    return "chance" if beyond.low <= 0 else "changed"


def parameters_by_layer(opened: Opened, layers: Sequence[str] | None) -> dict[str, list[str]]:
    """Return the names of the parameters of layers, from the output to the input if None.

    Raises
    ------
    ValueError
        If there is no such layer, or it has no parameters.
    """
    network = opened.network
    found: dict[str, list[str]] = {}
    if layers is not None:
        for name in layers:
            own = [f"{name}.{p}" for p, _ in find_layer(network, name, "layers").named_parameters()]
            if not own:
                raise ValueError(f"layers must have parameters, but {name!r} has none.")
            found[name] = own
        return found
    running = ["", *opened.layers()]  # what belongs to no layer comes before all
    owners: dict[str, list[str]] = {name: [] for name in running}
    weights = dict(network.named_parameters())
    for parameter in weights:
        # The innermost layer that runs, as weights may be in modules that do not.
        around = [name for name in running if parameter.startswith(f"{name}.")]
        owners[max(around, key=len, default="")].append(parameter)
    last = ""
    for name, own in owners.items():
        if any(weights[parameter].ndim > 1 for parameter in own):
            last = name
        if own:
            found.setdefault(last, []).extend(own)
    return dict(reversed(found.items()))


def mixed_up(estimator: Any, groups: list[list[str]], order: str, seed: int) -> Iterator[Any]:
    """Yield a copy of an estimator again and again, each time with another layer mixed up."""
    changed = copy.deepcopy(estimator)
    weights = dict(Opened(changed).network.named_parameters())
    generator = torch.Generator().manual_seed(int(seed))
    for own in groups:
        kept = [weights[name].detach().clone() for name in own]
        for name in own:
            mix_up(weights[name], generator)
        yield changed
        if order == "independent":
            with torch.no_grad():
                for name, values in zip(own, kept, strict=True):
                    weights[name].copy_(values)


@torch.no_grad()
def mix_up(weight: Tensor, generator: torch.Generator) -> None:
    """Put the entries of a tensor in random order."""
    order = torch.randperm(weight.numel(), generator=generator)
    weight.copy_(weight.flatten()[order.to(weight.device)].view_as(weight))


def targets_of(opened: Opened, samples: Any, target: Any) -> list[Any]:
    """Return the target of each sample, of which None is what the network says now."""
    weigh = opened.weigh(target)
    weights = opened.run(opened.read(samples), lambda x: weigh(opened.outputs(x)))
    columns = weights.argmax(axis=1).tolist()
    if not is_classifier(opened.estimator):
        return columns
    classes = opened.estimator.classes_.tolist()
    return [classes[column] for column in columns]


def maps_about(
    explain: Callable[..., Any], estimator: Any, samples: Any, targets: list[Any], one_run: bool
) -> Array:
    """Return the maps of samples, each about its own target, (n, n_places)."""
    if one_run:
        return np.reshape(explain(estimator, samples, Each(targets)), (len(targets), -1))
    maps: dict[int, Array] = {}
    for target in dict.fromkeys(targets):
        numbers = np.array([n for n, own in enumerate(targets) if own == target])
        found = explain(estimator, taken(samples, numbers), target)
        maps |= zip(numbers.tolist(), found, strict=True)
    return np.stack([np.ravel(maps[number]) for number in range(len(targets))])


def ranks(maps: Array) -> Array:
    """Return the centred ranks of maps by every measure, of unit norm, (n_measures, n, places)."""
    ranked = np.stack([rankdata(measure(maps), axis=1) for measure in MEASURES.values()])
    ranked -= ranked.mean(axis=-1, keepdims=True)
    norms = np.linalg.norm(ranked, axis=-1, keepdims=True)
    return ranked / np.where(norms > 0, norms, 1)


def similarities(trained: Array, now: Array) -> Array:
    """Return how similar maps are to their own and to others, (n_measures, 2, n)."""
    each = trained @ now.swapaxes(1, 2)
    own = np.einsum("mii->mi", each)
    return np.stack([own, (each.sum(axis=2) - own) / (each.shape[1] - 1)], axis=1)
