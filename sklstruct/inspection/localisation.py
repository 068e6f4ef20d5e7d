"""How well atoms are localised in space and in frequency."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..frames import Frame
from ..plugins import make_frame

Array = NDArray[np.float64]

REACH = 2  # how many supports atoms are evaluated on, as a support may cut off their tails
FINEST, COARSEST = 1 / 8, 1.0  # distances of the points, in samples
POINTS = 2  # for each standard deviation


def uncertainty(frame: Any, ndim: int = 2) -> pd.DataFrame:
    r"""Measure the widths of atoms in space and in frequency, along each axis.

    .. math::
        \sigma_x^2 = \frac{\int (x - \bar x)^2 |\psi|^2}{\int |\psi|^2}, \qquad
        \sigma_\omega^2 = \frac{\int \omega^2 |\hat\psi|^2}{\int |\hat\psi|^2}, \qquad
        \sigma_x \sigma_\omega \ge \tfrac{1}{2}

    A Gaussian attains the bound of Heisenberg.  Its derivative of order m along the axis has
    :math:`\sqrt{(m + \tfrac{1}{2}) (m - \tfrac{1}{4}) / (m - \tfrac{1}{2})}`, 1.5, 1.71 and 1.96
    for the first three, and the Hermite function of degree m has :math:`m + \tfrac{1}{2}`.  Atoms
    are real, so their mean frequency is 0 and a wave counts as wide as its frequency is high.
    Atoms that have values off the grid are evaluated as the functions they are, without what a
    support cuts off.  Others are taken for what they are on the grid, with frequencies up to half
    a turn a sample: the less they reach this, the more the bound holds for them (a single sample
    has no width at all, and the product 0).

    Parameters
    ----------
    frame : str, frame family, Frame or array-like of shape (n_atoms, *support)
        Atoms of a transform are ``transform.synthesise(np.eye(k), spatial)``.
    ndim : int, default=2
        Dimensions of the frame of a family.

    Returns
    -------
    table : DataFrame
        One row for each atom and axis: ``atom``, ``order``, ``scale``, ``axis``, ``sigma_x`` in
        samples, ``sigma_omega`` in radians a sample and their ``product``.

    Raises
    ------
    ValueError
        If there is no such frame, or atoms have no axis, or one is 0.

    See Also
    --------
    FrameDisplay : The atoms themselves.

    References
    ----------
    D. Gabor. Theory of communication. Journal of the IEE, 1946.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.inspection import uncertainty
    >>> uncertainty(GaussianDerivatives(order=1), ndim=1).round(3)
      atom  order  scale  axis  sigma_x  sigma_omega  product
    0    g      0    1.0     0    0.707        0.707      0.5
    1  g_x      1    1.0     0    1.225        1.225      1.5
    """
    if not isinstance(frame, str) and not hasattr(frame, "build"):
        atoms = np.asarray(frame, dtype=np.float64)
        frame = Frame("atoms", np.pad(atoms, [(0, 0), *((0, 1 - n % 2) for n in atoms.shape[1:])]))
    frame = make_frame(frame)
    if not isinstance(frame, Frame):
        frame = frame.build(ndim)
    atoms, step = evaluated(frame)
    rows = [
        (frame.labels[number], frame.orders[number], frame.scales[number], axis, *sigmas)
        for number, axis in product(range(len(frame)), range(frame.ndim))
        for sigmas in [widths(atoms[number], axis, step)]
    ]
    columns = ["atom", "order", "scale", "axis", "sigma_x", "sigma_omega"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(product=table["sigma_x"] * table["sigma_omega"])


def evaluated(frame: Frame) -> tuple[Array, float]:
    """Return the values of atoms on a wide and fine grid where they have them, and its step."""
    if frame.functions is None:
        return frame.atoms, 1.0
    scale = np.nanmin(frame.scales, initial=np.inf)
    step = float(np.clip(scale / POINTS, FINEST, COARSEST))
    radii = [np.ceil(REACH * extent / 2 / step) for extent in frame.support]
    axes = [step * np.arange(-radius, radius + 1) for radius in radii]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, frame.ndim)
    return frame.evaluate(points).reshape(len(frame), *map(len, axes)), step


def widths(atom: Array, axis: int, step: float) -> tuple[float, float]:
    """Return the standard deviations of an atom in space and in frequency along an axis."""
    lines = np.moveaxis(atom, axis, -1).reshape(-1, atom.shape[axis])
    places = np.arange(lines.shape[1])
    density = (lines**2).sum(axis=0)
    away = places - np.average(places, weights=density)
    # The mean of omega^2 exp(i omega d) over frequencies of up to half a turn.
    apart = np.abs(places[:, None] - places)
    squares = np.where(apart, 2 * (-1.0) ** apart / np.maximum(apart, 1) ** 2, np.pi**2 / 3)
    in_space = np.average(away**2, weights=density)
    in_frequency = ((lines @ squares) * lines).sum() / density.sum()
    return step * float(np.sqrt(in_space)), float(np.sqrt(in_frequency)) / step
