"""Light augmentation of batches: random affine and elastic maps, flips, intensity, noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log1p, radians
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ..params import FLAG, Params, param, real

OfSamples: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]

PRESETS: dict[str, dict[str, Any]] = {
    "digits": {
        "shift": 0.07,  # 2 of 28 samples
        "rotation": 11.0,
        "scale": 0.12,
        "shear": 0.1,
        "elastic": 0.02,
    },
    "natural": {"shift": 0.125, "scale": 0.1, "flip": True, "contrast": 0.2},
    "crops": {"shift": 0.125, "whole_shifts": True, "flip": True},
    "flips": {"flip": (0, 1)},
}
GEOMETRY = ("shift", "rotation", "scale", "shear", "elastic")
STRENGTH = real(least=0)


class Augment(Params):
    r"""Random changes of a batch that leave its labels alone, drawn anew for every sample.

    A sample :math:`f` becomes

    .. math::
        \tilde f(p) = f(F R (I + E) \, (p - t) / s + d(p))

    with a mirroring :math:`F`, a rotation :math:`R`, a shear :math:`E`, a size :math:`s`, a shift
    :math:`t` and a smooth displacement :math:`d`; :math:`p` counts samples from the centre, so
    that rotations are rigid whatever the shape.  All that is one linear interpolation.  Beyond
    the border the nearest sample is repeated: a zero is the background only of some data, and
    of no standardised data.

    Parameters
    ----------
    shift : float, default=0.0
        Largest shift along each axis, as a share of the extent: 0.125 is 4 of 32 samples.
    rotation : float, default=0.0
        Largest angle in degrees, at most 180; about a random axis in 3D, without effect in 1D.
    scale : float, default=0.0
        Largest relative change of size: with 0.1, log(s) is uniform within +-log(1.1).
    shear : float, default=0.0
        Largest off-diagonal entry of E; without effect in 1D.
    elastic : float, default=0.0
        Standard deviation of the displacement along each axis, as a share of the extent.
    elastic_smoothness : float, default=0.15
        Width of the displacement's bumps: the standard deviation of the Gaussian that smoothes
        it, as a share of the extent.
    flip : bool or sequence of int, default=False
        Spatial axes to mirror, each with probability 1/2; True is the last one, left to right.
    contrast : float, default=0.0
        Largest relative change of the deviations from the mean of each channel, as for
        ``scale``.
    brightness : float, default=0.0
        Largest offset, in units of the values.
    noise : float, default=0.0
        Standard deviation of white noise, in units of the values.
    whole_shifts : bool, default=False
        Whether to shift by whole samples, which blurs nothing: as by cropping a padded image.

    See Also
    --------
    augmentation : By name.

    Examples
    --------
    >>> import torch
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.training import Augment
    >>> augment = Augment(shift=0.1, rotation=15, flip=True)
    >>> augment(torch.rand(4, 1, 8, 8), torch.Generator().manual_seed(0)).shape
    torch.Size([4, 1, 8, 8])
    >>> model = RFNNClassifier(augment=augment)
    """

    _keywords_only = False

    shift: float = param(0.0, STRENGTH)
    rotation: float = param(0.0, real(least=0, most=180))
    scale: float = param(0.0, STRENGTH)
    shear: float = param(0.0, STRENGTH)
    elastic: float = param(0.0, STRENGTH)
    elastic_smoothness: float = param(0.15, real(above=0))
    flip: bool | Sequence[int] = False
    contrast: float = param(0.0, STRENGTH)
    brightness: float = param(0.0, STRENGTH)
    noise: float = param(0.0, STRENGTH)
    whole_shifts: bool = param(False, FLAG)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the changed batch; without any strength, the very same one.

        Parameters
        ----------
        x : Tensor, shape (n, channels, *spatial), float32 or float64
            On any device, with one to three spatial axes.
        generator : torch.Generator
            The only source of randomness, on any device.

        Returns
        -------
        x : Tensor, shape (n, channels, *spatial)

        Raises
        ------
        TypeError
            If ``x`` is not float32 or float64.
        ValueError
            If a parameter or the shape of ``x`` is none of the above.
        """
        return self.move(x, (), generator)[0]

    def move(
        self, x: Tensor, maps: Sequence[Tensor], generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        """Return the changed batch, and maps of its places that moved along with it.

        Parameters
        ----------
        x : Tensor, shape (n, channels, *spatial)
        maps : sequence of Tensor, shape (n, *spatial) or (n, channels, *spatial)
            Of integers, which the nearest place gives its value, or of numbers, between which
            values are interpolated.
        generator : torch.Generator

        Returns
        -------
        moved : tuple of Tensor
            x and the maps.
        """
        check_batch(x)
        self.check_params()
        axes = check_flip(self.flip, x.ndim - 2)
        draw = Draw(x, generator)
        if axes or any(getattr(self, name) for name in GEOMETRY):
            grid = self._grid(tuple(x.shape[2:]), axes, draw)
            x, maps = resample(x, grid), [resample_map(values, grid) for values in maps]
        if self.contrast or self.brightness:
            x = self._change_intensity(x, draw)
        if self.noise:
            x = x + draw.normal(*x.shape[1:]) * self.noise
        return (x, *maps)

    def _grid(self, spatial: tuple[int, ...], axes: list[int], draw: Draw) -> Tensor:
        """Draw where to sample the input, shape (n, *spatial, ndim)."""
        shift = draw.uniform(self.shift, len(spatial))
        if self.whole_shifts:
            extents = shift.new_tensor(spatial)
            shift = (shift * extents).round() / extents
        matrix = self._matrices(len(spatial), axes, draw)
        if not self.elastic:
            return sampling_grid(spatial, matrix, shift)
        displacement = self.elastic * smooth_fields(spatial, self.elastic_smoothness, draw)
        return sampling_grid(spatial, matrix, shift, displacement)

    def _matrices(self, ndim: int, axes: list[int], draw: Draw) -> Tensor:
        """Draw the maps F R (I + E) / s from output to input, shape (n, ndim, ndim)."""
        eye = torch.eye(ndim, dtype=draw.dtype, device=draw.device)
        rotation = rotations(draw.uniform(radians(self.rotation)), draw.normal(ndim, ndim))
        shear = draw.uniform(self.shear, ndim, ndim) * (1 - eye)
        size = draw.uniform(log1p(self.scale), 1, 1).exp()
        matrix = rotation @ (eye + shear) / size
        for axis in axes:
            matrix[:, axis] *= 1 - 2 * (draw.uniform(1.0, 1) < 0)
        return matrix

    def _change_intensity(self, x: Tensor, draw: Draw) -> Tensor:
        ones = (1,) * (x.ndim - 1)
        factor = draw.uniform(log1p(self.contrast), *ones).exp()
        mean = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        return mean + (x - mean) * factor + draw.uniform(self.brightness, *ones)


def augmentation(choice: Any) -> OfSamples | None:
    """Return the augmentation that a parameter stands for.

    Parameters
    ----------
    choice : None, "digits", "natural", "crops", "flips", Augment or callable
        "digits" suits handwriting: small affine and elastic maps, no mirroring.  "natural"
        suits photographs: mirrored left to right, shifted, a little scaled, with other
        contrast.  "crops" is the least of that: mirrored, and shifted by whole samples, for
        networks that fine detail matters to.  "flips" mirrors along both axes of images, which
        blurs nothing at all.  Anything else is called with a batch and a ``torch.Generator``.

    Returns
    -------
    augment : callable or None
        None for no augmentation.

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If ``choice`` is none of the above.

    See Also
    --------
    Augment : All that may change.

    Examples
    --------
    >>> from sklstruct.training import augmentation
    >>> augmentation("crops").whole_shifts
    True
    """
    if isinstance(choice, str):
        if choice not in PRESETS:
            raise ValueError(f"augment must be one of {tuple(PRESETS)}, got {choice!r}.")
        return Augment(**PRESETS[choice])
    if choice is None or (callable(choice) and not isinstance(choice, type)):
        return choice
    raise TypeError(
        f"augment must be None, one of {tuple(PRESETS)}, an object such as Augment(shift=0.1) "
        f"or a function of a batch and a torch.Generator, got {choice!r}."
    )


class Draw:
    """Random numbers for every sample of a batch, of its dtype and on its device."""

    def __init__(self, x: Tensor, generator: torch.Generator) -> None:
        self.n, self.dtype, self.device, self.generator = len(x), x.dtype, x.device, generator

    def uniform(self, limit: float, *shape: int) -> Tensor:
        """Return numbers from [-limit, limit), shape (n, *shape)."""
        return self._sample(torch.rand, shape).mul_(2).sub_(1).mul_(limit)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers, shape (n, *shape)."""
        return self._sample(torch.randn, shape)

    def _sample(self, source: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        place = self.generator.device
        values = source(self.n, *shape, generator=self.generator, dtype=self.dtype, device=place)
        return values.to(self.device)


def rotations(angles: Tensor, planes: Tensor) -> Tensor:
    r"""Return rotations in one to three dimensions, by Rodrigues' formula.

    .. math::
        R = I + \sin(\alpha) K + (1 - \cos \alpha) K^2, \qquad K \propto P - P^\top

    Parameters
    ----------
    angles : Tensor, shape (n,)
        In radians.
    planes : Tensor, shape (n, ndim, ndim)
        The antisymmetric part gives the plane, whatever its size; for normal numbers the axes
        are uniform on the sphere.  An entry [1, 0] turns the first axis towards the second.

    Returns
    -------
    matrices : Tensor, shape (n, ndim, ndim)
    """
    skew = planes - planes.mT
    skew = skew / (skew.square().sum((1, 2), keepdim=True) / 2).sqrt().clamp_min(1e-12)
    eye = torch.eye(planes.shape[-1], dtype=planes.dtype, device=planes.device)
    angles = angles[:, None, None]
    return eye + angles.sin() * skew + (1 - angles.cos()) * (skew @ skew)


def smooth_fields(spatial: tuple[int, ...], smoothness: float, draw: Draw) -> Tensor:
    """Draw smooth vector fields of unit variance, shape (n, ndim, *spatial).

    Parameters
    ----------
    spatial : tuple of int
    smoothness : float
        Standard deviation of the Gaussian that smoothes white noise, as a share of the extents.
    draw : Draw
    """
    bands = [smoothing(extent, smoothness) for extent in spatial]
    fields = draw.normal(len(spatial), *(band.shape[1] for band in bands))
    for band in bands:  # each product moves its axis to the end: together they keep the order
        fields = torch.tensordot(fields, band.to(fields), dims=([2], [1]))
    return fields


def smoothing(extent: int, smoothness: float) -> Tensor:
    """Return the matrix from white noise to unit variance, shape (extent, n_nodes).

    The noise is as coarse as the Gaussian allows, at most one standard deviation.
    """
    nodes = torch.linspace(0, 1, int(min(extent, 1 / smoothness + 2)))
    points = torch.linspace(0, 1, extent)
    band = torch.exp(-(((points[:, None] - nodes) / smoothness) ** 2) / 2)
    return F.normalize(band)


def sampling_grid(
    spatial: tuple[int, ...], matrix: Tensor, shift: Tensor, displacement: Tensor | None = None
) -> Tensor:
    """Return where to sample the input, in the coordinates of ``resample``.

    Parameters
    ----------
    spatial : tuple of int
    matrix : Tensor, shape (n, ndim, ndim)
        Maps from output to input, about the centre, in samples along the array's axes.
    shift : Tensor, shape (n, ndim)
        How far the content moves, as a share of the extents.
    displacement : Tensor, shape (n, ndim, *spatial), optional
        Added to the positions in the input, as a share of the extents.

    Returns
    -------
    grid : Tensor, shape (n, *spatial, ndim)
        From -1 to 1 between the borders, last axis first.
    """
    extents = matrix.new_tensor(spatial)[:, None]
    indices = torch.cartesian_prod(*(matrix.new_tensor(range(extent)) for extent in spatial))
    points = indices.view(-1, len(spatial)).T - (extents - 1) / 2
    grid = (matrix @ points - matrix @ (shift[:, :, None] * extents)) / extents
    if displacement is not None:
        grid = grid + displacement.flatten(2)
    return (2 * grid).flip(1).unflatten(2, spatial).movedim(1, -1)


def resample(x: Tensor, grid: Tensor, mode: str = "bilinear") -> Tensor:
    """Interpolate at a grid, linearly by default, repeating the nearest sample beyond the border.

    Parameters
    ----------
    x : Tensor, shape (n, channels, *spatial)
    grid : Tensor, shape (n, *spatial_out, ndim)

    Returns
    -------
    x : Tensor, shape (n, channels, *spatial_out)
    """
    if x.ndim == 3:  # torch has no interpolation of signals: an image of height 1
        return resample(x[:, :, None], F.pad(grid, (0, 1))[:, None], mode)[:, :, 0]
    return F.grid_sample(x, grid, mode=mode, padding_mode="border", align_corners=False)


def resample_map(values: Tensor, grid: Tensor) -> Tensor:
    """Return a map at a grid: of integers the nearest one, of numbers interpolated.

    Parameters
    ----------
    values : Tensor, shape (n, *spatial) or (n, channels, *spatial)
    grid : Tensor, shape (n, *spatial_out, ndim)
    """
    bare = values.ndim == grid.ndim - 1
    x = values[:, None] if bare else values
    if values.is_floating_point():
        moved = resample(x, grid)
    else:
        moved = resample(x.to(grid), grid, mode="nearest").to(values.dtype)
    return moved[:, 0] if bare else moved


def check_batch(x: Tensor) -> None:
    """Raise TypeError or ValueError unless x is a batch that can be augmented."""
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"x must be float32 or float64, got {x.dtype}.")
    if x.ndim not in (3, 4, 5):
        raise ValueError(
            "x must have the shape (n, channels, *spatial) with one to three spatial axes, got "
            f"{tuple(x.shape)}."
        )


def check_flip(flip: Any, ndim: int) -> list[int]:
    """Return the spatial axes to mirror, or raise ValueError."""
    if isinstance(flip, bool):
        return [ndim - 1] * flip
    axes = flip if isinstance(flip, Sequence) else ()
    if axes is not flip or any(axis not in range(-ndim, ndim) for axis in axes):
        raise ValueError(
            f"flip must be True, False or a sequence of spatial axes from {-ndim} to {ndim - 1}, "
            f"got {flip!r}."
        )
    return sorted({int(axis) % ndim for axis in axes})
