"""RegionSVC: a linear support vector machine on one number for each region of an atlas."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sklstruct.io import OfRegions, RegionMeans
from sklstruct.params import all_or_nothing
from sklstruct.threads import one_blas_thread

from .duals import Array
from .linear import LinearSVC
from .pairs import smallest_margins


class RegionSVC(OfRegions, LinearSVC):
    r"""Linear support vector machine on the mean of every region of an atlas, from NIfTI files.

    The numbers of ``RegionMeans`` are centred and divided by their deviation over the training
    files.  The decision value of a class is its smallest margin over any other one.  The
    penalty C is that of least log loss on samples held out, on which the temperature of the
    probabilities :math:`\mathrm{softmax}(f(x) / T)` is found too.

    Attributes
    ----------
    regions_ : RegionMeans
    region_labels_ : ndarray of int, shape (n_regions,)
    coef_ : ndarray, shape (n_pairs, n_regions)
        What each number adds to the margin of the second class of a pair over the first; for
        the pairs (0, 1), (0, 2) ... (1, 2) ...

    See Also
    --------
    RegionMeans : The means that it stands on.
    VoxelSVC : All voxels.

    Examples
    --------
    >>> from sklstruct import RegionSVC
    >>> from sklstruct.datasets import simulate_cohort
    >>> cohort = simulate_cohort("study", n_subjects=8, random_state=0)
    >>> atlas = "study/derivatives/truth/label-atrophy_mask.nii.gz"
    >>> model = RegionSVC(atlas=atlas).fit(cohort.X, cohort.y)
    >>> model.predict_proba(cohort.X).shape
    (8, 2)
    """

    @all_or_nothing
    @one_blas_thread()
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Find the regions, choose the penalty on samples held out, then fit the machine on all.

        Parameters
        ----------
        X : array-like of str or path-like, shape (n,) or (n, 1)
            Paths, as ``NiftiVolumes`` takes them.
        y : array-like, shape (n,)
            Labels of any type.
        sample_weight : array-like, shape (n,), default=None
            Not negative; samples of weight 0 are left out.
        groups : array-like, shape (n,), default=None
            Subjects, whose samples are held out together.

        Returns
        -------
        self

        Raises
        ------
        OSError, TypeError, ValueError
            If a parameter, a file or the labels cannot be used; the message says which and why.
        """
        self.check_params()
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)  # before files are read, which takes long
        own = {name: getattr(self, name) for name in RegionMeans().get_params(deep=False)}
        self.regions_ = RegionMeans(**own).fit(X)
        numbers = self.regions_.transform(X)
        check_consistent_length(numbers, y)
        # Regions are no neighbours to be smoothed, but differ much in their deviation.
        self._learn(numbers[:, np.newaxis], y, sample_weight, groups, (None,), True)
        self.coef_ = self.coef_[:, 0]
        self.region_labels_ = self.regions_.region_labels_
        self.n_features_in_ = 1
        return self

    def region_weights(self) -> pd.DataFrame:
        """Return the weights as a table.

        Returns
        -------
        table : DataFrame
            One row a region with the columns label, name and one for each pair of classes, such
            as "1 over 0", with the weight of the number in units of its own.
        """
        check_is_fitted(self)
        pairs = [f"{b} over {a}" for a, b in combinations(self.classes_, 2)]
        table = {"label": self.region_labels_, "name": self.regions_.region_names_}
        return pd.DataFrame(table | dict(zip(pairs, self.coef_, strict=True)))

    @one_blas_thread()
    def _values(self, X: Any) -> Array:
        check_is_fitted(self)
        return smallest_margins(self._outputs(self.regions_.transform(X), self.coef_))
