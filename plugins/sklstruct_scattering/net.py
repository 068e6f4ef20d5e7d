"""A trained network on top of scattering, and its twin on pixels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sklstruct import Architecture
from sklstruct.estimators import NetworkClassifier
from sklstruct.layers import BATCH_NORM, CONV, MAX_POOL, Dropout, Network
from sklstruct.params import FLAG, integer, one_of, param, real

from .checks import COUNT
from .features import OnWavelets
from .scattering import Scattering

MEAN_POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}

SHARE = real(least=0, below=1)
SMALL = 0.01  # coefficients below are as good as 0, for samples of unit variance


class ScatteringNet(OnWavelets, Architecture):
    r"""Scattering coefficients, a few residual blocks at their resolution, one linear layer.

    .. math::
        h_0 = W \, \mathrm{norm}(\log(S x + \varepsilon)), \qquad
        h_l = h_{l-1} + F_l(h_{l-1})

    Made for very few samples, down to ten of a class.  With so little to learn from, most is
    gained by zeroing whole coefficients in training: no small set of paths is then relied on.

    Parameters
    ----------
    front : {"scattering", "pixels"}, default="scattering"
        What the blocks stand on.  "pixels" is the plain twin: J stages of a free convolution,
        rectifier and pooling, and a pooling of what is left to the same resolution.
    J : int, default=2
        The blocks work at every 2^J-th sample.
    learnable : bool, default=False
        Whether the wavelets are trained too (two dimensions only).
    width : int, default=64
        Channels of the blocks.
    n_blocks : int, default=1
        Residual blocks of two 3x3 convolutions.
    input_dropout, dropout, head_dropout : float, default=0.3, 0.2 and 0.5
        Of whole coefficients, inside every block, and before the linear layer.
    n_cells : int, default=2
        Along each axis; the linear layer sees the mean of each cell.

    See Also
    --------
    ScatteringNetClassifier : The estimator that trains it.

    References
    ----------
    E. Oyallon, E. Belilovsky and S. Zagoruyko. Scaling the scattering transform: deep hybrid
    networks. ICCV, 2017.

    E. Oyallon, S. Zagoruyko, G. Huang, N. Komodakis, S. Lacoste-Julien, M. Blaschko and
    E. Belilovsky. Scattering networks for hybrid representation learning. PAMI, 2018.

    S. Gauthier et al. Parametric scattering networks. CVPR, 2022.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_scattering.net import ScatteringNet
    >>> network = ScatteringNet(J=2, width=8).build(in_shape=(3, 32, 32), n_outputs=10)
    >>> network(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """

    front: str = param("scattering", one_of("scattering", "pixels"))
    learnable: bool = param(False, FLAG)
    width: int = param(64, COUNT)
    n_blocks: int = param(1, integer(0))
    input_dropout: float = param(0.3, SHARE)
    dropout: float = param(0.2, SHARE)
    head_dropout: float = param(0.5, SHARE)
    n_cells: int = param(2, COUNT)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {"lr": 0.005, "weight_decay": 0.05}
    }

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> Network:
        """Return the network."""
        net = self.in_force()
        ndim, width = len(in_shape) - 1, net.width
        if net.front == "scattering":
            front: Any = LogScattering(net.J, in_shape[1:], net.L, net.learnable)
            maps = in_shape[0] * len(front.scattering.paths)
        else:
            extents = Scattering(net.J, in_shape[1:], L=net.L).out_shape
            front, maps = convolutional_stem(in_shape[0], width, net.J, extents), width
        stages: dict[str, nn.Module] = {
            "front": front,
            # Paths differ by orders of magnitude, and no weight should have to undo that.
            "norm": BATCH_NORM[ndim](maps, affine=False),
            "dropout": Dropout(net.input_dropout, whole_channels=True),
            "mixing": CONV[ndim](maps, width, 1, bias=False),
        }
        for number in range(1, net.n_blocks + 1):
            stages[f"block{number}"] = ResidualBlock(width, ndim, net.dropout)
        stages["last"] = nn.Sequential(BATCH_NORM[ndim](width), nn.ReLU())
        layers = nn.Sequential(OrderedDict(stages))
        pool = nn.Sequential(MEAN_POOL[ndim](net.n_cells), nn.Flatten())
        options = {"dropout": net.head_dropout, "n_features": width * net.n_cells**ndim}
        return Network(in_shape, n_outputs, layers, pool=pool, **options)


class ScatteringNetClassifier(ScatteringNet, NetworkClassifier):
    """Classifier with a hybrid network: fixed scattering, and a trained network on top.

    See Also
    --------
    ScatteringSVC, ScatteringLinear : On the coefficients as they are.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ScatteringNetClassifier(J=1, image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> model.fit(X[:50], y[:50]).predict_proba(X[:3]).shape
    (3, 10)
    """

    _fewest_features: ClassVar[int] = 2  # there is no scattering of a single number


class LogScattering(nn.Module):
    """Scattering with the logarithm of all coefficients but the average of the signal.

    Parameters
    ----------
    J : int
    shape : tuple of int
    L : int
    learnable : bool
        See ``Scattering``.
    """

    def __init__(self, J: int, shape: tuple[int, ...], L: int, learnable: bool) -> None:
        super().__init__()
        self.scattering = Scattering(J, shape, L=L, learnable=learnable)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, channels * n_paths, *out_shape)."""
        coefficients = self.scattering(x)
        average, moduli = coefficients[:, :, :1], coefficients[:, :, 1:]
        logs = torch.log(moduli.clamp_min(0) + SMALL)  # rounding can lead below 0
        return torch.cat([average, logs], dim=2).flatten(1, 2)


class ResidualBlock(nn.Module):
    """A signal, plus twice norm, rectifier and convolution of it.

    Parameters
    ----------
    width : int
        Number of channels.
    ndim : int
        Number of spatial axes.
    dropout : float
        Between the two convolutions.
    """

    def __init__(self, width: int, ndim: int, dropout: float) -> None:
        super().__init__()
        norms = [BATCH_NORM[ndim](width) for _ in range(2)]
        first, last = (CONV[ndim](width, width, 3, padding=1, bias=False) for _ in norms)
        layers = norms[0], nn.ReLU(), first, norms[1], nn.ReLU(), Dropout(dropout), last
        self.residual = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, *spatial) to the same shape."""
        return x + self.residual(x)


def convolutional_stem(
    channels: int, width: int, J: int, extents: tuple[int, ...]
) -> nn.Sequential:
    """Return J stages of convolution, norm, rectifier and pooling by two, then means to extents.

    The last stage has ``width`` channels.  Where the poolings lead to the extents by themselves,
    the means are of one value each.
    """
    stem, ndim = nn.Sequential(), len(extents)
    for stage in range(1, J + 1):
        wider = max(1, width >> (J - stage))  # channels double where places halve
        conv = CONV[ndim](channels, wider, 3, padding=1, bias=False)
        pool = MAX_POOL[ndim](2, ceil_mode=True)  # the last place of an odd extent counts too
        stem.extend([conv, BATCH_NORM[ndim](wider), nn.ReLU(), pool])
        channels = wider
    return stem.append(MEAN_POOL[ndim](extents))
