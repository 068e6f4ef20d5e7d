"""What units want, side by side: samples made for them, and the best parts of what there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..estimators.samples import channels_first
from ..params import SEQUENCE, check
from .display import Axes, Display, Place
from .drawing import COLOURS, INK, LETTER, SMALL, TINY, Sheet, bare, draw_planes, planes_through
from .maximisation import maximise
from .opened import RGB, Opened
from .patches import best_patches
from .units import units_of

PICTURE, SPACE, GAP, MARGIN, VALUE, NAME = 0.4, 0.05, 0.16, 0.08, 0.13, 0.3  # inches
MOST_UNITS = 8


class Driving(NamedTuple):
    """What drives some units.

    Parameters
    ----------
    images : ndarray, shape (n_units, n_images, channels, *spatial)
    responses : ndarray, shape (n_units, n_images)
    """

    images: NDArray[Any]
    responses: NDArray[Any]


class MaximisedDisplay(Display):
    """Samples that drive units most, a row for each unit, and the best parts of known samples.

    Signals are lines, images are grey or in colours, of volumes there are the planes through the
    voxel that is farthest from the median.  Every picture has a scale of its own, and below it
    stands how strongly it drives the unit.

    Parameters
    ----------
    units : sequence
        What the units are called.
    maximised : Driving
        What ``maximise`` finds.
    patches : Driving, default=None
        What ``best_patches`` finds.
    layer : str, default=""
        Whose units they are.
    spacing : tuple of float, default=None
        Size of a voxel in millimetres.

    Attributes
    ----------
    units, maximised, patches, layer, spacing
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_units * n_images,)

    See Also
    --------
    maximise, best_patches : The numbers behind it.

    References
    ----------
    C. Olah, A. Mordvintsev and L. Schubert. Feature visualization. Distill, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import MaximisedDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> display = MaximisedDisplay.from_estimator(model, [0, 1], "stages.0.0", X=X)
    >>> display.save("wanted.png").to_frame().groupby("kind")["response"].count()
    kind
    maximised    6
    patch        6
    Name: response, dtype: int64
    """

    def __init__(
        self,
        units: Sequence[Any],
        maximised: Driving,
        patches: Driving | None = None,
        *,
        layer: str = "",
        spacing: tuple[float, ...] | None = None,
    ) -> None:
        self.units, self.maximised, self.patches = list(units), maximised, patches
        self.layer, self.spacing = layer, spacing

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        units: Sequence[Any] | None = None,
        layer: str | None = None,
        *,
        X: Any = None,
        n_starts: int = 3,
        n_patches: int = 3,
        ax: Place = None,
        **params: Any,
    ) -> Self:
        """Find and draw what drives units most.

        Parameters
        ----------
        estimator : fitted estimator
            That ends in a network.
        units : sequence, default=None
            Numbers of channels, or without a layer classes or numbers of values; None are the
            first 8.
        layer : str, default=None
            Name of a layer in ``net_.module_``; None is the output.
        X : array-like, shape (n, ...), default=None
            Samples, say of the training, from which patches are drawn.
        n_starts, n_patches : int, default=3
            How many of each.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.
        **params
            As of ``maximise``; ``over`` is "max" here, as patches drive one place.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            If ``maximise`` refuses something.
        """
        opened = Opened(estimator)
        if units is None:
            units = units_of(opened, layer)[:MOST_UNITS]
        check("units", units, SEQUENCE)
        params = {"over": "max"} | params
        made, parts = [], []
        for unit in units:
            found, values = maximise(
                estimator, unit, layer, X=X, n_starts=n_starts, return_responses=True, **params
            )
            made.append((opened.as_images(found), values))
            if X is not None:
                patches, table = best_patches(estimator, X, unit, layer, n_patches=n_patches)
                layout = opened.estimator.layout_
                parts.append((channels_first(patches, layout), table["response"].to_numpy()))
        return cls(
            units,
            Driving(*map(np.stack, zip(*made, strict=True))),
            Driving(*map(np.stack, zip(*parts, strict=True))) if parts else None,
            layer=layer or "",
            spacing=opened.volumes.spacing_ if opened.volumes else None,
        ).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a picture: ``unit``, ``kind``, ``rank`` and ``response``."""
        rows = [
            (unit, kind, rank, response)
            for kind, driving in self._kinds().items()
            for unit, responses in zip(self.units, driving.responses, strict=True)
            for rank, response in enumerate(responses.tolist())
        ]
        return pd.DataFrame(rows, columns=["unit", "kind", "rank", "response"])

    def _kinds(self) -> dict[str, Driving]:
        known = {"maximised": self.maximised, "patch": self.patches}
        return {kind: driving for kind, driving in known.items() if driving is not None}

    def _draw(self, on: Place) -> list[Axes]:
        ndim = self.maximised.images.ndim - 3
        heading = ["What units want", f"{self.layer or 'outputs'}; below: response"]
        heading += ["planes yx, zx, zy where it is farthest"] * (ndim == 3)
        high = PICTURE * (1 + 1.1 * 2 * (ndim == 3))
        names = [str(unit) for unit in self.units]
        left = MARGIN + LETTER * (max(map(len, names)) + 1)
        places, columns = left, []
        for kind, driving in self._kinds().items():
            columns.append((kind, driving, places))
            places += (PICTURE + SPACE) * driving.images.shape[1] + GAP
        row = high + VALUE + SPACE
        size = places + MARGIN, NAME + row * len(names) + MARGIN
        sheet, head = Sheet.headed(heading, MARGIN, *size, on)
        axes = []
        for kind, driving, start in columns:
            sheet.text(start, head, self._name(kind), fontsize=SMALL)
            sheet.text(start, head + NAME / 2, self._extents(driving), fontsize=TINY)
        for number, name in enumerate(names):
            top = head + NAME + row * number
            sheet.text(MARGIN, top + high / 2, name, fontsize=SMALL)
            for _, driving, start in columns:
                pairs = zip(driving.images[number], driving.responses[number], strict=True)
                for column, (image, response) in enumerate(pairs):
                    x = start + (PICTURE + SPACE) * column
                    axes.append(sheet.axes(x, top, PICTURE, high))
                    draw_image(axes[-1], image)
                    value = f"{response:.3g}".replace("-", "\N{MINUS SIGN}")
                    axes[-1].set_xlabel(value, fontsize=TINY, color=INK, labelpad=1)
        return axes

    def _name(self, kind: str) -> str:
        if kind == "maximised":
            return "made"
        return "best patches" if self.layer else "best samples"

    def _extents(self, driving: Driving) -> str:
        """Return how large pictures are, in words."""
        extents = np.array(driving.images.shape[3:]) * (self.spacing or 1)
        unit = "mm" if self.spacing else ("points", "pixels", "voxels")[len(extents) - 1]
        return " \N{MULTIPLICATION SIGN} ".join(f"{n:.4g}" for n in extents) + f" {unit}"


def draw_image(ax: Axes, image: NDArray[Any]) -> None:
    """Draw a line for each channel of a signal, or grey or coloured planes of (C, *spatial)."""
    low, high = float(image.min()), float(image.max())
    extent = high - low or 1.0
    if image.ndim == 2:
        for channel, line in enumerate(image):
            ax.plot(line, color=COLOURS[channel % len(COLOURS)], linewidth=0.8)
        ax.set_ylim(low - extent / 10, high + extent / 10)
    elif image.ndim == 3 and len(image) == RGB:
        ax.imshow(np.moveaxis((image - low) / extent, 0, -1), interpolation="nearest")
    else:
        values = image.mean(axis=0)
        low, high = float(values.min()), float(values.max())
        planes = [values]
        if values.ndim == 3:
            far = np.abs(values - np.median(values)).argmax()
            planes = planes_through(values, np.unravel_index(far, values.shape))
        draw_planes(ax, planes, (low, high), "gray", stacked=True)
    bare(ax)
