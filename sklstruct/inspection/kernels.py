"""The kernels of a network: those of one layer, and what a chain of layers makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..layers import MAX_POOL, AttributeConv, Pointwise, find_layer, to_dense
from ..layers.dimensions import has_free_kernels
from ..params import check, one_of
from ..training.device import seeded_initialisation
from .opened import Opened

Array = NDArray[np.float64]
Shape = tuple[int, ...]

MEAN_POOLS: dict[Any, Any] = {
    MAX_POOL[ndim]: mean for ndim, mean in enumerate((F.avg_pool1d, F.avg_pool2d, F.avg_pool3d), 1)
}
LARGEST = 2**20  # samples in which the kernel of a chain of layers has to fit
ROUNDING = 1e-6  # relative, of what is linear


def convolutions(estimator: Any) -> dict[str, tuple[int, ...]]:
    r"""Return the shapes of the kernels that a network has, by layer.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.

    Returns
    -------
    shapes : dict from str to tuple of int
        (n_out, n_in, \*support) by the name of the layer in ``net_.module_``, in the order in
        which they run, then those that others run in their own way.  1x1 convolutions and linear
        layers are among them.

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.

    See Also
    --------
    filters : The kernels themselves.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import convolutions
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=1, random_state=0).fit(X, y)
    >>> convolutions(model)
    {'stages.0.0': (4, 1, 7, 7), 'stages.1.0': (8, 4, 7, 7), 'head': (10, 8, 4, 4)}
    """
    return {name: shape for name, (_, shape) in kernel_layers(Opened(estimator)).items()}


def filters(estimator: Any, layer: str | None = None, *, of: str | None = None) -> Array:
    r"""Return the kernels of a layer, or what layers before it make of them.

    With ``of="input"`` they are filters of what the network reads, not of what the layer reads,

    .. math::
        K_{oc}(q) = \frac{\partial y_o(p)}{\partial x_c(s p + q)}

    of a network in which all is linear: what rectifies and keeps the shape counts as the identity,
    and a maximum as the mean of its window, each its best linear approximation up to a factor for
    inputs without preferred sign or place.  Of two convolutions, the first with stride s,

    .. math:: K_{oc} = \sum_i (w^{(2)}_{oi} \uparrow s) \star w^{(1)}_{ic}

    so a kernel of the second layer is shown as a combination of those of the first.  Of norms,
    which are evaluated, the factors of channels are used, and no shifts.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.
    layer : str, default=None
        A name as in ``net_.module_.named_modules()``.  None is the first layer whose kernels are
        wider than one sample, and with ``of="input"`` the second one, if there are two.  Where
        what comes first is fixed, as wavelets are, that is the first layer which is learned.
    of : "input" or None, default=None
        Of what the kernels are filters: of what the layer reads if None, else of standardised
        samples, for any layer.

    Returns
    -------
    kernels : ndarray, shape (n_out, n_in, \*support)
        As they are correlated with the maps.  There are zeros between the taps of dilated ones,
        n_in is that of a group in grouped ones, and linear layers have the extents of the maps
        that they read.  Attribute convolutions have attributes, or with a rectifier
        between their factors spatial filters, which see every map alone.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it does not end in a network, the layer has no kernels, or with ``of="input"`` is no
        linear function of the samples, or sees all of them however large they are.
    ValueError
        If there is no such layer.

    References
    ----------
    H. Lee, R. Grosse, R. Ranganath and A. Y. Ng. Unsupervised learning of hierarchical
    representations with convolutional deep belief networks. Communications of the ACM, 2011,
    figure 3.

    See Also
    --------
    convolutions : Which layers have kernels.
    filter_table : Orientation, scale and order of each.
    FilterDisplay : A picture of them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import filters
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=1, random_state=0).fit(X, y)
    >>> filters(model).shape, filters(model, "stages.1.0").shape
    ((4, 1, 7, 7), (8, 4, 7, 7))
    >>> filters(model, "stages.1.0", of="input").shape
    (8, 1, 21, 21)
    """
    return named_filters(estimator, layer, of)[0]


def named_filters(estimator: Any, layer: str | None, of: str | None) -> tuple[Array, str]:
    """Return kernels, and the name of the layer that they are of; see ``filters``."""
    check("of", of, one_of("input") | None)
    opened = Opened(estimator)
    found = kernel_layers(opened)
    if layer is None:
        layer = default_layer(opened, found, second=of == "input")
    find_layer(opened.network, layer, "layer")  # which tells what there is
    if of == "input":
        return linear_kernels(opened, layer), layer
    if layer not in found:
        raise TypeError(f"layer={layer!r} has no kernels.  Those that have: {', '.join(found)}.")
    part, shape = found[layer]
    return kernels_of(part).numpy(force=True).astype(np.float64).reshape(shape), layer


def default_layer(
    opened: Opened, found: Mapping[str, tuple[Any, Shape]], second: bool = False
) -> str:
    """Return the first layer with kernels wider than a sample, or the second if there are two.

    Raises
    ------
    TypeError
        If there is none.
    """
    wide = [name for name, (_, shape) in found.items() if max(shape[2:]) > 1]
    if not wide:
        raise TypeError(
            f"The network {type(opened.network).__name__} has no kernels wider than one sample."
        )
    return wide[:2][-1 if second else 0]


# The kernels of one layer -----------------------------------------------------------------------


def has_kernels(layer: Any) -> bool:
    """Whether a layer applies the same kernels at every place, or is linear."""
    # By what they have, as layers of plugins need not be those of the suite.
    return (
        isinstance(layer, nn.Linear | AttributeConv)
        or (hasattr(layer, "frame") and "kernel" in dir(layer))
        or getattr(layer, "transposed", False)
        or has_free_kernels(layer)
    )


def kernel_layers(opened: Opened) -> dict[str, tuple[Any, Shape]]:
    """Return the layers that have kernels and their shapes, by name, those that run first."""
    layers: dict[str, Any] = dict(opened.network.named_modules())
    shapes = {"": opened.in_shape} | opened.layers()
    return {
        name: (layers[name], shape_of(layers[name], name, shapes))
        for name in dict.fromkeys([*shapes, *layers])
        if has_kernels(layers[name])
    }


def kernels_of(layer: Any) -> Tensor:
    """Return the kernels of a layer, (n_out, n_in, *support); of linear ones (n_out, n_in)."""
    if isinstance(layer, nn.Linear):
        return layer.weight
    if isinstance(layer, AttributeConv):
        if layer.intermediate_nonlinearity:
            return layer.spatial_filters.unsqueeze(1)
        return layer.fuse().filters.flatten(1 + layer.ndim).movedim(-1, 1)
    if hasattr(layer, "kernel"):
        return layer.kernel
    weight: Tensor = layer.weight
    if getattr(layer, "transposed", False):  # (n_in, n_out of a group, *support), turned round
        by_group = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
        weight = by_group.flip([*range(2, weight.ndim)])
    dilation = getattr(layer, "dilation", (1,) * (weight.ndim - 2))
    sizes = zip(dilation, weight.shape[2:], strict=True)
    spread = weight.new_zeros(*weight.shape[:2], *(apart * (size - 1) + 1 for apart, size in sizes))
    taps: Any = (..., *(slice(None, None, apart) for apart in dilation))
    spread[taps] = weight
    return spread


def shape_of(layer: Any, name: str, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of the kernels of a layer, by those of what all layers give."""
    if isinstance(layer, nn.Linear):
        return layer.out_features, *maps_before(layer, name, shapes)
    if hasattr(layer, "frame") and hasattr(layer, "out_channels"):  # kernels may not fit
        return layer.out_channels, layer.in_channels, *layer.frame.support
    return tuple(kernels_of(layer).shape)


