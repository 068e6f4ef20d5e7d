"""Layers with an inverse, and chains of them that keep no activations for the gradient."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable
from torch.nn.parameter import is_lazy

from ..params import check, integer, one_of
from .dimensions import channels_last
from .filtering import is_traced
from .recomputing import Replays, frozen_statistics

State = Tensor | tuple[Tensor, Tensor]  # whole, or as the two halves that couplings work on
Again = Callable[[], AbstractContextManager[None]]
Leaves = Sequence[Tensor]
Retraced = tuple[State, State, list[Tensor | None]]
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GRIDS = {torch.float32: 2.0**-16, torch.float64: 2.0**-42}


class Reversible(nn.Module):
    r"""Base of layers with ``forward`` and ``inverse`` side by side.

    .. math:: \Phi^{-1}(\Phi(x)) = x

    A subclass defines both, and may be a part of ``ReversibleSequential`` then.  Where ``forward``
    is injective and not onto, ``inverse`` is a left inverse.

    See Also
    --------
    Coupling : Makes any layer reversible.
    sklstruct.testing.check_reversible : Checks of one's own.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.layers import Reversible, ReversibleSequential
    >>> class Scale(Reversible):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.log_scale = nn.Parameter(torch.zeros(()))
    ...     def forward(self, x):
    ...         return x * self.log_scale.exp()
    ...     def inverse(self, y):
    ...         return y * (-self.log_scale).exp()
    >>> chain = ReversibleSequential(Scale(), Scale())
    >>> chain.inverse(chain(torch.ones(2))).tolist()
    [1.0, 1.0]
    """

    def inverse(self, y: Tensor) -> Tensor:
        """Return the input that has this output."""
        raise NotImplementedError(f"{type(self).__name__} must define inverse(y).")

    def retrace(self, y: State, grad: State, again: Again, leaves: Leaves) -> Retraced:
        """Return the input of an output and the gradients that follow from that of the output.

        Parameters
        ----------
        y, grad : Tensor, or pair of its halves
            Output, and the gradient of a loss for it; both may be overwritten.
        again : callable
            Gives the context of the pass that led to y, in which leaves stand in for parameters.
        leaves : sequence of Tensor

        Returns
        -------
        x, grad_x : Tensor, or pair of its halves
        grads : list of Tensor or None
            For the leaves.
        """
        with torch.no_grad(), again():
            x = self.inverse(whole(y))
        with torch.enable_grad(), again():
            leaf = x.detach().requires_grad_()
            once_more = self(leaf)
        return x, *gradients(once_more, leaf, leaves, whole(grad))


def gradients(
    y: Tensor, x: Tensor, leaves: Leaves, grad: Tensor
) -> tuple[Tensor, list[Tensor | None]]:
    """Return the gradients for an input and for leaves, zeros and None where there are none."""
    if not y.requires_grad:
        return torch.zeros_like(x), [None] * len(leaves)
    found: Sequence[Tensor | None] = torch.autograd.grad(
        y, [x, *leaves], grad.to(y.dtype), allow_unused=True
    )
    grad_x, *grads = found
    return torch.zeros_like(x) if grad_x is None else grad_x, grads


class Coupling(Reversible):
    r"""Additive coupling of two halves of the channels: reversible, whatever the residual is.

    .. math::
        (x, \tilde x) \mapsto (S \tilde x, \; S x + F(\tilde x)), \qquad
        \tilde x = S^{-1} y_1, \quad x = S^{-1} (y_2 - F(\tilde x))

    Residuals are rounded to a grid, see ``fixed_point``.  Of values that are on it, as those in a
    ``ReversibleSequential`` are, the inverse then gives every bit back: deep networks would else
    enlarge the rounding of sums by some orders of magnitude, without bounds where a norm divides
    by the deviation of a channel that does not vary.

    Parameters
    ----------
    residual : nn.Module
        F, from (n, channels / 2, \*spatial) to the shape that S gives.
    reshuffle : SpaceToChannels, default=None
        S, a permutation of values; None is the identity.

    See Also
    --------
    ReversibleSequential : A chain of these.

    References
    ----------
    J.-H. Jacobsen, A. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR, 2018.

    L. Dinh, D. Krueger and Y. Bengio. NICE: non-linear independent components estimation. ICLR
    workshop, 2015.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.layers import Coupling
    >>> coupling = Coupling(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Tanh()))
    >>> x = torch.rand(5, 4, 8, 8)
    >>> torch.allclose(coupling.inverse(coupling(x)), x, atol=1e-6)
    True
    """

    def __init__(self, residual: nn.Module, reshuffle: SpaceToChannels | None = None) -> None:
        super().__init__()
        self.residual = residual
        self.reshuffle = SpaceToChannels(1) if reshuffle is None else reshuffle

    def shift(self, second: Tensor, like: Tensor) -> Tensor:
        """Return what is added to the first half, on the grid, in the shape of another tensor."""
        # Bits must not depend on which way the second half was come by.
        x = channels_last(second)
        version = None if x.is_inference() else x._version  # which has no count of changes
        shift = self.residual(x.clone() if version is None else x).to(second.dtype)
        if version is not None and x._version != version:
            raise ValueError(
                "A residual must not change its input in place, as ReLU(inplace=True) does: it is "
                "half of the output."
            )
        if shift.shape != like.shape:
            raise ValueError(
                f"The residual must map {tuple(second.shape)} to {tuple(like.shape)}, got "
                f"{tuple(shift.shape)}."
            )
        return fixed_point(shift)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to the two halves of the output, side by side."""
        first, second = halves(x)
        moved = self.reshuffle(first)
        return torch.cat([self.reshuffle(second), moved + self.shift(second, moved)], 1)

    def inverse(self, y: Tensor, n_zeros: int = 0) -> Tensor:
        """Return the input that has this output; what training keeps of batches stays.

        In training it is the inverse for the same batch, and if nothing is dropped.

        Parameters
        ----------
        y : Tensor, shape (n, channels, *spatial)
        n_zeros : int, default=0
            Channels at the end of the input that are known to be 0.
        """
        first, second = halves(y)
        known = self.reshuffle.inverse(first)
        # Norms of channels that have never varied would enlarge what is off by a thousand times.
        zeros = InjectivePad(min(n_zeros, known.shape[1]))
        known = zeros(zeros.inverse(known))
        with frozen_statistics(self.residual) if self.training else nullcontext():
            shift = self.shift(known, second)
        return torch.cat([self.reshuffle.inverse(second - shift), known], 1)

    def retrace(self, y: State, grad: State, again: Again, leaves: Leaves) -> Retraced:
        """Return the input and the gradients, for one evaluation of the residual."""
        # In place, and half by half: what is moved about would take as long as a convolution.
        (first, second), (grad_first, grad_second) = parts(y), parts(grad)
        back = self.reshuffle.inverse  # a permutation: it takes gradients back as well
        known = back(first).detach().requires_grad_()
        with torch.enable_grad(), again():
            shift = self.shift(known, second)
        grad_known, grads = gradients(shift, known, leaves, grad_second)
        x = back(second.sub_(shift.detach())), known.detach()
        return x, (back(grad_second), back(grad_first).add_(grad_known)), grads


