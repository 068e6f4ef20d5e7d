"""Whether the order of the channels of a network is real, as a picture."""

from __future__ import annotations

from typing import Any, Self

from ..params import check, one_of
from .attribute_walk import TAU, AttributeWalk
from .display import Axes, Display, Place
from .drawing import COLOURS
from .panels import Panel, draw_panels

SHADE = 0.25  # opacity of what random orders give


class AttributeOrderDisplay(Display):
    """Walks that stay in the class, and localisation, against random orders of the channels.

    Lines are what the learned order gives, and the mean of random orders; the shade is where 95 %
    of these are.  An order that is real leaves the shade.

    Parameters
    ----------
    walk : AttributeWalk
    depth : int, default=None
        Whose shares are drawn over the shift; None is the last one.

    Attributes
    ----------
    walk : AttributeWalk
    depth : int
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (3,)
        Walks by one channel over the depth, walks over the shift at one depth, and localisation
        over the depth.

    Raises
    ------
    ValueError
        If the walk has no shift of 1, or no such depth.

    See Also
    --------
    AttributeWalk : The numbers behind it, and the samples.

    References
    ----------
    J.-H. Jacobsen, E. Oyallon, S. Mallat and A. W. M. Smeulders. Multiscale hierarchical
    convolutional networks. arXiv:1703.04140, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.inspection import AttributeOrderDisplay, AttributeWalk
    >>> ring = np.eye(8)[:, :, np.newaxis]
    >>> walk = AttributeWalk({3: ring}, np.zeros((8, 1, 2)), [0, 1] * 4, random_state=0)
    >>> display = AttributeOrderDisplay(walk).save("order.png")
    >>> len(display.axes_)
    3
    """

    def __init__(self, walk: AttributeWalk, depth: int | None = None) -> None:
        if 1 not in walk.shifts:
            raise ValueError(f"walk must have a shift of 1, got {walk.shifts.tolist()}.")
        depths = list(walk.arrays)
        self.walk = walk
        self.depth = depths[-1] if depth is None else check("depth", depth, one_of(*depths))

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, ax: Place = None, **options: Any
    ) -> Self:
        """Walk along the attributes of a fitted estimator, and draw the numbers.

        Parameters are those of ``AttributeWalk.from_estimator``, and ``ax`` as ``plot`` takes it.
        """
        return cls(AttributeWalk.from_estimator(estimator, X, y, **options)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        table = self.walk.to_frame()
        over_shifts = table[table["depth"] == self.depth].set_index("shift")
        over_depths = table[table["shift"] == 1].set_index("depth")
        localised = self.walk.localisation().set_index("depth")
        shown = [
            (f"walks by {TAU} = 1 that stay in the class", "depth", over_depths, "share"),
            (f"the same at depth {self.depth}", f"{TAU} (channels)", over_shifts, "share"),
            ("concentration along channels", "depth", localised, "concentration"),
        ]
        panels = [
            Panel(name, over, {"learned": part[column], "random": part["control"]})
            for name, over, part, column in shown
        ]
        heading = ["Order of channels", "learned, and random orders with the range of 95 % of them"]
        axes = draw_panels(on, heading, panels)
        for ax, (_, _, part, _) in zip(axes, shown, strict=True):
            edges = part["control_low"], part["control_high"]
            ax.fill_between(part.index, *edges, color=COLOURS[1], alpha=SHADE, linewidth=0)
        return axes
