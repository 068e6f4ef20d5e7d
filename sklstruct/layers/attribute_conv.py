"""Convolution over space and ordered channels, the attributes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ..params import FLAG, ODD, SEQUENCE, Rule, check, integer, one_of
from .attributes import Way, convolve_attributes, patch_moments, surround
from .dimensions import output_extents
from .structure import Weights

OPTIONS = {
    "n_filters": integer(1),
    "attribute_support": Rule(
        "one to three odd integers",
        lambda v: SEQUENCE.holds(v) and 1 <= len(v) <= 3 and all(map(ODD.holds, v)),
    ),
    "n_factors": integer(1) | None,
    "ndim": integer(1, 3),
    "support": ODD,
    "stride": integer(1),
    "attribute_stride": integer(1),
    "boundary": one_of("zeros", "periodic"),
    "intermediate_nonlinearity": FLAG,
}


class AttributeConv(nn.Module):
    r"""Convolution over space and attributes: channels with an order, and several axes of them.

    .. math::
        y(u, v, k) = \sum_{u', v'} w_k(u', v') \, \bar x(s u + u', t v + v'), \qquad
        w_k(u, v) = \sum_{q=1}^{Q} h_q(u) \, g_{kq}(v)

    for places u and attributes :math:`v = (v_1, \dots, v_d)`, with :math:`\bar x` the mean of x
    over its oldest attribute where x has one more than filters have.  The number k of the filter
    is the youngest attribute of the output: shifting x along an attribute shifts the output too.

    Factors are learned: Q spatial filters h, which see every map alone, and :math:`K Q` filters g
    along the attributes.  Between the two is a batch norm, and, with
    ``intermediate_nonlinearity``, an exponential linear unit :math:`\rho`,

    .. math::
        y(u, v, k) = \sum_{q, v'} g_{kq}(v') \, \bar z_q(u, t v + v'), \qquad
        z_q = \rho\Big(\frac{x \star h_q - m_q}{\sigma_q} \gamma_q + \beta_q\Big),

    the mean over the oldest attribute after it.  Without it the factors of a trained layer fuse
    into the filters w.

    What a batch norm needs follows from mean and covariance of patches of x, and the mean over the
    oldest attribute is taken before the sums along attributes, with which it commutes.  In single
    precision on a CPU nothing as large as :math:`x \star h_q` is stored.

    Parameters
    ----------
    n_filters : int
        K.
    attribute_support : sequence of int
        Taps along each of the one to three attributes, odd; the oldest attribute first.
    n_factors : int or None, default=None
        Q; None learns the filters w themselves.
    ndim : int, default=2
        Number of spatial axes.
    support : int, default=3
        Taps along each spatial axis, odd; zeros surround the samples.
    stride : int, default=1
        s, along the spatial axes.
    attribute_stride : int, default=2
        t, along all attributes.
    boundary : {"zeros", "periodic"}, default="zeros"
        What lies beyond the ends of attributes.
    intermediate_nonlinearity : bool, default=False
        The form "+" of the reference.

    See Also
    --------
    HierarchicalCNNClassifier : A cascade of these.

    References
    ----------
    J.-H. Jacobsen, E. Oyallon, S. Mallat and A. W. M. Smeulders. Multiscale hierarchical
    convolutional networks. arXiv:1703.04140, 2017.  The exact form: J.-H. Jacobsen. Structured deep
    networks (thesis), equations 31 to 37.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import AttributeConv
    >>> x = torch.randn(2, 4, 8, 16, 32, 32)
    >>> layer = AttributeConv(16, (7, 11), n_factors=32, intermediate_nonlinearity=True)
    >>> layer(x).shape
    torch.Size([2, 4, 8, 16, 32, 32])
    """

    def __init__(
        self,
        n_filters: int,
        attribute_support: Sequence[int],
        *,
        n_factors: int | None = None,
        ndim: int = 2,
        support: int = 3,
        stride: int = 1,
        attribute_stride: int = 2,
        boundary: str = "zeros",
        intermediate_nonlinearity: bool = False,
    ) -> None:
        super().__init__()
        given = {"n_filters": n_filters, "attribute_support": attribute_support}
        given |= {"n_factors": n_factors, "ndim": ndim, "support": support, "stride": stride}
        given |= {"attribute_stride": attribute_stride, "boundary": boundary}
        given |= {"intermediate_nonlinearity": intermediate_nonlinearity}
        for name, value in given.items():
            check(name, value, OPTIONS[name])
        if intermediate_nonlinearity and n_factors is None:
            raise ValueError("intermediate_nonlinearity=True needs n_factors, got None.")
        self.n_filters, self.n_factors, self.ndim = n_filters, n_factors, ndim
        self.support, self.attribute_support = (support,) * ndim, tuple(attribute_support)
        self.stride, self.attribute_stride, self.boundary = stride, attribute_stride, boundary
        self.intermediate_nonlinearity = intermediate_nonlinearity
        self.way = Way(
            self.support,
            stride,
            intermediate_nonlinearity,
            self.attribute_support,
            attribute_stride,
            boundary == "periodic",
        )
        self.shift: Tensor | None  # of a fused layer
        self.register_buffer("shift", None)
        if n_factors is None:
            self.filters = nn.Parameter(
                torch.empty(n_filters, *self.support, *self.attribute_support)
            )
            start(self.filters)
        else:
            self.spatial_filters = nn.Parameter(torch.empty(n_factors, *self.support))
            self.norm = FilterNorm(n_factors, affine=intermediate_nonlinearity)
            self.attribute_filters = nn.Parameter(
                torch.empty(n_filters, n_factors, *self.attribute_support)
            )
            start(self.spatial_filters)
            start(self.attribute_filters)

    def forward(self, x: Tensor) -> Tensor:
        r"""Map (n, \*attributes, \*spatial) to (n, \*attributes_out, n_filters, \*places).

        Where x has one attribute more than filters have axes, the oldest is averaged over.
        """
        n_attributes = x.ndim - 1 - self.ndim
        if n_attributes == len(self.attribute_support):
            x = x.unsqueeze(1)
        elif n_attributes != len(self.attribute_support) + 1:
            raise ValueError(
                f"Samples must have {len(self.attribute_support)} attributes, or one more, and "
                f"{self.ndim} spatial axes, got shape {tuple(x.shape[1:])}."
            )
        if not self.intermediate_nonlinearity:  # then the mean commutes with everything
            x = x.mean(1, keepdim=True)
        x = surround(x, self.support)
        if self.n_factors is None:
            return self._convolve(x, self.filters, self.shift)
        filters, shift = self.norm(self.spatial_filters, x, self.stride)
        if not self.intermediate_nonlinearity and self.n_factors > filters[0].numel():
            return self._convolve(x, *self._product(filters, shift))
        return convolve_attributes(x, filters, shift, self.attribute_filters, self.way)

    def _product(self, filters: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """Return the filters that factors stand for, and those of a constant."""
        mixing = self.attribute_filters
        product = torch.einsum("qt,kqa->kta", filters.flatten(1), mixing.flatten(2))
        shift = torch.einsum("q,kqa->ka", shift, mixing.flatten(2))
        product = product.view(len(mixing), *self.support, *self.attribute_support)
        return product, shift.view(len(mixing), *self.attribute_support)

    def _convolve(self, x: Tensor, filters: Tensor, shift: Tensor | None) -> Tensor:
        """Convolve over space and attributes, and add what a constant gives."""
        flat = filters.flatten(1, self.ndim)
        single = torch.eye(flat.shape[1], dtype=x.dtype, device=x.device)
        nothing = x.new_zeros(len(single))
        y = convolve_attributes(x, single.view(-1, *self.support), nothing, flat, self.way)
        if shift is None:
            return y
        ones = x.new_ones((1, 1, *x.shape[2 : -self.ndim], *self.support))
        middle = single[len(single) // 2].view(1, *self.support)
        constant = convolve_attributes(ones, middle, nothing[:1], shift.unsqueeze(1), self.way)
        return y + constant

    def fuse(self) -> AttributeConv:
        r"""Return a layer with the filters w that the factors stand for, norm included.

        In evaluation its output is the same.

        Returns
        -------
        layer : AttributeConv
            With ``n_factors=None`` and :math:`K \cdot` ``support ** ndim`` :math:`\cdot \prod`
            ``attribute_support`` parameters.

        Raises
        ------
        ValueError
            If there is a nonlinearity between the factors.
        """
        if self.intermediate_nonlinearity:
            raise ValueError(
                "Factors with a nonlinearity between them have no product: "
                "intermediate_nonlinearity must be False to fuse, got True."
            )
        fused = copy.deepcopy(self)
        if self.n_factors is not None:
            del fused.spatial_filters, fused.attribute_filters, fused.norm
            product, shift = self._product(*self.norm.fused(self.spatial_filters))
            fused.n_factors, fused.shift = None, shift.detach()
            learned = self.spatial_filters.requires_grad or self.attribute_filters.requires_grad
            fused.filters = nn.Parameter(product.detach(), learned)
        return fused

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **options: Any
    ) -> None:
        """Take the shift of a fused layer, which others lack."""
        shift = state_dict.get(f"{prefix}shift")
        self.shift = None if shift is None else torch.zeros_like(shift)
        super()._load_from_state_dict(state_dict, prefix, *args, **options)

    def weights_by_structure(
        self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> Weights:
        """Return how many weights there would be without attributes, sharing and locality."""
        factors = "spatial_filters", "attribute_filters"
        learned = ("filters",) if self.n_factors is None else factors
        return Weights.of_kernels(
            in_shape,
            out_shape,
            self.support,
            stride=self.stride,
            padding=[extent // 2 for extent in self.support],
            attributes=sum(getattr(self, name).numel() for name in learned),
        )

    def extra_repr(self) -> str:
        """Return the parameters."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in OPTIONS if name != "ndim")


class FilterNorm(nn.BatchNorm1d):
    r"""Batch norm of what spatial filters give, without what they give.

    Mean and variance of :math:`x \star h_q` are :math:`h_q^T m` and :math:`h_q^T C h_q`, with mean
    m and covariance C of the patches of x.
    """

    def forward(self, filters: Tensor, x: Tensor, stride: int) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return filters that include the norm, and the shifts of what they give.

        Parameters
        ----------
        filters : Tensor, shape (n_factors, *support)
        x : Tensor, shape (n, oldest, *attributes, *spatial)
            With what surrounds the samples.
        stride : int
        """
        if not self.training or x.numel() == 0:
            return self.fused(filters)
        support = tuple(filters.shape[1:])
        with torch.autocast(x.device.type, enabled=False):  # sums of squares need the digits
            dtype = torch.promote_types(filters.dtype, torch.float32)
            mean, covariance = patch_moments(x.to(dtype), support, stride)
            flat = filters.flatten(1).to(dtype)
            mean, variance = flat @ mean, ((flat @ covariance) * flat).sum(1).clamp(min=0)
        places = output_extents(x.shape[-len(support) :], support, stride, [0] * len(support))
        n = prod(x.shape[: -len(support)]) * prod(places)
        with torch.no_grad():
            running: Any = self
            running.num_batches_tracked.add_(1)
            share = self.momentum
            if share is None:  # the mean over all batches
                share = 1 / running.num_batches_tracked.item()
            unbiased = variance * (n / max(1, n - 1))
            running.running_mean.lerp_(mean.to(running.running_mean), share)
            running.running_var.lerp_(unbiased.to(running.running_var), share)
        return self._apply_to(filters, mean, variance)

    def fused(self, filters: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same with the running statistics, as in evaluation."""
        running: Any = self
        return self._apply_to(filters, running.running_mean, running.running_var)

    def _apply_to(self, filters: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        shift = -mean * scale
        shift = shift + self.bias if self.affine else shift
        scale = scale.view(-1, *[1] * (filters.ndim - 1))
        return (filters * scale).to(filters.dtype), shift.to(filters.dtype)


def start(filters: nn.Parameter) -> None:
    """Draw filters that keep the variance of what is rectified (He's rule)."""
    nn.init.normal_(filters, std=(filters[0].numel() / 2) ** -0.5)