def parts(state: State) -> tuple[Tensor, Tensor]:
    """Return the halves of a state, which may be overwritten."""
    if isinstance(state, tuple):
        return state
    first, second = halves(state)
    return first.clone(), second.clone()


def whole(state: State) -> Tensor:
    """Return a state in one piece."""
    return torch.cat(state, 1) if isinstance(state, tuple) else state


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the second half of the channels."""
    channels = x.shape[1]
    if channels % 2:
        raise ValueError(f"A coupling needs an even number of channels to halve, got {channels}.")
    first, second = x.chunk(2, 1)
    return channels_last(first), channels_last(second)  # norms and convolutions are faster so


def fixed_point(x: Tensor) -> Tensor:
    """Return x on the grid of the multiples of a power of two; gradients pass as they are.

    The grid is 2^-16 in single and 2^-42 in double precision: sums on it are exact up to 256 and
    2048, so that what was added can be taken away again.  It suits values of about unit deviation,
    as standardised samples are; those of 1e-5 vanish.  Half precision has none.

    Parameters
    ----------
    x : Tensor

    Returns
    -------
    rounded : Tensor
        Of the shape of x.

    See Also
    --------
    Coupling : Rounds residuals to this grid.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import fixed_point
    >>> float(fixed_point(torch.tensor(0.1)) * 2**16)
    6554.0
    """
    return _OnGrid.apply(x, GRIDS[x.dtype]) if x.dtype in GRIDS else x


class _OnGrid(torch.autograd.Function):
    """Rounding that gradients do not see."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, step: float) -> Tensor:
        return (x / step).round_().mul_(step)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        return tangent.view_as(tangent)


