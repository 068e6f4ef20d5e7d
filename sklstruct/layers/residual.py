"""Residual blocks."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from .dimensions import BATCH_NORM, CONV


def activation(width: int, ndim: int) -> nn.Sequential:
    """Return batch norm and rectifier.

    See Also
    --------
    ResidualBlock : Where it is used.

    Examples
    --------
    >>> from sklstruct.layers import activation
    >>> [type(layer).__name__ for layer in activation(8, ndim=2)]
    ['BatchNorm2d', 'ReLU']
    """
    return nn.Sequential(OrderedDict(norm=BATCH_NORM[ndim](width), relu=nn.ReLU()))


def pointwise(n_in: int, n_out: int, ndim: int, stride: int = 1) -> nn.Module:
    """Return a 1x1 convolution without bias that starts as frame convolutions do (He's rule).

    See Also
    --------
    ResidualBlock : Where it is used.
    Pointwise : The same layer with a choice of kernels.

    Examples
    --------
    >>> from sklstruct.layers import pointwise
    >>> pointwise(8, 16, ndim=2, stride=2)
    Conv2d(8, 16, kernel_size=(1, 1), stride=(2, 2), bias=False)
    """
    conv = CONV[ndim](n_in, n_out, 1, stride, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return conv


class ResidualBlock(nn.Module):
    r"""Residual block with full pre-activation.

    .. math:: y = x + F \rho(x), \qquad \text{or } P \rho(x) + F \rho(x)

    where shapes change, with norm and rectifier :math:`\rho` and a 1x1 convolution P.

    Parameters
    ----------
    activate : nn.Module
        Norm and rectifier.
    residual : nn.Module
        F.
    project : nn.Module or None
        P.

    See Also
    --------
    FrameResNet : A network of them.
    Coupling : A residual that can be undone.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun. Identity mappings in deep residual networks. ECCV, 2016.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import FrameConv, ResidualBlock, activation
    >>> block = ResidualBlock(activation(8, ndim=2), FrameConv(8, 8, "gaussian"), None)
    >>> block(torch.zeros(2, 8, 9, 9)).shape
    torch.Size([2, 8, 9, 9])
    """

    def __init__(self, activate: nn.Module, residual: nn.Module, project: nn.Module | None) -> None:
        super().__init__()
        self.activate, self.residual, self.project = activate, residual, project
        self.stride = getattr(project, "stride", 1)  # of both ways, for who asks where places lie

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, channels_out, *spatial_out)."""
        active = self.activate(x)
        kept = x if self.project is None else self.project(active)
        return kept + self.residual(active)
