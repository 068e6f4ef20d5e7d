"""Frames of products: atoms that are known by their one-dimensional factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, reduce
from math import prod
from typing import Any

import numpy as np

from ..params import remembered
from .checks import check_atoms, check_ndim, check_order, check_positive, check_scales
from .frame import Array, Frame
from .gaussian import GaussianDerivatives, Jet, jet_atoms, jet_size

MOST_VALUES = 1 << 26  # of all atoms, half a gigabyte: factors alone take next to nothing
NARROWEST = 0.4  # standard deviation in samples; a narrower Gaussian is a single sample


class ProductFrame(Frame):
    """A frame known by its factors; the atoms themselves are built only where one asks for them.

    Parameters
    ----------
    name : str
    profiles : sequence of ndarray, shape (n_atoms, extent), one for each axis
    labels, orders, scales, functions
        As of ``Frame``.
    """

    def __init__(
        self,
        name: str,
        profiles: Sequence[Array],
        labels: Any,
        orders: Any,
        scales: Any,
        functions: Any = None,
    ) -> None:
        values = {
            "name": name,
            "factors": tuple(profiles),
            "labels": tuple(labels),
            "orders": np.asarray(orders),
            "scales": np.asarray(scales),
            "orientations": np.full(len(profiles[0]), np.nan),
            "functions": functions,
        }
        self.__dict__.update(values)  # past the lock of a frozen dataclass

    def __reduce__(self) -> Any:
        names = "name", "factors", "labels", "orders", "scales", "functions"
        return type(self), tuple(getattr(self, name) for name in names)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def atoms(self) -> Array:
        """The filters, shape (n_atoms, *support)."""
        assert self.factors is not None
        if len(self) * prod(self.support) > MOST_VALUES:
            raise ValueError(
                f"{len(self)} atoms of {'x'.join(map(str, self.support))} samples, built as a "
                f"whole, must have at most {MOST_VALUES} values together: lower order or scales."
            )
        atoms = zip(*self.factors, strict=True)
        return np.stack([reduce(np.multiply.outer, profiles) for profiles in atoms])

    @cached_property
    def support(self) -> tuple[int, ...]:
        """Extents of the atoms, in samples."""
        assert self.factors is not None
        return tuple(profiles.shape[1] for profiles in self.factors)

    @cached_property
    def gram(self) -> Array:
        """Gram matrix of the atoms, the product of those of the factors."""
        assert self.factors is not None
        return np.prod([profiles @ profiles.T for profiles in self.factors], axis=0)


@remembered
def product_jet(family: GaussianDerivatives, ndim: int, step: Any = 1.0) -> ProductFrame:
    """Return the frame of a family of Gaussian derivatives, known by its factors.

    Parameters
    ----------
    family : GaussianDerivatives
    ndim : int
    step : float or sequence of float, default=1.0
        Distance of neighbouring samples along all axes or along each, in the unit of the scales.

    Raises
    ------
    ValueError
        If a parameter is out of range, or a scale too small for the step.

    See Also
    --------
    GaussianDerivatives : Such a family.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives, product_jet
    >>> product_jet(GaussianDerivatives(order=2), 3)
    Frame('gaussian', 10 atoms on 7x7x7)
    >>> product_jet(GaussianDerivatives(order=2), 3, 0.5).support
    (13, 13, 13)
    """
    ndim = check_ndim(ndim)
    order, scales = check_order(family.order, ndim), check_scales(family.scales)
    highest = max(order) if isinstance(order, tuple) else order
    check_atoms((jet_size(ndim, order) - 1) * len(scales) + 1)
    steps = [check_positive("step", value) for value in np.broadcast_to(step, ndim).tolist()]
    if scales[0] / max(steps) < NARROWEST:
        raise ValueError(
            f"Scale {scales[0]:g} is too small for samples {max(steps):g} apart: a Gaussian needs "
            f"a standard deviation of at least {NARROWEST} samples."
        )
    tables = []
    for step in steps:
        size = replace(family, order=0, scales=(scales[-1] / step,)).build(1).support[0]
        table = {  # the derivatives of order 0, 1, ... in one dimension
            scale: replace(family, order=highest, scales=(scale / step,), size=size).build(1).atoms
            for scale in scales
        }
        tables.append(table)
    # Only now, as an order that fits no support would be a list without an end.
    atoms, described = jet_atoms(ndim, order, scales)
    profiles = [
        np.stack([table[scale][index[axis]] for index, scale in atoms])
        for axis, table in enumerate(tables)
    ]
    indices = np.array([index for index, _ in atoms])
    widths = np.array([scale for _, scale in atoms])[:, None] / steps
    jet = Jet(indices, widths, tuple(rows.shape[1] for rows in profiles))
    return ProductFrame("gaussian", profiles, functions=jet, **described)
