"""A trained network on top of scattering, and its twin on pixels."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from sklstruct.estimators.classifier import NetworkClassifier
from sklstruct.frames.checks import check_integer
from sklstruct.layers import Dropout
from sklstruct.layers.dimensions import BATCH_NORM, CONV, MAX_POOL

from .scattering import Scattering

MEAN_POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}

FRONTS = ("scattering", "pixels")
SMALL = 0.01  # coefficients below are as good as 0, for samples of unit variance


class ScatteringNet(nn.Module):
    r"""Scattering coefficients, a few residual blocks at their resolution, one linear layer.

    .. math::
        h_0 = W \, \mathrm{norm}(\log(S x + \varepsilon)), \qquad
        h_l = h_{l-1} + F_l(h_{l-1})

    With so little to learn from, most is gained by zeroing whole coefficients in training: no
    small set of paths is then relied on.

    Parameters
    ----------
    in_shape : tuple of int
        Shape of one sample, (channels, *spatial).
    n_outputs : int
        Number of outputs, logits for a classifier.
    front : {"scattering", "pixels"}, default="scattering"
        What the blocks stand on.  "pixels" is the plain twin: J stages of a free convolution,
        rectifier and pooling, and a pooling of what is left to the same resolution.
    J : int, default=2
        The blocks work at every 2^J-th sample.
    L : int, default=8
        Number of orientations, in two and three dimensions.
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

    Raises
    ------
    ValueError
        If a parameter is not valid, such as a scale larger than the sample.

    References
    ----------
    E. Oyallon, E. Belilovsky and S. Zagoruyko. Scaling the scattering transform: deep hybrid
    networks. ICCV, 2017.
    E. Oyallon, S. Zagoruyko, G. Huang, N. Komodakis, S. Lacoste-Julien, M. Blaschko and
    E. Belilovsky. Scattering networks for hybrid representation learning. PAMI, 2018.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        n_outputs: int,
        *,
        front: str = "scattering",
        J: int = 2,
        L: int = 8,
        learnable: bool = False,
        width: int = 64,
        n_blocks: int = 1,
        input_dropout: float = 0.3,
        dropout: float = 0.2,
        head_dropout: float = 0.5,
        n_cells: int = 2,
    ) -> None:
        super().__init__()
        if front not in FRONTS:
            raise ValueError(f"front must be one of {FRONTS}, got {front!r}.")
        for name, value in {"width": width, "n_cells": n_cells}.items():
            check_integer(name, value, 1)
        check_integer("n_blocks", n_blocks, 0)
        channels, ndim = in_shape[0], len(in_shape) - 1
        if front == "scattering":
            self.front: Any = LogScattering(J, in_shape[1:], L, learnable)
            maps = channels * len(self.front.scattering.paths)
        else:
            extents = Scattering(J, in_shape[1:], L=L).out_shape
            self.front = convolutional_stem(channels, width, J, extents)
            maps = width
        self.trunk = nn.Sequential(
            BATCH_NORM[ndim](maps, affine=False),
            Dropout(input_dropout, whole_channels=True),
            CONV[ndim](maps, width, 1, bias=False),
            *(ResidualBlock(width, ndim, dropout) for _ in range(n_blocks)),
            BATCH_NORM[ndim](width),
            nn.ReLU(),
        )
        self.pool = nn.Sequential(MEAN_POOL[ndim](n_cells), nn.Flatten())
        self.dropout = Dropout(head_dropout)
        self.head = nn.Linear(width * n_cells**ndim, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, n_outputs)."""
        return self.head(self.dropout(self.pool(self.trunk(self.front(x)))))


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
        self.residual = nn.Sequential(
            BATCH_NORM[ndim](width),
            nn.ReLU(),
            CONV[ndim](width, width, 3, padding=1, bias=False),
            BATCH_NORM[ndim](width),
            nn.ReLU(),
            Dropout(dropout),
            CONV[ndim](width, width, 3, padding=1, bias=False),
        )

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
        wider = max(1, width >> (J - stage))
        stem.extend(
            [
                CONV[ndim](channels, wider, 3, padding=1, bias=False),
                BATCH_NORM[ndim](wider),
                nn.ReLU(),
                MAX_POOL[ndim](2, ceil_mode=True),
            ]
        )
        channels = wider
    return stem.append(MEAN_POOL[ndim](extents))


@dataclass(kw_only=True, eq=False, repr=False)
class ScatteringNetClassifier(NetworkClassifier):
    """Classifier with a hybrid network: fixed scattering, and a trained network on top.

    Made for very few samples, down to ten of a class.

    Parameters
    ----------
    front : {"scattering", "pixels"}, default="scattering"
        What the trained blocks stand on.  "pixels" is the plain twin: free convolutions and
        poolings that lead to the same resolution.
    J : int, default=2
        The blocks work at every 2^J-th sample.
    L : int, default=8
        Number of orientations, in two and three dimensions.
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
    class_weight : dict or "balanced", default=None
    label_smoothing : float, default=0.1
        Share of every target that is spread over all classes.
    {training}

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    net_ : skorch.NeuralNet
        Its ``module_`` is the network.
    layout_ : str
        How samples were read.
    in_shape_ : tuple of int
        Shape of a sample for the network, (channels, *spatial).
    n_parameters_ : int
        Number of trainable parameters.
    loss_curve_ : list of float
        Training loss after each epoch.

    References
    ----------
    E. Oyallon, E. Belilovsky and S. Zagoruyko. Scaling the scattering transform: deep hybrid
    networks. ICCV, 2017.
    E. Oyallon, S. Zagoruyko, G. Huang, N. Komodakis, S. Lacoste-Julien, M. Blaschko and
    E. Belilovsky. Scattering networks for hybrid representation learning. PAMI, 2018.
    S. Gauthier et al. Parametric scattering networks. CVPR, 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ScatteringNetClassifier(J=1, image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> model.fit(X[:50], y[:50]).predict_proba(X[:3]).shape
    (3, 10)
    """

    front: str = "scattering"
    J: int = 2
    L: int = 8
    learnable: bool = False
    width: int = 64
    n_blocks: int = 1
    input_dropout: float = 0.3
    dropout: float = 0.2
    head_dropout: float = 0.5
    n_cells: int = 2
    lr: float = 0.005
    weight_decay: float = 0.05

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NetworkClassifier._parameter_constraints,
        "front": [StrOptions(set(FRONTS))],
        "J": [Interval(Integral, 1, None, closed="left")],
        "L": [Interval(Integral, 1, None, closed="left")],
        "learnable": ["boolean"],
        "width": [Interval(Integral, 1, None, closed="left")],
        "n_blocks": [Interval(Integral, 0, None, closed="left")],
        "input_dropout": [Interval(Real, 0, 1, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "head_dropout": [Interval(Real, 0, 1, closed="left")],
        "n_cells": [Interval(Integral, 1, None, closed="left")],
    }

    def _read(self, X: Any, y: Any = "no_validation", *, reset: bool, **checks: Any) -> Any:
        fewest = 2 if reset else 1  # there is no scattering of a single number
        return super()._read(X, y, reset=reset, ensure_min_features=fewest, **checks)

    def _build_network(self, in_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return ScatteringNet(
            in_shape,
            n_outputs,
            front=self.front,
            J=self.J,
            L=self.L,
            learnable=self.learnable,
            width=self.width,
            n_blocks=self.n_blocks,
            input_dropout=self.input_dropout,
            dropout=self.dropout,
            head_dropout=self.head_dropout,
            n_cells=self.n_cells,
        )