def maps_before(layer: nn.Linear, name: str, shapes: Mapping[str, Shape]) -> Shape:
    """Return the shape of the maps that a linear layer reads: of one place, if it is not known."""
    ndim, width, names = len(shapes[""]) - 1, layer.in_features, [*shapes]
    before = names[: names.index(name)] if name in names else []
    for other in [] if isinstance(layer, Pointwise) else reversed(before):
        if prod(shapes[other]) != width:  # no longer what was flattened
            break
        if len(shapes[other]) == ndim + 1:
            return shapes[other]
    return width, *[1] * ndim


# Those of a chain of layers ---------------------------------------------------------------------


class Reached(Exception):
    """What a layer gives, beyond which nothing need be run."""

    def __init__(self, output: Any) -> None:
        self.output = output


def linear_kernels(opened: Opened, name: str) -> Array:
    """Return the filters of the input that a layer applies if all before it is linear."""
    function = linear_part(opened, name)
    sample = torch.zeros(1, *opened.in_shape, dtype=torch.float64)
    if not is_affine(function, sample):
        raise TypeError(
            f"layer={name!r} of {type(opened.network).__name__} is no linear function of the "
            "samples, even with rectifiers left out: only a chain of linear maps has kernels of "
            "the input."
        )
    has_places = function(sample).ndim > 2
    extents = [*opened.in_shape[1:]]
    while prod(extents) <= LARGEST:
        slopes = slopes_in_the_middle(function, sample.new_zeros(1, opened.in_shape[0], *extents))
        if not has_places:
            return slopes
        seen = np.argwhere(slopes.any(axis=(0, 1)))
        first, last = seen.min(axis=0, initial=max(extents)), seen.max(axis=0, initial=0)
        cut = (first == 0) | (last == np.subtract(extents, 1))
        if not cut.any():
            inside: Any = map(slice, first, last + 1)
            return slopes[(..., *inside)]
        # Beyond the ends there is padding: only in a larger sample is all of the kernel seen.
        extents = [extent * (2 if c else 1) for extent, c in zip(extents, cut, strict=True)]
    raise TypeError(
        f"layer={name!r} of {type(opened.network).__name__} sees more than "
        f"{LARGEST} samples at once: it has no kernel of a size to be shown."
    )


