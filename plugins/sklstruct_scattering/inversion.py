"""Signals that have given coefficients: a look at what these keep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

MEMORY = 20  # pairs of steps and gradients that the quasi-Newton method remembers


def matching_signal(
    features: Callable[[Tensor], Tensor], target: Tensor, start: NDArray[np.float64], n_steps: int
) -> NDArray[np.float64]:
    r"""Descend from a start towards a signal of given coefficients.

    .. math::
        \min_x \|S x - s\|^2 / \|s\|^2

    by the limited-memory quasi-Newton method of Broyden, Fletcher, Goldfarb and Shanno.

    Parameters
    ----------
    features : callable
        Maps a tensor (1, *shape) to (1, n_features); positively homogeneous.
    target : Tensor, shape (n_features,)
        The coefficients s.
    start : ndarray, shape (*shape,)
        Scaled such that its coefficients have the norm of s.
    n_steps : int

    Returns
    -------
    signal : ndarray, shape (*shape,)
    """
    norm = target.norm()
    if norm == 0:
        return np.zeros_like(start)

    def as_tensor(values: NDArray[np.float64]) -> Tensor:
        return torch.tensor(values, dtype=target.dtype, device=target.device).view(1, *start.shape)

    def distance(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        x = as_tensor(values).requires_grad_()
        loss = ((features(x)[0] - target) / norm).square().sum()  # divided first: no underflow
        (gradient,) = torch.autograd.grad(loss, x)
        return loss.item(), gradient.double().cpu().numpy().ravel()

    # Coefficients grow as the signal does: their norm can be right from the start.
    scale = (norm / features(as_tensor(start)).norm()).item()
    # n_steps alone ends the descent; a step may take two evaluations.
    options = {"maxiter": n_steps, "maxfun": 2 * n_steps, "maxcor": MEMORY, "ftol": 0, "gtol": 0}
    found = minimize(distance, scale * start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(start.shape)