class SpaceToChannels(Reversible):
    r"""Move blocks of neighbours into channels: less resolution, and nothing lost.

    .. math:: y[(r, c), u] = x[c, b u + r], \qquad r \in \{0, \dots, b - 1\}^{ndim}

    Parameters
    ----------
    block : int, default=2
        b, edge of a block.
    order : {"position", "channel"}, default="position"
        What channels of the output are sorted by first: by the place r in the block, as in the
        code of the i-RevNet's authors, or by the channel c, as by ``nn.PixelUnshuffle``.  Which
        values make the first half of the channels depends on it.

    See Also
    --------
    InjectivePad, Coupling : Other layers that can be undone.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import SpaceToChannels
    >>> x = torch.arange(8).view(1, 2, 4)
    >>> SpaceToChannels()(x).tolist()
    [[[0, 2], [4, 6], [1, 3], [5, 7]]]
    >>> SpaceToChannels(order="channel")(x).tolist()
    [[[0, 2], [1, 3], [4, 6], [5, 7]]]
    """

    def __init__(self, block: int = 2, order: str = "position") -> None:
        super().__init__()
        check("block", block, integer(1))
        check("order", order, one_of("position", "channel"))
        self.block, self.order = block, order

    def extra_repr(self) -> str:
        """Return what tells two of them apart."""
        return f"{self.block}, {self.order!r}"

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, channels * block**ndim, *spatial / block)."""
        block, (n, channels, *spatial) = self.block, x.shape
        if block == 1:
            return x
        if any(extent % block for extent in spatial):
            raise ValueError(
                f"Extents must be multiples of block={block} to be moved into channels, got "
                f"{tuple(spatial)}."
            )
        ndim, coarse = len(spatial), [extent // block for extent in spatial]
        blocks = x.reshape(n, channels, *(part for extent in coarse for part in (extent, block)))
        places, within = range(2, 2 + 2 * ndim, 2), range(3, 3 + 2 * ndim, 2)
        inner = (*within, 1) if self.order == "position" else (1, *within)
        return blocks.permute(0, *inner, *places).reshape(n, channels * block**ndim, *coarse)

    def inverse(self, y: Tensor) -> Tensor:
        """Map (n, channels * block**ndim, *places) to (n, channels, *places * block)."""
        block, (n, width, *coarse) = self.block, y.shape
        if block == 1:
            return y
        ndim = len(coarse)
        if width % block**ndim:
            raise ValueError(
                f"Channels must be a multiple of {block**ndim}, the values of a block, got {width}."
            )
        channels = width // block**ndim
        first = self.order == "position"
        inner = (*[block] * ndim, channels) if first else (channels, *[block] * ndim)
        parts = y.reshape(n, *inner, *coarse)
        channel, within = (1 + ndim, range(1, 1 + ndim)) if first else (1, range(2, 2 + ndim))
        pairs = zip(range(2 + ndim, 2 + 2 * ndim), within, strict=True)
        axes = (axis for pair in pairs for axis in pair)
        fine = [extent * block for extent in coarse]
        return parts.permute(0, channel, *axes).reshape(n, channels, *fine)


class InjectivePad(Reversible):
    """Put zeros around a sample and beside its channels; the inverse cuts them off.

    It is injective and, but without zeros, not onto: the inverse is a left inverse, which ignores
    what has come to stand where the zeros were.

    Parameters
    ----------
    channels : int, default=0
        Channels of zeros.
    places : sequence of (int, int), default=()
        Zeros before and after each spatial axis.
    front : bool, default=False
        Whether channels of zeros come before the others, or after them.

    See Also
    --------
    SpaceToChannels, Coupling : Other layers that can be undone.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import InjectivePad
    >>> pad = InjectivePad(channels=1, places=[(0, 1)])
    >>> pad(torch.ones(1, 1, 2)).tolist()
    [[[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]
    >>> pad.inverse(pad(torch.ones(1, 1, 2))).tolist()
    [[[1.0, 1.0]]]
    """

    def __init__(
        self, channels: int = 0, places: Sequence[tuple[int, int]] = (), front: bool = False
    ) -> None:
        super().__init__()
        for count in (channels, *(count for pair in places for count in pair)):
            check("Each number of zeros", count, integer(0))
        self.channels, self.places, self.front = channels, tuple(places), front
        # For who asks where places lie, as of other layers.
        self.stride, self.padding = 1, tuple(before for before, _ in places) or 0

    def extra_repr(self) -> str:
        """Return what tells two of them apart."""
        return f"channels={self.channels}, places={self.places}, front={self.front}"

    def margins(self, x: Tensor) -> list[tuple[int, int]]:
        """Return the zeros before and after each axis but the first."""
        places = self.places or ((0, 0),) * (x.ndim - 2)
        if len(places) != x.ndim - 2:
            raise ValueError(
                f"places has zeros for {len(places)} spatial axes, but samples have {x.ndim - 2}."
            )
        return [(self.channels, 0) if self.front else (0, self.channels), *places]

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to the padded shape."""
        # torch counts axes from the last one
        return F.pad(x, [count for pair in reversed(self.margins(x)) for count in pair])

    def inverse(self, y: Tensor) -> Tensor:
        """Return what is not padding."""
        for axis, (before, after) in enumerate(self.margins(y), start=1):
            y = y.narrow(axis, before, y.shape[axis] - before - after)
        return y


class ReversibleSequential(Reversible, nn.Sequential):
    """Reversible layers one after another, whose gradient needs the memory of one of them.

    The backward pass recomputes the input of each layer from its output, from the last to the
    first, where autograd would have kept it: a third more time, and memory that does not grow
    with depth.  Samples are put on the grid of ``fixed_point`` first, so that couplings are undone
    exactly, and gradients are those of autograd.  Norms see a batch once, dropout drops the same.
    Autograd takes over where activations are not the matter, or all derivatives are wanted:
    without gradients, under transforms of ``torch.func``, while a graph is traced, and if there
    are hooks on the layers.  Hooks within residuals see both passes; the output must not be
    changed in place before the backward pass.

    Parameters
    ----------
    *layers : Reversible
        Or one ordered dict of them, which gives them names.
    store_activations : bool, default=False
        Whether to leave it to autograd; needed for second derivatives by ``create_graph=True``.
    tolerance : float, default=1e-5
        A backward pass warns if the input that it comes back to differs by more than this from
        the one that there was, relative to its norm: as it may where activations leave the range
        in which sums are exact.

    See Also
    --------
    Coupling : What most layers of a chain are.

    References
    ----------
    A. N. Gomez, M. Ren, R. Urtasun and R. B. Grosse. The reversible residual network:
    backpropagation without storing activations. NeurIPS, 2017.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.layers import Coupling, ReversibleSequential
    >>> chain = ReversibleSequential(*(Coupling(nn.Conv1d(2, 2, 3, padding=1)) for _ in range(9)))
    >>> chain(torch.rand(1, 4, 8)).sum().backward()
    >>> chain[0].residual.weight.grad.shape
    torch.Size([2, 2, 3])
    """

    def __init__(
        self, *layers: Any, store_activations: bool = False, tolerance: float = 1e-5
    ) -> None:
        nn.Sequential.__init__(self, *layers)
        self.store_activations, self.tolerance = store_activations, tolerance
        self.flat()  # which checks them

    def extra_repr(self) -> str:
        """Return the options."""
        return f"store_activations={self.store_activations}, tolerance={self.tolerance}"

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return super().__getitem__(index)
        layers = OrderedDict(list(self._modules.items())[index])
        options: dict[str, Any] = {"store_activations": self.store_activations}
        return ReversibleSequential(layers, **options, tolerance=self.tolerance)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers from the first to the last."""
        if x.dtype not in GRIDS and torch.is_autocast_enabled(x.device.type):
            x = x.float()  # what is carried on is exact, if residuals are not
        x, layers = fixed_point(x), self.flat()
        learn = [any(p.requires_grad for p in layer.parameters()) for layer in layers]
        if self.store_activations or not (any(learn) or x.requires_grad) or keeps_all(layers):
            return nn.Sequential.forward(self, x)
        lowest = 0 if x.requires_grad else learn.index(True)
        with torch.no_grad():
            for layer in layers[:lowest]:
                x = layer(x)
        parameters = {p: None for layer in layers[lowest:] for p in layer.parameters()}
        return _Retraced.apply(layers[lowest:], self.tolerance, x, *parameters)

    def flat(self) -> list[Reversible]:
        """Return the layers, and those of a chain within in its place.

        Raises
        ------
        TypeError
            If one is not reversible.
        """
        layers: list[Reversible] = []
        for name, layer in self._modules.items():  # one may come more than once
            if not isinstance(layer, Reversible):
                raise TypeError(
                    f"Layer {name} must be Reversible, with forward and inverse, got "
                    f"{type(layer).__name__}: Coupling makes it so."
                )
            layers += layer.flat() if isinstance(layer, ReversibleSequential) else [layer]
        return layers

    def inverse(self, y: Tensor) -> Tensor:
        """Apply the inverses from the last to the first."""
        layers = self.flat()
        for layer, below in zip(reversed(layers), [*layers[-2::-1], None], strict=True):
            padded = isinstance(below, InjectivePad) and not below.front
            if isinstance(layer, Coupling) and padded:
                y = layer.inverse(y, cast(InjectivePad, below).channels)
            else:
                y = layer.inverse(y)
        return y


def keeps_all(layers: Sequence[Reversible]) -> bool:
    """Return whether autograd, a tracer or a hook on a layer has to see every step."""
    transformed = torch._C._functorch.maybe_current_level() is not None
    dual = forward_ad._current_level >= 0
    return (
        not torch.is_grad_enabled()
        or is_traced()
        or transformed
        or dual
        or any(getattr(layer, hooks) for layer in layers for hooks in HOOKS)
        or any(is_lazy(parameter) for layer in layers for parameter in layer.parameters())
    )


class _Retraced(torch.autograd.Function):
    """A chain of reversible layers, of which input and output are kept."""

    @staticmethod
    def forward(
        ctx: Any, layers: list[Reversible], tolerance: float, x: Tensor, *parameters: Tensor
    ) -> Tensor:
        y, ctx.layers, ctx.tolerance, ctx.replays = x, layers, tolerance, Replays(layers, x)
        # Parameters are known by their number: what is saved may come back as another object.
        numbers = {parameter: number for number, parameter in enumerate(parameters)}
        ctx.numbers = []
        for k, layer in enumerate(layers):
            named = layer.named_parameters(remove_duplicate=False)
            ctx.numbers.append({name: numbers[parameter] for name, parameter in named})
            with ctx.replays.noted(k):
                y = layer(y)
        # What is saved is watched: a step of the optimiser in between is an error, not a wrong
        # gradient.  So are running statistics where they are what norms use.
        parts = (part for layer in layers for part in layer.modules() if not part.training)
        fixed = [buffer for part in parts for buffer in part.buffers(recurse=False)]
        ctx.save_for_backward(x, y, *parameters, *fixed)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        _, _, wanted, *learned = ctx.needs_input_grad
        x, y, *saved = ctx.saved_tensors
        y, pairs = y.detach(), zip(saved, learned, strict=False)
        # Their gradients must not pass through the hooks of the parameters themselves, twice.
        leaves = [one.detach().requires_grad_(learns) for one, learns in pairs]
        # Room for what stays comes first, for the reason that Replays has.
        grads: list[Any] = [torch.empty_like(one) if one.requires_grad else None for one in leaves]
        seen: set[int] = set()
        for k in reversed(range(len(ctx.layers))):
            numbers = ctx.numbers[k]
            own = [number for number in dict.fromkeys(numbers.values()) if learned[number]]
            others = {name: leaves[number] for name, number in numbers.items()}
            again = partial(ctx.replays.again, k, others)
            found: list[Any]
            y, grad, found = ctx.layers[k].retrace(y, grad, again, [leaves[n] for n in own])
            while found:
                one, number = found.pop(), own.pop()
                if one is not None:  # layers may share parameters
                    kept = grads[number]
                    kept.add_(one) if number in seen else kept.copy_(one)
                    seen.add(number)
        check_drift(x, whole(y), ctx.tolerance)
        result = (one if number in seen else None for number, one in enumerate(grads))
        return None, None, whole(grad) if wanted else None, *result


def check_drift(x: Tensor, again: Tensor, tolerance: float) -> None:
    """Warn if an input and the one that was computed from the output are too far apart."""
    norm, error = float(x.norm()), float((x - again).norm())
    if not error <= tolerance * norm:  # nor is it where there is a nan
        warnings.warn(
            f"An input recomputed from the output differs by {error / (norm or 1):.2g} of its "
            f"norm, more than tolerance={tolerance:g}, and so far gradients are inexact.  Either "
            "activations are not finite or beyond the range of exact sums, which a smaller "
            "learning rate or float64 may mend, or a layer is not the same function when it is "
            "run again: store_activations=True then.",
            RuntimeWarning,
            stacklevel=2,
        )