def linear_part(opened: Opened, name: str) -> Callable[[Tensor], Tensor]:
    """Return the function from samples to what a layer gives, with all before it made linear."""
    with seeded_initialisation(0):  # plain layers draw the weights that they are not to have
        network = to_dense(opened.network).double().cpu()  # a copy: nobody else runs its hooks
    module: Any
    for module in network.modules():
        if getattr(module, "store_activations", True) is False:
            module.store_activations = True  # what is not stored has no gradient
        if getattr(module, "inplace", False):
            module.inplace = False  # or what a rectifier is given would be lost
        if not [*module.children()]:
            module.register_forward_hook(straighten)

    def stop(_layer: Any, _args: Any, output: Any) -> None:
        raise Reached(output)

    find_layer(network, name, "layer").register_forward_hook(stop)

    def function(x: Tensor) -> Tensor:
        try:
            network(x)
        except Reached as reached:
            return opened.as_maps(reached.output)
        raise ValueError(f"layer={name!r} is a layer that the network does not run.")

    return function


def straighten(layer: Any, args: tuple[Any, ...], output: Any) -> Tensor | None:
    """Return what a layer without weights gives if it is made linear, None if it is so already."""
    one = len(args) == 1 and isinstance(args[0], Tensor) and isinstance(output, Tensor)
    if not one or any(True for _ in layer.parameters()):
        return None
    (x,) = args
    if type(layer) in MEAN_POOLS:
        names = "kernel_size", "stride", "padding", "ceil_mode"
        options = {name: getattr(layer, name) for name in names}
        return MEAN_POOLS[type(layer)](x, **options, count_include_pad=False)
    return x if output.shape == x.shape and not is_affine(layer.forward, x) else None


def is_affine(function: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether a function of tensors like x is linear but for a constant, as far as one can see."""
    with torch.no_grad():
        probe = torch.linspace(-1, 2, x.numel(), dtype=x.dtype).view_as(x)
        zero, once, twice, back = (function(factor * probe) for factor in (0, 1, 2, -1))
        size = ROUNDING * max(float((once - zero).abs().max()), 1e-30)
        turned, doubled = once + back - 2 * zero, twice - zero - 2 * (once - zero)
        return bool(max(turned.abs().max(), doubled.abs().max()) <= size)


def slopes_in_the_middle(function: Callable[[Tensor], Tensor], x: Tensor) -> Array:
    """Return the derivatives of what is given at the middle place, (n_out, channels, *spatial)."""
    with torch.inference_mode(False), torch.enable_grad():
        outputs = function(x.requires_grad_())[0]
        middle: Any = (slice(None), *(extent // 2 for extent in outputs.shape[1:]))
        rows = [torch.autograd.grad(one, x, retain_graph=True)[0] for one in outputs[middle]]
    return torch.cat(rows).numpy()
