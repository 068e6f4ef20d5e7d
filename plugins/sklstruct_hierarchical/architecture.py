"""The hierarchical attribute CNN, in one to three dimensions."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from sklstruct import Architecture
from sklstruct.frames import Pixels
from sklstruct.layers import BATCH_NORM, AttributeConv, FrameConv
from sklstruct.params import FLAG, ODD, SEQUENCE, Rule, check, integer, one_of, param

from .presets import PRESETS

SUPPORT = 3  # of all filters, along every spatial axis
PAIR = Rule(
    "a pair of odd integers",
    lambda v: SEQUENCE.holds(v) and len(v) == 2 and all(map(ODD.holds, v)),
)
LAYERS = Rule(
    "a sequence of numbers of layers, from 1",
    lambda v: SEQUENCE.holds(v) and all(map(integer(1).holds, v)),
)


class HierarchicalCNN(Architecture):
    r"""Hierarchical attribute CNN: all layers are convolutions over space and over channels.

    The index of channels is a vector of attributes, and every layer adds one, the number of its
    filter:

    .. math::
        x_1(u, v_1) = \rho\Big(\sum_{v_0} x(\cdot, v_0) \star w_{v_0 v_1}(u)\Big), \qquad
        x_j(u, v_{j-2}, v_{j-1}, v_j) = \rho\big(\bar x_{j-1} \star w_{v_j}
        (2^{s_j} u, t v_{j-2}, t v_{j-1})\big)

    with 3x3 filters along space u, the mean :math:`\bar x` over :math:`v_{j-3}`, and batch norm
    and exponential linear unit :math:`\rho`, for :math:`j < J`.  Filters of layers after the
    second are sums of products of Q factors, see ``AttributeConv``.  Norms have one statistic for
    each value of the youngest attribute, so that layers stay covariant to translations along the
    older ones.  There are :math:`K / t^2`, :math:`K / t` and K values of the three attributes.

    The last attribute is the class, and its logit the mean over everything else,

    .. math:: x_J(v_{J-1}) = \mathrm{mean}_{u, v_{J-3}, v_{J-2}} \; x_{J-1}

    so there is no linear layer.

    Parameters
    ----------
    preset : str, default="small"
        Where parameters come from that are None, those of the training too.  "small": for 100 to
        5000 samples.  "cifar10", "cifar10+", "cifar100", "cifar100+": as described in the
        reference, to be trained with ``augment=Augment(shift=6 / 32, whole_shifts=True,
        flip=True)``; "released": as in the authors' code, with shifts of 4 / 32, and a weight
        decay of twice its penalty, 3e-4 :math:`|w|^2`.  Learning rates fall along a cosine in place
        of steps.
    n_attributes : int, default=None
        K, values of an attribute; 8.
    n_factors : int or "fused", default=None
        Q; "fused" learns the filters w themselves, as those of ``fuse`` are; 16.
    depth : int, default=None
        J, of which the last layer is the mean; at least 4, 12.
    attribute_support : pair of int, default=None
        Taps along :math:`v_{j-2}` and :math:`v_{j-1}`, odd; (5, 7).  They may exceed the number
        of values.
    attribute_stride : int, default=None
        t; 2.
    strided : sequence of int, default=None
        Numbers j of the layers that subsample space by 2; (5, 9).
    intermediate_nonlinearity : bool, default=None
        The form "+": whether an exponential linear unit is between the factors; True.
    mean_first : bool, default=None
        With it, whether :math:`\bar x` is taken before the factors, as in the authors' code, or
        after the unit between them.  The first is cheaper; without such a unit it is the same.
        False.
    boundary : {"zeros", "periodic"}, default="zeros"
        What lies beyond the ends of attributes; with "periodic", K must be a multiple of
        :math:`t^2`.
    head : {"mean", "linear"}, default=None
        "linear" gives the last layer K filters, and a linear layer reads their means; "mean".

    See Also
    --------
    HierarchicalCNNClassifier, HierarchicalCNNRegressor : The estimators that train it.
    sklstruct.layers.AttributeConv : Its layers.

    Notes
    -----
    Proposition 5.3.1 of the thesis says that outputs are invariant to translations of
    :math:`x_j`, for :math:`j < J - 1`, along all attributes.  That takes periodic boundaries, and
    translations that the subsampling of later layers does not cut: multiples of :math:`t^2` along
    :math:`v_j` (of t at :math:`j = J - 2`), multiples of t along :math:`v_{j-1}`, and any along
    :math:`v_{j-2}`.  ``attribute_invariance`` measures what all others do.

    References
    ----------
    J.-H. Jacobsen. Structured deep networks (thesis), chapter 5.

    J.-H. Jacobsen, E. Oyallon, S. Mallat and A. W. M. Smeulders. Multiscale hierarchical
    convolutional networks. arXiv:1703.04140, 2017.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_hierarchical.architecture import HierarchicalCNN
    >>> network = HierarchicalCNN(preset="cifar10").build(in_shape=(3, 32, 32), n_outputs=10)
    >>> network.attributes(torch.zeros(2, 3, 32, 32), depth=5).shape
    torch.Size([2, 4, 8, 16, 16, 16])
    >>> fused = network.fuse()
    >>> sum(w.numel() for name, w in fused.named_parameters() if "norm" not in name)
    97650
    """

    preset: str = param("small", one_of(*PRESETS))
    n_attributes: int | None = param(None, integer(1) | None)
    n_factors: int | str | None = param(None, integer(1) | one_of("fused") | None)
    depth: int | None = param(None, integer(4) | None)
    attribute_support: Sequence[int] | None = param(None, PAIR | None)
    attribute_stride: int | None = param(None, integer(1) | None)
    strided: Sequence[int] | None = param(None, LAYERS | None)
    intermediate_nonlinearity: bool | None = param(None, FLAG | None)
    mean_first: bool | None = param(None, FLAG | None)
    boundary: str = param("zeros", one_of("zeros", "periodic"))
    head: str | None = param(None, one_of("mean", "linear") | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> HierarchicalCNNNetwork:
        """Return the network."""
        net, (channels, *spatial) = self.in_force(), in_shape
        ndim, n_layers = len(spatial), net.depth - 1
        self._check(net)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        for number in range(1, 1 + n_layers):
            last = number == n_layers and net.head == "mean"
            width = n_outputs if last else net.n_attributes
            stride = 2 if number in net.strided else 1
            options: dict[str, Any] = {"ndim": ndim, "stride": stride}
            conv: nn.Module
            if number == 1:
                conv = FrameConv(channels, width, Pixels(size=SUPPORT), bias=False, **options)
            else:
                conv = attribute_conv(number, width, net, options)
            mean_first = net.mean_first and number > 3
            stages[f"layer{number}"] = Layer(conv, width, ndim, mean_first)
        linear = nn.Linear(net.n_attributes, n_outputs) if net.head == "linear" else None
        return HierarchicalCNNNetwork(nn.Sequential(stages), linear, ndim, net.boundary)

    def _check(self, net: Any) -> None:
        """Raise ValueError for parameters that do not agree."""
        if self.strided is not None and max(net.strided, default=0) >= net.depth:
            raise ValueError(
                f"strided must be numbers of layers from 1 to depth - 1 = {net.depth - 1}, got "
                f"{self.strided!r}."
            )
        if net.boundary == "periodic" and net.n_attributes % net.attribute_stride**2:
            raise ValueError(
                "n_attributes must be a multiple of attribute_stride ** 2 = "
                f"{net.attribute_stride**2} for boundary='periodic', got {net.n_attributes}."
            )
        if net.n_factors == "fused" and net.intermediate_nonlinearity:
            raise ValueError(
                "n_factors='fused' leaves no factors to have a nonlinearity between them: "
                "intermediate_nonlinearity must be False, got True."
            )


def attribute_conv(number: int, width: int, net: Any, options: Mapping[str, Any]) -> AttributeConv:
    """Return the convolution of a layer after the first, of so many filters.

    Parameters
    ----------
    number : int
        j, of the layer.
    width : int
    net : HierarchicalCNN
        With all parameters in force.
    options : dict
        Of ``AttributeConv``, beside those of the network.
    """
    options = {**options, "support": SUPPORT, "boundary": net.boundary}
    options["attribute_stride"] = net.attribute_stride
    if number == 2:  # which sees one attribute
        return AttributeConv(width, net.attribute_support[1:], **options)
    if net.n_factors != "fused":
        options |= {"n_factors": net.n_factors}
        options |= {"intermediate_nonlinearity": net.intermediate_nonlinearity}
        return AttributeConv(width, net.attribute_support, **options)
    conv = AttributeConv(width, net.attribute_support, **options)
    conv.shift = torch.zeros(width, *net.attribute_support)
    return conv


class Layer(nn.Module):
    """Convolution, batch norm and exponential linear unit.

    Parameters
    ----------
    conv : nn.Module
    width, ndim : int
        Of what it gives: values of the youngest attribute, and spatial axes.
    mean_first : bool
        Whether the mean over the oldest attribute of the input is taken here.
    """

    def __init__(self, conv: nn.Module, width: int, ndim: int, mean_first: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.elu = conv, BATCH_NORM[ndim](width), nn.ELU()
        self.mean_first, self.ndim = mean_first, ndim

    def forward(self, x: Tensor) -> Tensor:
        r"""Map (n, \*attributes, \*spatial) to (n, \*attributes_out, width, \*places)."""
        y = self.conv(x.mean(1) if self.mean_first else x)
        older = y.shape[: -1 - self.ndim]
        return self.elu(self.norm(y.flatten(0, len(older) - 1))).unflatten(0, older)


class HierarchicalCNNNetwork(nn.Module):
    r"""Layers of attributes, and the mean over all but the youngest one.

    Parameters
    ----------
    stages : nn.Sequential
        The layers before the mean.
    linear : nn.Linear or None
        What reads the means, if anything does.
    ndim : int
        Number of spatial axes.
    boundary : {"zeros", "periodic"}
        Of the attributes.
    """

    def __init__(
        self, stages: nn.Sequential, linear: nn.Linear | None, ndim: int, boundary: str
    ) -> None:
        super().__init__()
        self.stages, self.ndim, self.boundary = stages, ndim, boundary
        head: OrderedDict[str, nn.Module] = OrderedDict(mean=MeanOverAttributes())
        if linear is not None:
            head["linear"] = linear
        self.head = nn.Sequential(head)

    @property
    def n_layers(self) -> int:
        """The number of layers before the mean, J - 1."""
        return len(self.stages)

    def attributes(self, x: Tensor, depth: int) -> Tensor:
        r"""Return a layer, before the mean over its oldest attribute.

        Parameters
        ----------
        x : Tensor, shape (n, channels, \*spatial)
        depth : int
            Its number j, from 1 to ``n_layers``.

        Returns
        -------
        attributes : Tensor, shape (n, \*attributes, \*places)
            Of one attribute at depth 1, of two at depth 2, else of three, the oldest first.
        """
        return self.stages[: self._checked(depth)](x)

    def from_attributes(self, attributes: Tensor, depth: int) -> Tensor:
        r"""Map what ``attributes`` gives at a depth to the outputs, (n, n_outputs)."""
        return self.head(self._features(self.stages[self._checked(depth) :](attributes)))

    def features(self, x: Tensor) -> Tensor:
        r"""Map (n, channels, \*spatial) to means over the places, (n, \*attributes)."""
        return self._features(self.stages(x))

    def forward(self, x: Tensor) -> Tensor:
        r"""Map (n, channels, \*spatial) to (n, n_outputs)."""
        return self.head(self.features(x))

    def class_activations(self, x: Tensor) -> Tensor:
        r"""Return what every place adds to the outputs, (n, n_outputs, \*places)."""
        maps = self.stages(x).mean((1, 2))
        if len(self.head) == 1:
            return maps
        return torch.einsum("nc...,oc->no...", maps, cast(nn.Linear, self.head[-1]).weight)

    def fuse(self) -> HierarchicalCNNNetwork:
        """Return a copy whose factors are fused into the filters that they stand for.

        In evaluation its outputs are the same.

        Raises
        ------
        ValueError
            If there are nonlinearities between the factors.
        """
        fused = copy.deepcopy(self)
        for layer in fused.stages:
            if isinstance(layer.conv, AttributeConv):
                layer.conv = layer.conv.fuse()
        return fused

    def _checked(self, depth: int) -> int:
        return check("depth", depth, integer(1, self.n_layers))

    def _features(self, maps: Tensor) -> Tensor:
        return maps.flatten(-self.ndim).mean(-1)


class MeanOverAttributes(nn.Module):
    r"""Map (n, \*older, youngest) to the means, (n, youngest)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the means over all attributes but the youngest."""
        return x.flatten(1, -2).mean(1)
