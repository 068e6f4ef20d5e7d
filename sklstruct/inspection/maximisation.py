"""What a unit wants: the samples that drive it most."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..frames import Frame, build_frame
from ..layers.filtering import SeparableFilter
from ..params import FLAG, check, integer, real
from ..plugins import make_frame
from .opened import Opened, slope
from .units import Said, watched_unit

START = 0.1  # root mean square of the first samples, as a share of the largest one
APART = 2  # standard deviations from an atom to the next one: their sum is flat to a percent
VALUES_AT_ONCE = 1 << 18  # of samples that climb together


def maximise(
    estimator: Any,
    unit: Any = None,
    layer: str | None = None,
    *,
    X: Any = None,
    n_starts: int = 4,
    prior: Any = "pixel",
    steps: int = 64,
    lr: float = 0.3,
    jitter: int = 1,
    blur: float = 0.0,
    total_variation: float = 0.0,
    diversity: float = 0.0,
    contrast: float | None = None,
    over: str = "mean",
    random_state: int = 0,
    return_responses: bool = False,
) -> Any:
    r"""Return samples that drive a unit as strongly as they can.

    .. math::
        x^* = \arg\max_{\|x\| \le r} f(x), \qquad
        x \leftarrow P_r\Bigl(x + \eta_t \, r \, \frac{d}{\|d\|}\Bigr), \quad
        d = \Psi^T \Psi \, \nabla f(x)

    for standardised samples x, whose norm is their root mean square, the projection :math:`P_r`
    on a ball, and a rate :math:`\eta_t` that falls to 0.  With a frame as the prior, x is a sum of
    its atoms :math:`\psi_k`, :math:`x = \Psi^T a`, and the steps are those of the coefficients a:
    x is as smooth as they are.  From each start the strongest sample on the way is kept.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.
    unit, layer, over
        What is driven, as of ``responses``.
    X : array-like, shape (n, ...), default=None
        Samples, say of the training.  The ball is as large as the largest of them, and the first
        start is the one that drives the unit most: with pixels as the prior, what is found drives
        it no less.
    n_starts : int, default=4
        How many samples to find; the others start from noise.
    prior : "pixel", str, frame family or Frame, default="pixel"
        What samples are made of: single values, or the atoms of a frame, two of their standard
        deviations apart.
    steps : int, default=64
        How many.
    lr : float, default=0.3
        The first rate :math:`\eta`.
    jitter : int, default=1
        By how many samples the gradient is taken aside, at most, along every axis; as the next
        one, it falls to 0 over half of the steps, so that it decides the way and not the end.
    blur : float, default=0.0
        Standard deviation of a Gaussian that gradients are smoothed with, in samples.
    total_variation : float, default=0.0
        How strongly differences of neighbours are made small, as a share of a step.
    diversity : float, default=0.0
        How strongly samples are driven apart, as a share of a step: by the cosines between what
        the layer gives of them, or between themselves where there is no layer.
    contrast : float, default=None
        Largest root mean square of a standardised sample, the radius r of the ball; None is that
        of the largest of X, or 1, as samples have it on average.
    random_state : int, default=0
        Decides noise and jitter.
    return_responses : bool, default=False
        Whether to return how strongly the samples drive the unit, too.

    Returns
    -------
    samples : ndarray, shape (n_starts, ...)
        The strongest first, in units, layout and shape of X.
    values : ndarray, shape (n_starts,)
        As of ``responses``.  Only where ``return_responses`` is set.

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    ValueError
        If there is no such layer, unit or frame, or a parameter is none of the above.

    See Also
    --------
    responses : What is maximised.
    best_patches : What drives it most of what there is.
    MaximisedDisplay : A picture of both.

    References
    ----------
    D. Erhan, Y. Bengio, A. Courville and P. Vincent. Visualizing higher-layer features of a deep
    network. 2009.

    C. Olah, A. Mordvintsev and L. Schubert. Feature visualization. Distill, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import maximise, responses
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> sevens = maximise(model, 7, X=X)
    >>> sevens.shape, bool(responses(model, sevens, 7)[0] > responses(model, X, 7).max())
    ((4, 8, 8), True)
    >>> maximise(model, unit=2, layer="stages.0", prior="gaussian", n_starts=2).shape
    (2, 8, 8)
    """
    for name, value, rule in (
        ("n_starts", n_starts, integer(1)),
        ("steps", steps, integer(1)),
        ("lr", lr, real(above=0)),
        ("jitter", jitter, integer(0)),
        ("blur", blur, real(least=0)),
        ("total_variation", total_variation, real(least=0)),
        ("diversity", diversity, real(least=0)),
        ("contrast", contrast, real(above=0) | None),
        ("random_state", random_state, integer(0)),
        ("return_responses", return_responses, FLAG),
    ):
        check(name, value, rule)
    opened = Opened(estimator)
    shape = opened.in_shape
    noise = np.random.default_rng(random_state).standard_normal((n_starts, *shape))
    with watched_unit(opened, unit, layer, over) as said, opened.alone() as like:
        start = None if X is None else strongest_of(opened, opened.read(X), said)
        radius = contrast or (start and start[1]) or 1.0
        span = Span(prior, shape[1:], like)
        ascent = Ascent(
            said, span, radius, steps, lr, jitter, blur, total_variation, diversity, random_state
        )
        x = START * radius * unit_size(span(torch.from_numpy(noise).to(like)))
        if start is not None:
            x[0] = span(torch.from_numpy(start[0]).to(like))
        # What is to be driven apart climbs together.
        size = n_starts if diversity else max(1, VALUES_AT_ONCE // prod(shape))
        ways = [ascent.run(part) for part in x.split(size)]
    found, values = (torch.cat(parts).numpy(force=True) for parts in zip(*ways, strict=True))
    order = np.argsort(-values, kind="stable")
    samples = opened.to_samples(found[order])
    return (samples, values[order]) if return_responses else samples


def strongest_of(opened: Opened, samples: Any, said: Said) -> tuple[NDArray[Any], float]:
    """Return the sample that drives a unit most, standardised, and how large the largest one is."""
    values, sizes = opened.run(
        samples, lambda x: torch.stack([said(x)[0], size_of(x).flatten()], dim=1)
    ).T
    best = int(values.argmax())
    return opened.run(samples[best : best + 1], torch.clone), float(sizes.max())


class Span:
    r"""Map gradients by samples to steps of samples that are sums of the atoms of a frame.

    .. math::
        x \mapsto \Psi^T \Psi x = \nabla \tfrac{1}{2} \|\Psi x\|^2

    for the products :math:`\Psi x` with all atoms on their grids.

    Parameters
    ----------
    prior : "pixel", str, frame family or Frame
    spatial : tuple of int
        Extents of samples.
    like : Tensor
        Of the type and on the device that samples have.
    """

    def __init__(self, prior: Any, spatial: tuple[int, ...], like: Tensor) -> None:
        self.banks: list[tuple[SeparableFilter, Tensor]] = []
        self.spatial, ndim = spatial, len(spatial)
        if isinstance(prior, str) and prior == "pixel":  # its atoms are the samples themselves
            return
        frame = build_frame(make_frame(prior), ndim)
        atoms = frame.atoms / frame.norms.reshape(-1, *(1,) * ndim)
        apart = np.nan_to_num(APART * frame.scales, nan=1).astype(int)
        strides = np.clip(apart, 1, min(frame.support))
        for stride in np.unique(strides).tolist():
            bank = Frame(frame.name, atoms[strides == stride])
            each = torch.eye(len(bank)).unsqueeze(1).to(like)
            self.banks.append((SeparableFilter(bank, stride, (0,) * ndim), each))

    def __call__(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to that shape."""
        return slope(self.energy, x) if self.banks else x

    def energy(self, x: Tensor) -> Tensor:
        """Return half the sums of the squares of all products with atoms, (n,)."""
        signals = x.flatten(0, 1).unsqueeze(1)
        total = x.new_zeros(len(x))
        for bank, each in self.banks:
            pads: list[int] = []
            for extent, support in zip(self.spatial, bank.support, strict=True):
                # The grid lies in the middle.
                left_over = (extent - 1) % bank.stride
                ends = support // 2 - left_over // 2, support // 2 - (left_over + 1) // 2
                pads = [*ends, *pads]
            products = bank(F.pad(signals, pads), each)
            total = total + products.square().reshape(len(x), -1).sum(1) / 2
        return total


