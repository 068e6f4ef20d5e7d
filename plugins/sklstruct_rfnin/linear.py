"""A linear classifier of smoothed samples, place by place, to stand beside a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from sklstruct.estimators.calibration import best_candidate, held_out_values
from sklstruct.estimators.rows import Rows
from sklstruct.estimators.samples import smoothed

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

DEVIATION = 1.0  # of the smoothing, in samples
FLAT = 1e-3  # deviation of a place, in those of the one that varies most, that may be rounding
PENALTIES = tuple(10.0**exponent for exponent in range(-1, 6))  # inverse ones, as C elsewhere
MOST_COMPONENTS = 1000  # of the samples; beyond, there is time for little else
BLOCKS, LARGEST_BLOCK = 16, 64  # parts of the samples, of which two are in memory at a time


class LinearMap(nn.Module):
    """Linear model of samples as they are, whose weights are found and not trained.

    Parameters
    ----------
    in_shape : tuple of int
        Shape of one sample, (channels, *spatial).
    n_outputs : int
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, in_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(n_outputs, *in_shape))
        self.register_buffer("bias", torch.zeros(n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, n_outputs)."""
        return nn.functional.linear(x.flatten(1), self.weight.flatten(1), self.bias)

    def contributions(self, x: Tensor) -> Tensor:
        """Return what every place adds to the outputs, shape (n, n_outputs, *spatial)."""
        return (x[:, None] * self.weight).sum(2)


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A linear classifier, and what it says of samples that were held out from it.

    Parameters
    ----------
    weight : ndarray, shape (n_outputs, channels, *spatial)
    bias : ndarray, shape (n_outputs,)
    rows : ndarray of int, shape (m,)
        Samples that were held out.
    logits : ndarray, shape (m, n_outputs)
        Their logits.
    """

    weight: Array
    bias: Array
    rows: Labels
    logits: Array


def fit_linear(
    places: Places, codes: Labels, weight: Array, subjects: Labels, random_state: int
) -> LinearFit | None:
    r"""Fit logistic regression with squared weights to places, penalised as samples held out say.

    The weights lie in the span of the samples: with the inner products
    :math:`K = U \Lambda U^\top` of the samples it is fitted to the rows of
    :math:`U \Lambda^{1/2}`, however many places there are.

    Parameters
    ----------
    places : Places
    codes : ndarray of int, shape (n,)
        Numbers of the classes.
    weight : ndarray, shape (n,)
    subjects : ndarray of int, shape (n,)
        Whose samples are held out together.
    random_state : int
        Shuffles the folds.

    Returns
    -------
    fit : LinearFit or None
        None where no sample can be held out, or all are the same.
    """
    values, vectors = principal(places.products())
    if not len(values):
        return None
    scale = np.sqrt(values.sum() / len(codes))  # the samples have a mean squared norm of one
    features = vectors * np.sqrt(values) / scale

    def fitted(train: Labels, penalty: float) -> tuple[Array, Array]:
        return fit_classes(features[train], codes[train], weight[train], penalty)

    def decide(train: Labels, test: Labels) -> Array:
        machines = (fitted(train, penalty) for penalty in PENALTIES)
        return np.stack([features[test] @ w.T + b for w, b in machines], axis=1)

    held_out = held_out_values(decide, codes, random_state, subjects)
    if held_out is None:
        return None
    rows, candidates = held_out
    best, _ = best_candidate(candidates, codes[rows], weight[rows])
    coefficients, bias = fitted(np.arange(len(codes)), PENALTIES[best])
    duals = coefficients / (np.sqrt(values) * scale) @ vectors.T
    return LinearFit(*places.linear_map(duals, bias), rows, candidates[:, best])


class Places:
    r"""What the linear classifier sees of samples, and the way of its weights back to them.

    Sample :math:`x_i` is seen as :math:`z_i = D (S x_i - m)`, with a Gaussian smoothing S, the
    mean m over the samples and one over their deviation, D, at every place.  As S is symmetric,
    weights w of z are weights :math:`S D w` of x.  Nothing is kept but m and D: samples are seen
    in blocks, as often as it takes.

    Parameters
    ----------
    X : Rows, shape (n, channels, *spatial)
    weight : ndarray, shape (n,)
    prepare : callable
        Maps an array of samples to the tensor that the network takes.
    """

    def __init__(
        self, X: Rows, weight: Array, prepare: Callable[[NDArray[np.float32]], Tensor]
    ) -> None:
        self.X, self.prepare = X, prepare
        first, second = np.zeros((2, prod(X.shape[1:])))
        for block in self._blocks():
            smooth, share = self._smooth(block).astype(np.float64), weight[block] / weight.sum()
            first += share @ smooth
            second += share @ np.square(smooth, out=smooth)
        deviation = np.sqrt(np.maximum(second - first**2, 0))
        varies = deviation > FLAT * deviation.max()
        self.mean = first
        self.scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)

    def products(self) -> Array:
        """Return the inner products of all samples, shape (n, n)."""
        n = len(self.X)
        products = np.empty((n, n))
        for block in self._blocks():
            seen = self._see(block)
            for other in self._blocks():
                if other.start <= block.start:
                    part = seen @ (seen if other == block else self._see(other)).T
                    products[block, other], products[other, block] = part, part.T
        return products

    def linear_map(self, duals: Array, bias: Array) -> tuple[Array, Array]:
        """Return weights and bias on samples, for weights that are sums of what is seen of them.

        Parameters
        ----------
        duals : ndarray, shape (n_outputs, n)
            How often every sample counts.
        bias : ndarray, shape (n_outputs,)

        Returns
        -------
        weight : ndarray, shape (n_outputs, channels, *spatial)
        bias : ndarray, shape (n_outputs,)
        """
        sums = sum(duals[:, block] @ self._see(block) for block in self._blocks())
        weight = (sums * self.scale).reshape(len(duals), *self.X.shape[1:])
        return smoothed(weight, DEVIATION), bias - weight.reshape(len(duals), -1) @ self.mean

    def _see(self, block: slice) -> NDArray[np.floating]:
        seen = self._smooth(block)
        seen -= self.mean.astype(seen.dtype)
        seen *= self.scale.astype(seen.dtype)
        return seen

    def _smooth(self, block: slice) -> NDArray[np.floating]:
        samples = self.prepare(self.X[block]).numpy()
        return smoothed(samples, DEVIATION).reshape(len(samples), -1)

    def _blocks(self) -> Iterator[slice]:
        n = len(self.X)
        size = max(1, min(LARGEST_BLOCK, n // BLOCKS))
        return (slice(start, min(start + size, n)) for start in range(0, n, size))


def principal(products: Array) -> tuple[Array, Array]:
    """Return the positive eigenvalues of a matrix, and their eigenvectors in columns."""
    values, vectors = np.linalg.eigh(products)
    values, vectors = values[-MOST_COMPONENTS:], vectors[:, -MOST_COMPONENTS:]
    kept = values > np.finfo(np.float32).eps * values[-1]
    return values[kept], vectors[:, kept]


def fit_classes(
    features: Array, codes: Labels, weight: Array, penalty: float
) -> tuple[Array, Array]:
    """Return weights (n_classes, n_features) and biases (n_classes,) of the logits of classes."""
    machine = LogisticRegression(C=penalty, max_iter=10_000)
    machine.fit(features, codes, sample_weight=weight)
    if len(machine.classes_) > 2:
        return machine.coef_, machine.intercept_
    halves = np.array([[-0.5], [0.5]])  # of two classes, there are the logits of the second
    weights: Array = halves * machine.coef_
    return weights, halves[:, 0] * machine.intercept_
