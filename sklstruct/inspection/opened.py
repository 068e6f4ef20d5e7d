"""A fitted estimator opened up: the network in it, how samples reach it, and the way back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from sys import maxsize
from threading import get_ident
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..estimators.base import NetworkEstimator
from ..estimators.samples import channels_first, image_shape_of, like_samples
from ..io.nifti.estimator import NiftiVolumes
from ..layers import find_layer
from ..training.device import limited_threads
from ..training.objectives import main_output
from ..training.rows import Unread
from .steps import Each, reader_of, target_column, unfolded

Array = NDArray[Any]

RGB = 3  # channels of samples in colour


class Opened:
    r"""The network in a fitted estimator, what samples pass before it, and the way back.

    .. math::
        X \xrightarrow{\text{steps}} \cdot \xrightarrow{\text{read}} (n, C, *S)
        \xrightarrow{\text{standardise}} x \xrightarrow{\text{network}} (n, O)
        \xrightarrow{\text{target}} f

    Everything that looks into a network goes this way, so that it takes whatever ends in one.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.

    Attributes
    ----------
    steps : list of estimator
        What samples pass first.
    estimator : NetworkEstimator
    network : nn.Module
        Ready to be evaluated.
    in_shape : tuple of int
        Shape of a sample for the network, (channels, \*spatial).
    volumes : NiftiVolumes or None
        What reads scans, if samples are scans.
    codec : Classes or Values
        What y means; where it is maps, what is at a place.
    first : int
        Number of the first sample of the piece that is run.

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    """

    def __init__(self, estimator: Any) -> None:
        *self.steps, last = unfolded(estimator)
        if not isinstance(last, NetworkEstimator):
            raise TypeError(
                "estimator must be a network estimator, or a pipeline or a search that ends in "
                f"one, got {type(last).__name__}; of a stack, give network_."
            )
        check_is_fitted(last)
        self.estimator = last
        self.network: Any = last.net_.module_.eval()
        self.in_shape: tuple[int, ...] = last.in_shape_
        self.volumes = reader_of(estimator)
        self.codec: Any = getattr(last.target_, "places", last.target_)
        self.first = 0

    def untrained(self, seed: int) -> Opened:
        """Return the same with a network of other weights, from which a training would start."""
        other = copy.copy(self)
        other.estimator = copy.copy(self.estimator)
        other.estimator._begin(seed, 2)  # of how many samples matters to a training alone
        other.network = other.estimator.net_.module_.eval()
        return other

    # There ----------------------------------------------------------------------------------

    def read(self, X: Any) -> Array | Unread:
        """Return samples as the network has them before they are standardised, (n, C, *spatial).

        Scans stay in their files until a piece of them is run.
        """
        for step in self.steps:
            X = step.lazy(X) if isinstance(step, NiftiVolumes) else step.transform(X)
        samples = self.estimator._read(X, reset=False)
        return np.asarray(samples) if isinstance(samples, list) else samples  # images, for maps

    def run(
        self,
        samples: Array | Unread,
        function: Callable[[Tensor], Tensor],
        *,
        one_by_one: bool = False,
    ) -> Array:
        """Apply a function of standardised samples to what was read, a few or one at a time."""
        most = (maxsize,) if one_by_one else None  # as if a sample had so many values
        self.first = 0

        def counted(x: Tensor) -> Tensor:
            found = function(x)
            self.first += len(x)
            return found

        return self.estimator._run(samples, counted, in_shape=most)

    def run_parts(
        self, samples: Array | Unread, function: Callable[[Tensor], Sequence[Tensor]]
    ) -> list[Array]:
        """Apply a function that gives several tensors (n, ...), in double precision."""
        shapes: list[tuple[int, ...]] = []

        def side_by_side(x: Tensor) -> Tensor:
            parts = function(x)
            shapes[:] = [tuple(part.shape[1:]) for part in parts]
            return torch.cat([part.flatten(1) for part in parts], dim=1)

        found = self.run(samples, side_by_side).astype(np.float64)
        parts = np.split(found, np.cumsum([*map(prod, shapes)])[:-1], axis=1)
        return [part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]

    @contextmanager
    def alone(self) -> Iterator[Tensor]:
        """Let the network be run without pieces, but otherwise as in them.

        Gives one of its parameters, whose type and device samples must have.
        """
        parameter = next(self.network.parameters())
        whole = torch.autocast(parameter.device.type, enabled=False)
        with limited_threads(self.estimator.n_threads), whole:
            yield parameter

    def outputs(self, x: Tensor) -> Tensor:
        """Return what the network says of standardised samples, (n, n_outputs).

        Where it says something at every place, that is the mean over places.
        """
        outputs = main_output(self.network(x))
        return outputs.flatten(2).mean(2) if outputs.ndim > 2 else outputs

    def weigh(self, target: Any) -> Callable[[Tensor], Tensor]:
        """Return what maps outputs to the weights, (n, n_outputs), with which they add up to f.

        f is the one number of a sample that is explained: of two classes the difference of the
        logits, else the logit of a class, or a value in the units of y.

        Parameters
        ----------
        target : label, int, None or Each
            A class; None is the second of two classes, and of more the one that is predicted for
            the sample.  For a regressor of several values, the number of the value.  ``Each`` has
            one for each sample that is run.

        Raises
        ------
        ValueError
            If there is no such class or value.
        """
        n_outputs: int = self.codec.n_outputs
        targets = target if isinstance(target, Each) else (target,)
        columns = [target_column(self.estimator, one, n_outputs) for one in targets]

        def weights(outputs: Tensor) -> Tensor:
            if columns == [None]:
                chosen = outputs.argmax(1)
            else:
                numbers = torch.arange(self.first, self.first + len(outputs))
                # The only one is that of all samples; and the last piece is filled up.
                chosen = torch.tensor(columns)[numbers.clamp(max=len(columns) - 1)]
            each = one_hot(chosen.to(outputs.device), n_outputs).to(outputs)
            if not is_classifier(self.estimator):
                return each * torch.from_numpy(self.codec.scale).to(outputs)
            # Of two classes, only the difference of the logits means anything.
            return 2 * each - 1 if n_outputs == 2 else each

        return weights

    def values(self, X: Any) -> Array:
        """Return f of every class or value, (n, n_columns)."""
        columns = getattr(self.estimator, "classes_", range(self.codec.n_outputs))
        each = [self.weigh(one) for one in columns]

        def function(x: Tensor) -> Tensor:
            outputs = self.outputs(x)
            return torch.stack([(outputs * weigh(outputs)).sum(dim=1) for weigh in each], dim=1)

        return self.run(self.read(X), function)

    # Inside ---------------------------------------------------------------------------------

    def layers(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes that layers give for one sample, in the order they run.

        They are (channels, *places), or (features,) where there are no places, as of ``at``.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        n_samples = 0

        def note(name: str, _layer: Any, _args: Any, output: Any) -> None:
            parts = streams(output)
            if all(isinstance(part, Tensor) and part.ndim > 1 for part in parts) and all(
                len(part) == n_samples for part in parts
            ):
                shapes[name] = tuple(self.as_maps(output).shape[1:])

        def outputs(x: Tensor) -> Tensor:
            nonlocal n_samples
            n_samples = len(x)
            return self.outputs(x)

        self.trace(outputs, note, self.in_shape)
        return shapes

    def trace(
        self,
        function: Callable[[Tensor], Tensor],
        note: Callable[[str, nn.Module, Any, Any], None],
        in_shape: tuple[int, ...],
    ) -> None:
        """Run a function of zeros, and note every layer, what it is given and what it gives."""
        handles = [
            layer.register_forward_hook(partial(note, name))
            for name, layer in self.network.named_modules()
            if name
        ]
        try:
            self.run(np.zeros((1, *in_shape), self.estimator.dtype), function)
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def at(self, layer: str) -> Iterator[Callable[[Tensor], tuple[Any, Tensor]]]:
        """Give the function from standardised samples to what a layer gives, and the outputs.

        What it gives is as it is, for gradients by it: ``as_maps`` brings it into one form.

        Raises
        ------
        ValueError
            If the network has no such layer, or does not run it.
        """
        here = get_ident()
        seen: list[Any] = []

        def keep(_layer: Any, _args: Any, output: Any) -> Any:
            if get_ident() != here:  # others may run the same network
                return None
            seen[:] = [output]
            # What follows, as ReLU(inplace=True) does, may change what it is given.
            return output.clone() if isinstance(output, Tensor) else None

        def both(x: Tensor) -> tuple[Any, Tensor]:
            outputs = self.outputs(x)
            if not seen:
                raise ValueError(f"layer={layer!r} is a layer that the network does not run.")
            passing = seen.pop()
            if any(len(part) != len(x) for part in streams(passing)):
                raise ValueError(f"layer={layer!r} does not give one thing a sample.")
            return passing, outputs

        handle = find_layer(self.network, layer, "layer").register_forward_hook(keep)
        try:
            with self.storing():
                yield both
        finally:
            handle.remove()

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Let chains keep their activations, as what is not stored has no gradient."""
        chains = [
            m for m in self.network.modules() if getattr(m, "store_activations", True) is False
        ]
        for chain in chains:
            chain.store_activations = True
        try:
            yield
        finally:
            for chain in chains:
                chain.store_activations = False

    def as_maps(self, passing: Any) -> Tensor:
        """Return what a layer gives as (n, channels, *places), or (n, features) without places.

        Several tensors, as reversible blocks give, stand one after another; several axes of
        channels, as ordered attributes, count as one.
        """
        ndim = len(self.in_shape) - 1
        parts = [
            part.flatten(1, part.ndim - 1 - ndim) if part.ndim > ndim + 1 else part.flatten(1)
            for part in streams(passing)
        ]
        return torch.cat(parts, dim=1)

    def as_rows(self, passing: Any, places: str = "all") -> Tensor:
        """Return what a layer gives as (n, n_features): all values, or means over places."""
        rows = []
        for part in streams(passing):
            maps = self.as_maps(part)
            if places == "mean":
                exact = torch.promote_types(maps.dtype, torch.float32)  # else a mean is coarse
                maps = maps.flatten(2).mean(2, dtype=exact) if maps.ndim > 2 else maps.to(exact)
            rows.append(maps.flatten(1))
        return torch.cat(rows, dim=1)

    # Back -----------------------------------------------------------------------------------

    def unstandardised(self, x: Array) -> Array:
        """Return standardised samples (n, C, *spatial) in the units of what was read."""
        return self.estimator._unstandardised(x)

    def to_samples(self, x: Array) -> Array:
        """Return standardised samples in the units, the layout and the shape of X.

        Steps before the network are undone where they can be; else samples are as the network
        reads them, in its units.
        """
        samples = self.in_layout(self.unstandardised(x).astype(x.dtype))
        if hasattr(self.estimator, "sample_shape_"):  # flat rows, where images were folded
            samples = samples.reshape(-1, *self.estimator.sample_shape_)
        for step in reversed(self.steps):
            if not hasattr(step, "inverse_transform"):
                break
            samples = step.inverse_transform(samples)
        return samples

    def to_images(self, x: Array) -> Array:
        """Return standardised samples in the units of X, but as images, (n, C, *spatial).

        They are as the network reads them where steps before it make other values of them.
        """
        samples = self.to_samples(x)
        if samples.size != x.size:
            return self.unstandardised(x).astype(x.dtype)
        return self.as_images(samples)

    def as_images(self, samples: Array) -> Array:
        """Return what ``to_samples`` gives as images, (n, C, *spatial)."""
        if samples[0].size != prod(self.in_shape):  # what steps make of them are images
            return np.asarray(self.read(samples)[:])
        shape = image_shape_of(samples.shape[1:], self.estimator.image_shape)
        return channels_first(samples.reshape(-1, *shape), self.estimator.layout_)

    def in_layout(self, images: Array) -> Array:
        """Return images (n, C, *spatial), of any extents, with the axes of X."""
        layout, shape = self.estimator.layout_, list(images.shape[2:])
        if "C" in layout:
            shape.insert(layout.index("C"), images.shape[1])
        return like_samples(images, layout, tuple(shape))


def streams(output: Any) -> Sequence[Tensor]:
    """Return the tensors that a layer gives; those of some networks give several."""
    return [output] if isinstance(output, Tensor) else output


@contextmanager
def with_gradients() -> Iterator[None]:
    """Let gradients be taken in what is run in pieces; tensors from outside must be cloned."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def slope(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the derivatives of what a function gives, one number a sample, by the samples."""
    # Of the input alone: gradients of the weights would stay in the network.
    with with_gradients():
        x = x.clone().requires_grad_()
        return torch.autograd.grad(function(x).sum(), x)[0]
