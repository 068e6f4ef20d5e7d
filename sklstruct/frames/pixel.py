"""The pixel basis: one atom for each sample, the unstructured reference."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .checks import check_ndim, check_size, check_values
from .frame import Frame, FrameFamily


class Pixels(FrameFamily):
    r"""The canonical basis :math:`\psi_k(x) = \delta(x - x_k)` of the patches.

    A convolution on this frame is exactly the ordinary convolution, so it makes the
    unstructured twin of every frame network.

    Parameters
    ----------
    size : int, default=7
        Extent of the support along every axis, odd; the default is the extent of
        ``GaussianDerivatives()``.

    See Also
    --------
    Framelets : Masks that span the same kernels.
    GaussianDerivatives : Fewer atoms than pixels.

    Examples
    --------
    >>> from sklstruct.frames import Pixels
    >>> frame = Pixels(size=3).build(ndim=2)
    >>> frame
    Frame('pixel', 9 atoms on 3x3)
    >>> frame.is_tight, float(frame.condition_number)
    (True, 1.0)
    """

    size: int = 7

    free: ClassVar[bool] = True

    def build(self, ndim: int) -> Frame:
        """Return the orthonormal frame of size**ndim atoms."""
        size, ndim = check_size(self.size), check_ndim(ndim)
        n = size**ndim
        check_values(n, size, ndim)
        return Frame("pixel", np.eye(n).reshape(n, *(size,) * ndim))
