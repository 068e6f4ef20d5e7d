"""Convolution with kernels in the span of a frame, in one to three dimensions."""

from __future__ import annotations

import copy
from functools import lru_cache
from math import prod
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..frames import Frame, build_frame
from ..frames.frame import SPAN_TOLERANCE
from ..params import FLAG, check, integer, one_of
from ..plugins import make_frame
from .dilated import dilated_bank
from .dimensions import CONV, convolve, output_extents
from .dropout import Dropout
from .filtering import Array, SeparableFilter, is_traced
from .fused import serves
from .scale import LearnedScale
from .structure import Weights

WEAKEST_DIRECTION = 1e-3  # share of the largest eigenvalue of the Gram matrix
OPTIONS = {
    **dict.fromkeys(("in_channels", "out_channels", "stride"), integer(1)),
    "padding": one_of("same", "full", "valid") | integer(0),
    "padding_mode": one_of("zeros", "reflect", "replicate", "circular"),
    "method": one_of("auto", "compose", "filter"),
    "learn_scale": FLAG | one_of("channel"),
}


class FrameConv(nn.Module):
    r"""Convolution whose kernels are learned in the span of a frame.

    .. math::
        w_{oi} = \sum_k c_{oik} \, \psi_k / \|\psi_k\|

    The learned weights :math:`c` are those of the atoms of unit norm, so that every atom learns
    at the same rate; ``coefficients`` are those of the atoms as the frame has them.  With the
    pixel frame this is exactly ``nn.Conv{1,2,3}d``.

    Parameters
    ----------
    in_channels, out_channels : int
    frame : str, frame family or Frame
        A registered name or a family is built for ``ndim`` dimensions.
    ndim : int, default=None
        Number of spatial dimensions; None is that of a ``Frame``, and 2 for a family.
    stride : int, default=1
    padding : {"same", "full", "valid"} or int, default="same"
        Samples added to each side: half the support, all of it but one sample, none, or a
        number.  With "same" and stride 1 the output is as large as the input, however small
        the input is.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default="zeros"
    bias : bool, default=True
        Whether to add a learned bias to every output channel.
    unit_norm : bool, default=True
        Whether the weights are those of the atoms of unit norm; if not, they are the coefficients.
    method : {"auto", "compose", "filter"}, default="auto"
        "compose" builds the kernels and convolves once; "filter" correlates the input with
        the atoms, axis by axis (they must be separable, or sums of few products), and mixes the
        responses: in single precision on a CPU by a compiled kernel, several times faster than
        a convolution with free kernels of that size.  Both give the same function.  "auto"
        takes the cheaper one for the shape at hand, by a model of the cost and not by a
        stopwatch, so that equal seeds keep giving equal results.
    learn_scale : bool or "channel", default=False
        Whether a factor that dilates the atoms is learned too, of a frame of Gaussian
        derivatives: one factor of the layer, or one of each output channel; see
        ``LearnedScale``.  With "channel" kernels are composed, else there is a compiled way.

    Raises
    ------
    ValueError
        If a parameter is none of the above.

    Notes
    -----
    With learned factors :math:`s_o` kernels are

    .. math::
        w_{oi} = \sum_k c_{oik} \, \psi_k(\cdot\,; s_o \sigma_k) / \|\psi_k(\cdot\,; \sigma_k)\|

    The norms are those of the first scale: if they followed, a kernel would change its gain with
    its scale, and a blur would not keep constants.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016, section 3.3 (eq. 23 of the first author's thesis).

    See Also
    --------
    CoarseFrameConv, LearnedScale, dilate, to_dense

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import FrameConv
    >>> layer = FrameConv(1, 8, "gaussian", bias=False)
    >>> layer(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 8, 28, 28])
    >>> layer.kernel.shape, layer.coefficients.shape  # of 10 atoms
    (torch.Size([8, 1, 7, 7]), torch.Size([8, 1, 10]))
    >>> FrameConv(1, 8, "gaussian", learn_scale="channel").scales.shape
    torch.Size([8, 1])
    """

    norms: Tensor
    basis: Tensor
    scale: LearnedScale | None
    bank: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        frame: Any,
        *,
        ndim: int | None = None,
        stride: int = 1,
        padding: str | int = "same",
        padding_mode: str = "zeros",
        bias: bool = True,
        unit_norm: bool = True,
        method: str = "auto",
        learn_scale: bool | str = False,
    ) -> None:
        super().__init__()
        sizes = {"in_channels": in_channels, "out_channels": out_channels, "stride": stride}
        options = {"padding": padding, "padding_mode": padding_mode, "method": method}
        options |= {"learn_scale": learn_scale}
        for name, value in (sizes | options).items():
            check(name, value, OPTIONS[name])
        # NumPy's integers are no sizes to torch
        self.in_channels, self.out_channels, self.stride = map(int, sizes.values())
        self.frame = frame = read_frame(frame, ndim)
        self.kernel_size = frame.support
        parts = {"same": 2, "full": 1}  # half the support, or all of it but one sample
        if padding in parts:
            self.padding = tuple((extent - 1) // parts[padding] for extent in frame.support)
        else:
            self.padding = (0 if padding == "valid" else int(padding),) * frame.ndim
        self.padding_mode, self.unit_norm, self.method = padding_mode, unit_norm, method
        inner_padding = self.padding if padding_mode == "zeros" else (0,) * frame.ndim
        self.scale, self.bank = None, None
        if not learn_scale:
            self.bank = filter_bank(frame, self.stride, inner_padding)
        else:
            self.scale = LearnedScale(frame, out_channels if learn_scale == "channel" else 1)
            if learn_scale != "channel":  # where no two channels share a response
                self.bank = dilated_bank(frame, self.stride, inner_padding)
        if method == "filter" and (learn_scale or self.bank is None):
            raise ValueError(
                "method='filter' needs a scale that is fixed; with learn_scale use 'compose' or "
                "'auto'."
                if learn_scale
                else "method='filter' needs atoms that are separable, or sums of few products, but "
                f"those of the frame {frame.name!r} are not; use 'compose' or 'auto'."
            )
        for name, values in self._atoms().items():
            rounded = torch.tensor(values, dtype=torch.get_default_dtype())
            self.register_buffer(name, rounded, persistent=False)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.norms.shape))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draw kernels that are white in the span of the atoms and keep the signal's variance.

        :math:`c = G^{-1/2} z` with the Gram matrix :math:`G` of the unit atoms and
        :math:`z \sim N(0, 2 / (r n_{in}))`, :math:`r` the rank of the frame.  Then
        :math:`E[w w^T] = 2 / (r n_{in}) \, P` with the projection :math:`P` on the span: white
        noise keeps its variance through the layer and a rectifier (He's rule), and no direction
        of the span starts out larger than another, however correlated the atoms are.

        Eigenvalues of :math:`G` below a thousandth of the largest are raised to that, lest
        atoms that hardly differ start with huge weights that cancel one another.  Combinations
        of the atoms that are zero start at zero: no gradient would ever take them there.
        """
        norms = self.frame.norms
        unit = torch.from_numpy(self.frame.gram / np.outer(norms, norms))
        values, vectors = torch.linalg.eigh(unit)
        floored = values.clamp_min(WEAKEST_DIRECTION * values[-1])
        floored[values <= SPAN_TOLERANCE * values[-1]] = torch.inf
        per_atom = 1 if self.unit_norm else torch.from_numpy(norms)
        mixing = (vectors / floored.sqrt()) @ vectors.T / per_atom
        energy = self.in_channels * (values.clamp_min(0) / floored).sum()
        with torch.no_grad():
            # of one precision, so that equal seeds give equal layers whatever torch's default is
            draws = torch.randn(self.weight.shape, dtype=torch.float32, device=self.weight.device)
            self.weight.copy_(draws @ (mixing * (2 / energy).sqrt()).to(draws))
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.scale is not None:
            nn.init.zeros_(self.scale.log_factor)

    def _atoms(self) -> dict[str, Array]:
        """Return in double precision the atoms, and the norms that they were divided by."""
        norms = self.frame.norms if self.unit_norm else np.ones(len(self.frame))
        if self.scale is not None:  # there are no fixed atoms
            return {"norms": norms}
        basis = self.frame.atoms / norms.reshape(-1, *(1,) * self.frame.ndim)
        return {"norms": norms, "basis": basis}

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        super()._apply(*args, **kwargs)
        for name, values in self._atoms().items():  # exact again, whatever they were cast to
            setattr(self, name, torch.tensor(values).to(self.weight))
        return self

    @property
    def coefficients(self) -> Tensor:
        """Coefficients of the frame's atoms, shape (out_channels, in_channels, n_atoms)."""
        return self.weight / self.norms

    @property
    def scales(self) -> Tensor:
        """The scales of the atoms as they are now, shape (out_channels or 1, n_scales)."""
        scales = torch.from_numpy(np.unique(self.frame.scales)).to(self.norms.real)
        return scales[None] if self.scale is None else self.scale.factor[:, None] * scales

    @property
    def kernel(self) -> Tensor:
        """The effective kernel, shape (out_channels, in_channels, *support)."""
        if self.scale is not None:  # one basis of all channels, or one of each
            rows = self.scale().squeeze(0).to(self.weight.dtype)
            return (self.coefficients @ rows).unflatten(-1, self.frame.support)
        return torch.tensordot(self.weight, self.basis, dims=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, *spatial) to (n, out_channels, *spatial_out)."""
        if x.ndim != self.frame.ndim + 2 or x.shape[1] != self.in_channels:
            wanted = ", ".join(["n", str(self.in_channels)] + ["extent"] * self.frame.ndim)
            raise ValueError(f"FrameConv wants input of shape ({wanted}), got {tuple(x.shape)}.")
        lower = x.is_floating_point() and x.dtype != torch.float64  # what autocast may change
        if x.dtype != self.weight.dtype and not (
            lower and torch.is_autocast_enabled(x.device.type)
        ):
            raise TypeError(f"FrameConv wants input of {self.weight.dtype}, got {x.dtype}.")
        extents = zip(x.shape[2:], self.padding, self.frame.support, strict=True)
        if any(s + 2 * p < k for s, p, k in extents):
            raise ValueError(
                f"Spatial shape {tuple(x.shape[2:])} with padding {self.padding} is smaller than "
                f"the support {self.frame.support}; padding='same' takes images of any size."
            )
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = self._pad(x), (0,) * self.frame.ndim
        # Of a size that a graph leaves open, nothing is known: both costs are those of 1.
        shape = tuple(size if isinstance(size, int) else 1 for size in x.shape)
        # Without values, as when a model is loaded, only the shape of the output matters.
        by_filter = not x.is_meta and self.method_for(shape) == "filter"
        if by_filter and not x.is_complex():
            with torch.autocast(x.device.type, enabled=False):  # bands and pieces have one dtype
                out = self._mixed(x.to(self.weight.dtype))
                if self.bias is not None:
                    out += self.bias.view(-1, *(1,) * self.frame.ndim)
            return out
        return convolve(x, self.kernel, self.bias, stride=self.stride, padding=padding)

    def out_extents(self, extents: tuple[int, ...]) -> tuple[int, ...]:
        """Return the spatial shape of the output for that of an input."""
        return output_extents(extents, self.frame.support, self.stride, self.padding)

    def method_for(self, shape: tuple[int, ...]) -> str:
        """Return the way of computing, "compose" or "filter", for an input of this shape."""
        if self.method != "auto":
            return self.method
        if self.bank is None:
            return "compose"
        compiled = self.bank.plan is not None and serves(self.weight)
        if self.scale is not None and (not compiled or is_traced() or 0 in shape):
            return "compose"  # torch's way of filtering has fixed profiles
        return cheaper(self.bank, shape, self.out_channels, compiled)

    def to_dense(self) -> nn.Module:
        """Return a plain ``nn.ConvNd`` with the same output, for use without this package."""
        names = "in_channels", "out_channels", "kernel_size", "stride", "padding", "padding_mode"
        make: Any = CONV[self.frame.ndim]
        options = {name: getattr(self, name) for name in names}
        conv = make(**options, bias=self.bias is not None).to(self.weight)
        with torch.no_grad():
            conv.weight.copy_(self.kernel)
            if self.bias is not None:
                conv.bias.copy_(self.bias)
        return conv.train(self.training)

    def weights_by_structure(
        self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> Weights:
        """Return how many weights there would be without frame, sharing and locality."""
        return Weights.of_kernels(
            in_shape,
            out_shape,
            self.frame.support,
            stride=self.stride,
            padding=self.padding,
            padding_mode=self.padding_mode,
            frame=self.weight.numel(),
        )

    def extra_repr(self) -> str:
        """Return what ``print`` shows between the parentheses."""
        return (
            f"{self.in_channels}, {self.out_channels}, {self.frame!r}, stride={self.stride}, "
            f"padding={self.padding}"
        )

    def _mixed(self, x: Tensor) -> Tensor:
        dilated_by = () if self.scale is None else (self.scale.factor,)
        mixed: Tensor = self.bank(x, self.coefficients, *dilated_by)
        return mixed

    def _pad(self, x: Tensor) -> Tensor:
        limit = {"reflect": -1, "circular": 0, "replicate": prod(x.shape)}[self.padding_mode]
        if any(p > s + limit for p, s in zip(self.padding, x.shape[2:], strict=True)):
            raise ValueError(
                f"Padding {self.padding} in mode {self.padding_mode!r} is too wide for spatial "
                f"shape {tuple(x.shape[2:])}; 'zeros' and 'replicate' pad images of any size."
            )
        return F.pad(x, [p for p in reversed(self.padding) for _ in "lr"], mode=self.padding_mode)


def read_frame(frame: Any, ndim: int | None) -> Frame:
    """Return a frame from a name, a family or itself; None is the dimensions it has, or else 2."""
    frame = make_frame(frame)
    if isinstance(frame, Frame):
        return frame if ndim is None else frame.build(ndim)
    return build_frame(frame, 2 if ndim is None else ndim)


@lru_cache(maxsize=64)
def filter_bank(frame: Frame, stride: int, padding: tuple[int, ...]) -> SeparableFilter | None:
    """Return the filters of a frame, the same for all layers that have it.

    None where atoms are sums of so many products that free kernels would take fewer.
    """
    bank = SeparableFilter(frame, stride, padding)
    few = bank.owners is None or bank.n_atoms < prod(frame.support)
    return bank if few else None


@lru_cache(maxsize=1024)
def cheaper(
    bank: SeparableFilter, shape: tuple[int, ...], out_channels: int, compiled: bool
) -> str:
    """Return the cheaper way of computing for an input shape."""
    filtered = bank.cost(shape, out_channels, compiled)
    return "filter" if filtered < bank.dense_cost(shape, out_channels) else "compose"


def to_dense(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which every convolution is a plain ``nn.ConvNd``.

    Parameters
    ----------
    network : nn.Module

    Returns
    -------
    dense : nn.Module
        With the same output.  Its layers are torch's own, where the others were so before; the
        class of the network itself stays what it is.  A ``DynamicSteerableBlock`` that steers has
        no kernel that is the same everywhere, and stays.

    See Also
    --------
    FrameConv : What is multiplied out.
    structure : How many weights it saves.

    Examples
    --------
    >>> from torch import nn
    >>> from sklstruct.layers import FrameConv, to_dense
    >>> to_dense(nn.Sequential(FrameConv(1, 8, "gaussian"), nn.ReLU()))
    Sequential(
      (0): Conv2d(1, 8, kernel_size=(7, 7), stride=(1, 1), padding=(3, 3))
      (1): ReLU()
    )
    """
    if isinstance(network, FrameConv):
        return network.to_dense()
    dense = copy.deepcopy(network)
    for parent in list(dense.modules()):
        for name, child in parent.named_children():
            if callable(own := getattr(child, "to_dense", None)):  # as FrameConv has it
                setattr(parent, name, own())
            elif isinstance(child, Dropout):
                setattr(parent, name, nn.Dropout(child.p).train(child.training))
    return dense
