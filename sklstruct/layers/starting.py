"""Where layers start, from the atoms of frames or from other layers, and which of them learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..frames import Frame
from ..plugins import close_matches, make_frame
from .dimensions import has_free_kernels
from .frame_conv import FrameConv, read_frame

Array = NDArray[np.float64]

EXACT = 1e-6  # relative error of kernels that lie in the span of a frame


def find_layer(network: nn.Module, name: str, parameter: str) -> nn.Module:
    """Return the layer of a name, or raise ValueError with close names and those there are.

    Parameters
    ----------
    network : nn.Module
    name : str
        As in ``network.named_modules()``.
    parameter : str
        What named it, for the message.

    See Also
    --------
    start_layers : Layers that start from a frame or from another network.

    Examples
    --------
    >>> from torch import nn
    >>> from sklstruct.layers import find_layer
    >>> network = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
    >>> find_layer(network, "0", "feature_layer")
    Linear(in_features=4, out_features=2, bias=True)
    >>> find_layer(network, "O", "feature_layer")
    Traceback (most recent call last):
        ...
    ValueError: feature_layer='O' is no layer of the network. Known: 0, 1.
    """
    layers: Mapping[str, nn.Module] = dict(network.named_modules())
    if not name or name not in layers:
        known = [*filter(None, layers)]
        close = close_matches(f"{name}", known)  # before a list that may be long
        raise ValueError(
            f"{parameter}={name!r} is no layer of the network.{close} Known: {', '.join(known)}."
        )
    return layers[name]


def outside(network: nn.Module, layers: str | Sequence[str]) -> list[str]:
    """Return the names of the parameters and buffers that are in none of some layers.

    Parameters
    ----------
    network : nn.Module
    layers : {"all", "last"} or sequence of str
        Names of layers, with all that is within them.  "last" is what is called ``head``, if it
        learns, or else the last layer that does.

    Raises
    ------
    ValueError
        If there is no layer of such a name, or none of them has parameters that learn.

    See Also
    --------
    start_layers : Layers that start from a frame or from another network.

    Examples
    --------
    >>> from torch import nn
    >>> from sklstruct.layers import outside
    >>> network = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 3))
    >>> outside(network, "last")
    ['0.weight', '0.bias']
    """
    learn = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    if layers == "all":
        return []
    if layers == "last":
        has_head = any(name.startswith("head.") for name in learn)
        layers = ["head"] if has_head else [name.rpartition(".")[0] for name in learn[-1:]]
    inside = tuple(f"{name}." for name in layers if find_layer(network, name, "train_layers"))
    if not any(name.startswith(inside) for name in learn):
        raise ValueError(f"train_layers={[*layers]} have no parameters to learn.")
    return [name for name in network.state_dict() if not name.startswith(inside)]


def start_layers(network: nn.Module, sources: Mapping[str, Any]) -> None:
    r"""Let layers of a network start from the atoms of a frame, or as those of another network.

    Of a frame :math:`\psi_1, \dots, \psi_K`, the kernels of the first K output channels of a
    convolution are the atoms, so that they are the frame's transform of the mean of the input
    channels,

    .. math:: w_{oi} = \psi_o / n_{in}, \qquad o \le \min(K, n_{out}),

    and those of the other channels are random in the span of the atoms; see ``FrameConv``.

    Parameters
    ----------
    network : nn.Module
        Changed in place.
    sources : mapping of str to object
        By the name of a layer, what it starts from:

        - a registered frame, a frame family or a ``Frame``, for the first convolution that is
          there; a name stands for the family with the support of the kernels, and smaller atoms
          are surrounded by zeros;
        - a network, whose layer of the same name has the weights, and the statistics of norms; or
          a pair of a network and the name that the layer has in there.  Frame convolutions and
          plain ones take over each other's kernels.  What only the source has is left there.

    Raises
    ------
    ValueError
        If there is no such layer, or the source has another shape.

    See Also
    --------
    sklstruct.estimators.NetworkEstimator : Its parameter ``init``.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.layers import start_layers
    >>> network = nn.Sequential(nn.Conv2d(1, 16, 7), nn.ReLU())
    >>> frame = GaussianDerivatives(order=2)
    >>> start_layers(network, {"0": frame})
    >>> atoms = torch.tensor(frame.build(2).atoms, dtype=torch.float32)
    >>> torch.equal(network[0].weight[:6, 0], atoms)
    True
    """
    for name, source in sources.items():
        layer, what = find_layer(network, name, "init"), f"init[{name!r}]"
        is_pair = isinstance(source, tuple) and len(source) == 2
        module, inner = source if is_pair else (source, name)
        if isinstance(module, nn.Module):
            take_over(layer, find_layer(module, inner, what), what)
        else:
            start_from_frame(layer, source, what)


def take_over(layer: nn.Module, source: nn.Module, what: str) -> None:
    """Give a layer, and all layers within it, the weights and statistics of another one."""
    if not layer.state_dict():
        raise ValueError(f"{what}: {type(layer).__name__} has nothing that it could take over.")
    within = dict(source.named_modules())
    for name, part in layer.named_modules():
        other = within.get(name)
        here = f"{what}, {name}" if name else what
        if has_kernels(part) and has_kernels(other) and not same_basis(part, other):
            set_kernels(part, kernels(other), here)
            copy_state([one for one in pairs(part, other) if one[0] == "bias"], here)
        else:
            copy_state(pairs(part, other), here)


def same_basis(one: Any, other: Any) -> bool:
    """Return whether the weights of two convolutions are coefficients of the same atoms."""
    frames: list[Any] = [layer.frame for layer in (one, other) if isinstance(layer, FrameConv)]
    if len(frames) < 2:  # kernels themselves
        return not frames
    if one.unit_norm != other.unit_norm or (one.scale is None) != (other.scale is None):
        return False
    return frames[0] is frames[1] or np.array_equal(frames[0].atoms, frames[1].atoms)


def pairs(part: nn.Module, other: nn.Module | None) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Yield the names of what a layer keeps itself, its values, and those of another layer."""
    inner = tuple(f"{name}." for name, _ in part.named_children())
    found = {} if other is None else other.state_dict()
    for name, value in part.state_dict().items():
        if not name.startswith(inner):
            yield name, value, found.get(name)


