"""How a network stretches the neighbourhood of a sample."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor
from torch.nn.functional import one_hot

from ..estimators.base import representation
from ..estimators.samples import as_array
from ..params import check, integer
from ..threads import one_blas_thread
from ..training import limited_threads
from .blocks import Array
from .opened import Opened

MOST_ENTRIES = 2**24  # of a Jacobian that is held
MOST_ROWS = 2**14  # that are computed for the sum of their squares, one after another
COPIES, VALUES_AT_ONCE = 64, 2**20  # of a sample, in one batch


def singular_values(
    estimator: Any, sample: Any, k: int | None = None, *, layer: str | None = None
) -> pd.DataFrame:
    r"""Return the singular values of the Jacobian of a representation at a sample.

    .. math::
        \Phi(a) \approx \Phi(x) + \partial\Phi(x) \, (a - x), \qquad
        \sigma_1 \ge \sigma_2 \ge \dots \quad\text{of}\quad \partial\Phi(x)

    for standardised samples x, as the network sees them.  An isometry has ones only.  Where they
    fall fast, the representation is linear in few directions about the sample, and it is hard to
    invert by iteration.

    Everything is computed in double precision.  A Jacobian of up to 16.8 million entries is held
    as a whole and decomposed.  Of a larger one only products with vectors are computed, and the
    largest values are found by Lanczos iterations.  The sum of all squares, which energies are
    shares of, is exact too: it is that of the rows or of the columns, whichever are fewer, and
    costs as many products.  Where both exceed 16384, energies are NaN.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.
    sample : array-like, shape (...)
        One sample, of the shape and in the units that ``fit`` had.
    k : int, default=None
        How many of the largest values; None is all.
    layer : str, default=None
        Name of a layer in ``net_.module_``; None takes what ``transform`` returns.

    Returns
    -------
    table : DataFrame
        One row for each value, the largest first: its ``rank`` from 1, ``value``, ``energy``, the
        sum of squares up to this rank as a share of that of all, and ``fraction``, the rank as a
        share of the number of all.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network estimator.
    ValueError
        If the sample has another shape, there is no such layer, k exceeds the number of values,
        or is None for a Jacobian that is too large to be held.

    See Also
    --------
    SingularValuesDisplay : A picture of them.
    interpolate : What a representation is inverted for.

    References
    ----------
    J.-H. Jacobsen, A. W. M. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR,
    2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import singular_values
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> table = singular_values(model, X[0])
    >>> len(table), table.columns.tolist()
    (64, ['rank', 'value', 'energy', 'fraction'])
    """
    opened = Opened(estimator)
    check("k", k, integer(1) | None)
    x = network_input(opened, sample)
    network = copy.deepcopy(opened.network).requires_grad_(False).to(x)
    by_default = opened.estimator.feature_layer, "feature_layer"
    named = by_default if layer is None else (layer, "layer")
    with (
        limited_threads(opened.estimator.n_threads),
        one_blas_thread(),
        representation(network, *named) as features,
    ):
        jacobian = Jacobian.of(lambda x: opened.as_rows(features(x)), x)
        n_values = min(jacobian.shape)
        if k is not None and k > n_values:
            raise ValueError(f"k must be at most {n_values}, the number of values, got {k}.")
        values, total = jacobian.decompose(k)
    rank = 1 + np.arange(len(values))
    return pd.DataFrame(
        {
            "rank": rank,
            "value": values,
            "energy": np.cumsum(values**2) / (total or np.nan),
            "fraction": rank / n_values,
        }
    )


def network_input(opened: Opened, sample: Any) -> Tensor:
    """Return a sample as the network is given it, in double precision, (1, *in_shape)."""
    X = np.asarray(as_array(sample))[np.newaxis]
    shape = X.shape[1:] if opened.steps else opened.estimator.sample_shape_
    if X.shape[1:] != shape:
        raise ValueError(f"sample must have the shape {shape}, got {X.shape[1:]}.")
    device = next(opened.network.parameters()).device
    x = opened.estimator._to_tensor(opened.read(X)[:])
    return x.double().to("cpu" if device.type == "mps" else device)  # which lacks doubles


@dataclass(frozen=True)
class Jacobian:
    """The Jacobian of a function at a sample, known by its products with vectors.

    Samples of a batch do not see one another.  So a batch of copies of the sample, with a vector
    for each, gives many products at once.

    Parameters
    ----------
    function : callable
        Maps (n, *in_shape) to (n, n_outputs).
    x : Tensor, shape (1, *in_shape)
    shape : tuple of int
        (n_outputs, n_inputs).
    """

    function: Callable[[Tensor], Tensor]
    x: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, function: Callable[[Tensor], Tensor], x: Tensor) -> Jacobian:
        """Return the Jacobian at a sample."""
        with torch.no_grad():
            return cls(function, x, (function(x).shape[1], x.numel()))

    def pull(self, weights: Tensor) -> Tensor:
        """Return the products of the transpose with weights of outputs, (n, n_inputs)."""
        copies = self.x.expand(len(weights), *self.x.shape[1:]).contiguous()
        # By a transform, under which no layer leaves out what second derivatives need.
        transpose = torch.func.vjp(self.function, copies)[1]
        return transpose(weights)[0].flatten(1)

    def push(self, directions: Tensor) -> Tensor:
        """Return the products with directions of samples, (n, n_outputs)."""
        # What pulls is linear in the weights, so its own transpose pushes.
        weights = self.x.new_zeros(len(directions), self.shape[0])
        return torch.func.vjp(self.pull, weights)[1](directions)[0]

    def rows(self) -> Iterator[NDArray[Any]]:
        """Yield the rows some at a time, or the columns if they are fewer."""
        n_outputs, n_inputs = self.shape
        multiply, n = (self.pull, n_outputs) if n_outputs <= n_inputs else (self.push, n_inputs)
        step = min(COPIES, max(1, VALUES_AT_ONCE // max(self.shape)))
        for start in range(0, n, step):
            numbers = torch.arange(start, min(start + step, n), device=self.x.device)
            yield multiply(one_hot(numbers, n).to(self.x)).numpy(force=True)

    def decompose(self, k: int | None) -> tuple[Array, float]:
        """Return the k largest singular values, and the sum of the squares of all."""
        if prod(self.shape) <= MOST_ENTRIES:
            values = np.linalg.svd(np.concatenate([*self.rows()]), compute_uv=False)
            return values[:k], float(np.square(values).sum())
        if k is None or k == min(self.shape):
            raise ValueError(
                f"k must be an integer below {min(self.shape)} for a Jacobian of shape "
                f"{self.shape}, which is too large to be held, got {k}."
            )
        total = np.nan
        if min(self.shape) <= MOST_ROWS:
            total = sum(float(np.square(rows).sum()) for rows in self.rows())
        return self.largest(k), total

    def largest(self, k: int) -> Array:
        """Return the k largest singular values by Lanczos iterations."""

        def on_arrays(multiply: Callable[[Tensor], Tensor]) -> Callable[[Array], Array]:
            def multiply_array(v: Array) -> Array:
                return multiply(torch.from_numpy(v.reshape(1, -1)).to(self.x))[0].numpy(force=True)

            return multiply_array

        products = on_arrays(self.push), on_arrays(self.pull)
        operator = LinearOperator(self.shape, *products, dtype=np.dtype(np.float64))
        # Any start that is not orthogonal to what is sought, but always the same.
        start = np.random.default_rng(0).normal(size=min(self.shape))
        values = svds(operator, k, v0=start, return_singular_vectors=False)
        return np.sort(values)[::-1]
