"""How samples are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


def stratified_order(classes: Indices, rng: np.random.Generator) -> Indices:
    r"""Return all samples in a random order of which every head and tail is stratified.

    The j-th of the :math:`n_c` samples of a class comes at the place
    :math:`(j + 1/2) / n_c`, as in the apportionment of Webster and Sainte-Lague; but the first
    ones of all classes come first, and the last ones last.  So a head or tail holds every class
    as soon as it is as long as there are classes, and holds them in proportion from then on.

    Parameters
    ----------
    classes : ndarray of int, shape (n_samples,)
        Numbers of the classes, from 0.
    rng : Generator

    Returns
    -------
    order : ndarray of int, shape (n_samples,)
    """
    counts = np.bincount(classes)
    # train_test_split draws every size anew: larger training sets would not hold smaller ones.
    shuffled = rng.permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    size = np.repeat(counts, counts)
    rank = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = (rank + 0.5) / size
    place[rank == size - 1] = 1
    place[rank == 0] = 0
    return by_class[np.lexsort((rng.random(len(place)), place))]


def estimator_seed(random_state: int, *numbers: int) -> int:
    """Return the seed of every estimator that is fitted on one training set, by its numbers."""
    # Not random_state + draw: seeds of neighbouring draws and studies would coincide.
    return int(np.random.SeedSequence([random_state, *numbers]).generate_state(1)[0])