@torch.no_grad()
def copy_state(values: Any, what: str) -> None:
    """Copy values of the same shapes, or raise ValueError."""
    for name, value, source in values:
        if source is None or source.shape != value.shape:
            has = f"has no {name}" if source is None else f"has {name} of {tuple(source.shape)}"
            raise ValueError(
                f"{what}: the source {has}, but the layer has {name} of {tuple(value.shape)}."
            )
        value.copy_(source)


def has_kernels(layer: Any) -> bool:
    """Return whether a layer convolves with the kernels in its weights, or in a frame's span."""
    return isinstance(layer, FrameConv) or has_free_kernels(layer)


def kernels(layer: Any) -> Tensor:
    """Return the kernels of a convolution, (out_channels, in_channels, *support)."""
    kernel: Tensor = layer.kernel if isinstance(layer, FrameConv) else layer.weight
    return kernel.detach()


@torch.no_grad()
def set_kernels(layer: Any, wanted: Tensor, what: str) -> None:
    """Give a convolution kernels, if they have its shape and lie in the span of its frame."""
    shape = *layer.weight.shape[:2], *layer.kernel_size
    if wanted.shape != shape:
        raise ValueError(
            f"{what}: the source has kernels of {tuple(wanted.shape)}, the layer of {shape}."
        )
    if not isinstance(layer, FrameConv):
        layer.weight.copy_(wanted)
        return
    rows: Any = wanted.flatten(2).numpy(force=True).astype(np.float64)
    atoms = layer.frame.flat
    found = rows @ np.linalg.pinv(atoms)
    if np.linalg.norm(found @ atoms - rows) > EXACT * np.linalg.norm(rows):
        raise ValueError(f"{what}: the kernels of the source are not in the span of {layer.frame}.")
    norms = layer.frame.norms if layer.unit_norm else 1
    layer.weight.copy_(torch.from_numpy(found * norms))


def start_from_frame(layer: nn.Module, source: Any, what: str) -> None:
    """Let the first convolution of a layer start from the atoms of a frame."""
    convolution: Any = next(filter(has_kernels, layer.modules()), None)
    if convolution is None:
        raise ValueError(
            f"{what}: {type(layer).__name__} has no kernels that could start as atoms of a frame."
        )
    support = tuple(convolution.kernel_size)
    n_out, n_in = convolution.weight.shape[:2]
    try:
        frame = frame_of(source, support)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from error
    frame = widened(frame, support, what)
    wanted = FrameConv(n_in, n_out, frame, unit_norm=False).kernel.detach()
    atoms = torch.tensor(frame.atoms[:n_out])
    wanted[: len(atoms)] = (atoms / n_in).to(wanted).unsqueeze(1)
    set_kernels(convolution, wanted, what)


def frame_of(source: Any, support: tuple[int, ...]) -> Frame:
    """Return the frame that a name, a family or a frame stands for; a name has that support."""
    family = make_frame(source)
    if isinstance(source, str) and "size" in family.get_params():
        family.set_params(size=max(support))
    return read_frame(family, len(support))


def widened(frame: Frame, support: tuple[int, ...], what: str) -> Frame:
    """Return a frame with zeros around its atoms, up to a support."""
    missing = np.subtract(support, frame.support)
    if (missing < 0).any() or (missing % 2).any():
        raise ValueError(
            f"{what}: the atoms of {frame} do not fit into the middle of kernels of {support}."
        )
    if not missing.any():
        return frame
    return Frame(frame.name, np.pad(frame.atoms, [(0, 0), *((n // 2,) * 2 for n in missing)]))
