"""A frame of discrete cosines."""

from functools import reduce
from itertools import product

import numpy as np

from sklstruct.frames import Frame, FrameFamily


class DiscreteCosines(FrameFamily):
    r"""The atoms of lowest frequency of the discrete cosine transform, orthonormal.

    .. math:: \psi_k(x) \propto \prod_i \cos(\pi k_i (x_i + 1/2) / \text{size})

    Parameters
    ----------
    order : int, default=2
        Highest number of half waves along every axis, below ``size``.
    size : int, default=5
        Extent of the support along every axis, odd.
    """

    order: int = 2
    size: int = 5

    def build(self, ndim):
        """Return the frame of (order + 1)**ndim atoms."""
        if not 0 <= self.order < self.size:
            raise ValueError(f"order must be in [0, size), got {self.order} of {self.size}.")
        x, k = np.arange(self.size) + 0.5, np.arange(self.order + 1)
        waves = np.cos(np.pi * np.outer(k, x) / self.size)
        waves /= np.linalg.norm(waves, axis=1, keepdims=True)
        indices = list(product(k, repeat=ndim))
        atoms = [reduce(np.multiply.outer, waves[list(index)]) for index in indices]
        labels = ["dct" + "".join(map(str, index)) for index in indices]
        return Frame("dct", np.stack(atoms), labels, orders=[sum(index) for index in indices])