@dataclass(frozen=True)
class Ascent:
    """Steps of samples that drive a unit more and more, the parameters as of ``maximise``."""

    said: Said
    span: Span
    radius: float
    steps: int
    lr: float
    jitter: int
    blur: float
    total_variation: float
    diversity: float
    seed: int

    def run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the strongest samples on the ways from some, and what the unit says of them."""
        # What is drawn does not depend on how many samples climb together.
        rng = np.random.default_rng((self.seed, 1))
        x = self.held(x)
        found, values = x, x.new_full((len(x),), -inf)
        for step in range(self.steps):
            left, coarse = 1 - step / self.steps, max(0, 1 - 2 * step / self.steps)
            reach = round(self.jitter * coarse) if step else 0
            shift = rng.integers(-reach, reach + 1, x.ndim - 2).tolist()
            noise = torch.from_numpy(rng.standard_normal(x.shape[1:])).to(x)
            said, gradient = self.slope(x, shift)
            if not any(shift):
                better = said > values
                found = torch.where(better.view(-1, *(1,) * (x.ndim - 1)), x, found)
                values = torch.where(better, said, values)
            gradient = blurred(gradient, self.blur * coarse)
            # Units that say nothing have no slope, until a sample is met that they answer to.
            gradient = torch.where(size_of(gradient) > 0, gradient, noise)
            direction = self.span(unit_size(gradient) - self.penalty(x))
            x = self.held(x + self.lr * left * self.radius * unit_size(direction))
        return found, values

    def slope(self, x: Tensor, shift: list[int]) -> tuple[Tensor, Tensor]:
        """Return what the unit says of shifted samples, (n,), and the gradient by the samples."""
        said: list[Tensor] = []

        def noted(x: Tensor) -> Tensor:
            said[:] = [self.said(x.roll(shift, dims=tuple(range(2, x.ndim))))[0]]
            return said[0]

        gradient = slope(noted, x)
        # The modulus of 0 has none.
        return said[0].detach(), torch.nan_to_num(gradient, posinf=0, neginf=0)

    def penalty(self, x: Tensor) -> Tensor | float:
        """Return the direction in which samples are rougher and more alike."""
        total: Tensor | float = 0.0
        if self.total_variation:
            total += self.total_variation * unit_size(slope(variation, x))
        if self.diversity:
            total += self.diversity * unit_size(slope(self.alike, x))
        return total

    def alike(self, x: Tensor) -> Tensor:
        """Return the sums of the cosines between the features of samples and of all, (n,)."""
        features = F.normalize(self.said(x)[1])
        return (features @ features.T).sum(1)

    def held(self, x: Tensor) -> Tensor:
        """Return the nearest samples in the ball."""
        return x * (self.radius / size_of(x)).clamp(max=1)


def size_of(x: Tensor) -> Tensor:
    """Return the root mean squares of samples, (n, 1, ...)."""
    return x.flatten(1).square().mean(1).sqrt().view(-1, *(1,) * (x.ndim - 1))


def unit_size(x: Tensor) -> Tensor:
    """Return samples of root mean square 1; those that are 0 stay so."""
    return x / size_of(x).clamp_min(torch.finfo(x.dtype).tiny)


def variation(x: Tensor) -> Tensor:
    """Return the sums of the absolute differences of neighbours, (n,)."""
    axes = range(2, x.ndim)
    return torch.stack([x.diff(dim=axis).abs().flatten(1).sum(1) for axis in axes]).sum(0)


def blurred(x: Tensor, width: float) -> Tensor:
    """Return samples after a Gaussian of some standard deviation, of periodic signals."""
    if not width:
        return x
    axes = tuple(range(2, x.ndim))
    waves = [torch.fft.fftfreq(x.shape[axis]).to(x) for axis in axes]
    squares = torch.stack(torch.meshgrid(*waves, indexing="ij")).square().sum(0)
    low = torch.exp(-2 * (torch.pi * width) ** 2 * squares)
    return torch.fft.ifftn(torch.fft.fftn(x, dim=axes) * low, dim=axes).real
