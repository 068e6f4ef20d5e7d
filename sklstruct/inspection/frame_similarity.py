"""How much of what a network has learned a few atoms of a frame explain."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..frames import Frame, build_frame
from ..params import SEQUENCE, Rule, check, integer
from ..plugins import make_frame
from .display import Axes, Place, TableDisplay
from .drawing import COLOURS, INK, LETTER, SMALL, Sheet, in_rows
from .filter_properties import middle_grid
from .kernels import kernel_layers, kernels_of
from .lines import draw_band, quieten
from .means import mean_over_samples
from .opened import Opened
from .panels import check_results

Array = NDArray[np.float64]

REACH, FINEST = 6, 0.8  # extents of a support in standard deviations, and the least of these
MOST = 10  # atoms, as far as one looks unless told otherwise
CHUNK = 512  # kernels at a time
SPAN = 1e-6  # relative singular values that count
NUMBERS = Rule(
    "a sequence of integers of at least 1",
    lambda v: SEQUENCE.holds(v) and len(v) > 0 and all(map(integer(1).holds, v)),
)
COLUMNS = "layer", "n_atoms", "learned", "low", "high", "random", "permuted", "excess"
COLOUR_OF = dict(zip(("learned", "permuted", "random"), COLOURS, strict=False))
PANEL, HEIGHT, LEFT, GAP, NAME, FOOT, KEY = 1.3, 1.0, 0.4, 0.15, 0.2, 0.4, 0.8  # inches
PER_ROW, FEW = 2, 4
WORDS = {"n_atoms": "atoms k", "depth": "layer, in order"}


def similarity_to_frame(
    estimator: Any,
    frame: Any = "gaussian",
    *,
    n_atoms: Sequence[int] | None = None,
    layers: Sequence[str] | None = None,
    n_random: int = 1000,
    random_state: int = 0,
) -> pd.DataFrame:
    r"""Measure how much of every learned kernel a few atoms of a frame explain.

    .. math::
        s_k(w) = 1 - \frac{\|w - \sum_{j=1}^{k} c_j \, \psi_{i_j}\|^2}{\|w\|^2}

    for the kernel w of a pair of an output and an input channel.  Its atoms are found one after
    another: the one that correlates most with what is left (orthogonal matching pursuit).  So
    smooth kernels, say, need few Gaussian derivatives.  As small supports leave few kernels to
    be different, a share means something only beside that of kernels without structure: white
    noise, and the learned kernels with their values in another order.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.
    frame : str, frame family, Frame or "own", default="gaussian"
        A name stands for its family with a scale that fits the support of a layer: six standard
        deviations long, but no less than 0.8 samples.  Others are taken as they are.  All are
        cut, or surrounded by zeros, to the support.  "own" is the frame of each frame layer.
    n_atoms : sequence of int, default=None
        The k above; None is all to 10, or to the rank of the frame.  There is a row for the whole
        span too, with that rank.
    layers : sequence of str, default=None
        Names as in ``net_.module_.named_modules()``.  None is all with kernels of several
        samples along every axis that are not those of maps as a whole; the others are in
        ``table.attrs["left_out"]``.
    n_random : int, default=1000
        Number of kernels of each kind without structure.
    random_state : int, default=0

    Returns
    -------
    table : DataFrame
        With the columns layer; n_atoms; learned, the mean share of the kernels of the layer, and
        low and high, its interval of 95 % by Student's t, kernels counting as drawn; random and
        permuted, the means without structure; and excess, learned less permuted.  Kernels that are
        zero have no share, and a layer of these is nan.

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    ValueError
        If a parameter is none of the above, layers have no such kernels, or atoms that exist on
        the grid only have no middle in common with a support.

    References
    ----------
    J.-H. Jacobsen. Structured deep networks (thesis), figures 2 and 3.

    Y. C. Pati, R. Rezaiifar and P. S. Krishnaprasad. Orthogonal matching pursuit. Asilomar, 1993.

    See Also
    --------
    FrameSimilarityDisplay : The same as curves.
    filter_table : Which derivative is most like a filter.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import similarity_to_frame
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> table = similarity_to_frame(model, "own", n_atoms=(1,))
    >>> table[["layer", "n_atoms", "learned"]].round(3)
            layer  n_atoms  learned
    0  stages.0.0        1    0.416
    1  stages.0.0       10    1.000
    """
    check("n_atoms", n_atoms, NUMBERS | None)
    check("n_random", n_random, integer(1))
    check("random_state", random_state, integer(0))
    opened = Opened(estimator)
    found, rows = wide_layers(opened, frame, layers), []
    for name, layer in found.items():
        kernels = kernels_of(layer).numpy(force=True).astype(np.float64)
        support = kernels.shape[2:]
        atoms = atoms_on(layer.frame if is_own(frame) else frame, support)
        # For every layer anew: its row does not depend on which others there are.
        rng = np.random.default_rng(random_state)
        learned = kernels.reshape(-1, kernels[0, 0].size)
        noise = rng.normal(size=(n_random, learned.shape[1]))
        picked = learned[rng.integers(len(learned), size=n_random)]
        rank = len(span_of(atoms))
        numbers = np.unique(np.clip(range(1, MOST + 1) if n_atoms is None else n_atoms, 1, rank))
        shares = [
            explained(each, atoms, [*numbers.tolist(), rank])
            for each in (learned, noise, rng.permuted(picked, axis=1))
        ]
        for k, number in enumerate(dict.fromkeys([*numbers.tolist(), rank])):
            k = k if number < rank else -1  # the span, however pursuit got there
            own, random, permuted = (mean_over_samples(share[:, k]) for share in shares)
            rows.append((name, number, *own, random.mean, permuted.mean, own.mean - permuted.mean))
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.attrs["left_out"] = [name for name in kernel_layers(opened) if name not in found]
    return table


def is_own(frame: Any) -> bool:
    """Whether the frame of each layer is meant."""
    return isinstance(frame, str) and frame == "own"


def wide_layers(opened: Opened, frame: Any, layers: Sequence[str] | None) -> dict[str, Any]:
    """Return the layers that are compared with a frame, by name."""
    wide = {
        name: layer
        for name, (layer, shape) in kernel_layers(opened).items()
        if min(shape[2:]) > 1 and not hasattr(layer, "in_features")
        if not is_own(frame) or isinstance(getattr(layer, "frame", None), Frame)
    }
    wanted = [*wide] if layers is None else [*layers]
    unknown = [name for name in wanted if name not in wide]
    if unknown or not wanted or isinstance(layers, str):
        kind = "in a frame of their own" if is_own(frame) else "of several samples along every axis"
        raise ValueError(
            f"layers must be a sequence of those with kernels {kind}, {', '.join(wide) or 'none'}, "
            f"got {layers!r}."
        )
    return {name: wide[name] for name in wanted}


def atoms_on(frame: Any, support: tuple[int, ...]) -> Array:
    """Return the atoms of a frame on a support, each of norm 1, (n_atoms, n_samples)."""
    family = make_frame(frame)
    if isinstance(frame, str):
        family = fitting(copy.copy(family), support)
    built = build_frame(family, len(support))
    if built.functions is not None:  # which has values between samples, for even supports
        flat = built.functions(middle_grid(support))
    else:
        flat = cut(built, support).reshape(len(built), -1)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    seen = norms[:, 0] > SPAN * norms.max()
    return flat[seen] / norms[seen]


def fitting(family: Any, support: tuple[int, ...]) -> Any:
    """Return a family with a scale that fits a support, as far as it has one."""
    scale = max(FINEST, max(support) / REACH)
    fits = {"scales": (scale,), "scale": scale}
    known = family.get_params() if hasattr(family, "get_params") else {}
    changed = {name: value for name, value in fits.items() if name in known}
    if not changed and "size" in known:
        changed = {"size": max(support)}
    return family.set_params(**changed) if changed else family


def cut(frame: Frame, support: tuple[int, ...]) -> Array:
    """Return the atoms cut, or surrounded by zeros, to a support around the same middle."""
    missing = np.subtract(support, frame.support)
    if (missing % 2).any():
        raise ValueError(
            f"The atoms of {frame} exist on the grid only and have no middle in common with "
            f"kernels of {support}: give a frame of an odd support for odd ones."
        )
    around = [(0, 0), *((max(0, n) // 2,) * 2 for n in missing)]
    inside = (
        slice(max(0, -n) // 2, extent - max(0, -n) // 2)
        for n, extent in zip(missing, frame.support, strict=True)
    )
    return np.pad(frame.atoms[(slice(None), *inside)], around)


def span_of(atoms: Array) -> Array:
    """Return an orthonormal basis of the span of atoms, (rank, n_samples)."""
    _, sizes, basis = np.linalg.svd(atoms, full_matrices=False)
    return basis[sizes > SPAN * sizes[0]]


def explained(kernels: Array, atoms: Array, numbers: Sequence[int]) -> Array:
    """Return the shares of the energy of kernels that some numbers of atoms explain.

    Parameters
    ----------
    kernels : ndarray, shape (n, n_samples)
        Those that are zero are left out.
    atoms : ndarray, shape (n_atoms, n_samples)
        Of norm 1.
    numbers : sequence of int
        Of atoms, in ascending order; the last one stands for the whole span.

    Returns
    -------
    shares : ndarray, shape (n, n_numbers)
    """
    norms = np.linalg.norm(kernels, axis=1, keepdims=True)
    units = kernels[norms[:, 0] > 0] / norms[norms[:, 0] > 0]
    whole = ((units @ span_of(atoms).T) ** 2).sum(axis=1)
    parts = np.split(units, range(CHUNK, len(units), CHUNK))
    some = [pursue(part, atoms, numbers[:-1]) for part in parts]
    return np.column_stack([np.concatenate(some), whole])


def pursue(units: Array, atoms: Array, numbers: Sequence[int]) -> Array:
    """Return the shares after some steps of orthogonal matching pursuit, (n, n_numbers)."""
    rest, shares = units.copy(), np.zeros((len(units), len(numbers)))
    directions = np.zeros((len(units), max(numbers), units.shape[1]))
    for step in range(max(numbers)):
        picked = atoms[np.abs(rest @ atoms.T).argmax(axis=1)]
        for _ in range(2):  # atoms that hardly differ from others lose digits the first time
            along = np.einsum("nks,ns->nk", directions[:, :step], picked)
            picked = picked - np.einsum("nk,nks->ns", along, directions[:, :step])
        norms = np.linalg.norm(picked, axis=1, keepdims=True)
        unit = np.where(norms > SPAN, picked / np.maximum(norms, SPAN), 0)  # nothing is left
        directions[:, step] = unit
        rest -= (rest * unit).sum(axis=1, keepdims=True) * unit
        shares[:, np.equal(numbers, step + 1)] = 1 - (rest**2).sum(axis=1, keepdims=True)
    return shares


class FrameSimilarityDisplay(TableDisplay):
    """Share of the energy of kernels that k atoms of a frame explain.

    The learned kernels with their interval, beside those without structure: over k in a panel for
    each layer, or of more than four layers over their depth in a panel for some k.

    Parameters
    ----------
    results : DataFrame
        As ``similarity_to_frame`` returns it.
    frame : str, default=""
        Its name.

    Attributes
    ----------
    results, frame
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_panels,)

    Raises
    ------
    ValueError
        If results lack a column.

    See Also
    --------
    similarity_to_frame : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import FrameSimilarityDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(frame="pixel", widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> display = FrameSimilarityDisplay.from_estimator(model).save("similarity.png")
    >>> len(display.axes_)
    1
    """

    def __init__(self, results: pd.DataFrame, frame: str = "") -> None:
        check_results(results, *COLUMNS)
        self.results, self.frame = results, frame

    @classmethod
    def from_estimator(
        cls, estimator: Any, frame: Any = "gaussian", *, ax: Place = None, **options: Any
    ) -> Self:
        """Measure and draw how much a few atoms explain.

        Parameters are those of ``similarity_to_frame``, and ``ax`` as ``plot`` takes it.
        """
        name = frame if isinstance(frame, str) else getattr(frame, "name", type(frame).__name__)
        return cls(similarity_to_frame(estimator, frame, **options), name).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        panels, over = self._panels()
        heading = [
            "Energy that k atoms explain",
            *[f"frame {self.frame}"] * bool(self.frame),
            "mean share over kernels, band: 95 %",
        ]
        columns, row = min(PER_ROW, len(panels)), NAME + HEIGHT + FOOT
        size = LEFT + PER_ROW * (PANEL + GAP), NAME + -(-len(panels) // columns) * row
        sheet, head = Sheet.headed(heading, LEFT, *size, on)
        for place, (kind, colour) in enumerate(COLOUR_OF.items()):
            sheet.text(LEFT + KEY * place, head, kind, color=colour, weight="bold")
        axes = []
        places = in_rows(len(panels), columns, PANEL + GAP, row)
        for (x, y), (name, part) in zip(places, panels.items(), strict=True):
            left, top = LEFT + x, head + NAME + y + NAME
            ax = sheet.axes(left, top, PANEL, HEIGHT)
            axes.append(ax)
            sheet.text(left, top - NAME / 2, name, fontsize=SMALL)
            for kind, colour in COLOUR_OF.items():
                look: dict[str, Any] = {
                    "color": colour,
                    "marker": ".",
                    "linewidth": 1.3,
                    "markersize": 4,
                }
                if kind == "learned":
                    draw_band(ax, part, over, kind, look)
                else:
                    ax.plot(part[over], part[kind], **look)
            ax.set(ylim=(0, 1.03))
            ax.locator_params(axis="x", nbins=5, integer=True)
            quieten(ax)
            ax.tick_params(labelsize=SMALL, labelleft=x == 0)
            ax.set_xlabel(WORDS[over], fontsize=SMALL, color=INK, labelpad=1)
        return axes

    def _panels(self) -> tuple[dict[str, pd.DataFrame], str]:
        """Return what is drawn by its name, and over what it is drawn."""
        layers = {str(name): part for name, part in self.results.groupby("layer", sort=False)}
        if len(layers) <= FEW:
            return {shortened(name): part for name, part in layers.items()}, "n_atoms"
        below = min(part["n_atoms"].iloc[-1] for part in layers.values())
        numbers = np.unique(self.results["n_atoms"][self.results["n_atoms"] < below])
        picked = np.unique(np.linspace(0, len(numbers) - 1, FEW - 1).astype(int))
        panels = {
            f"k = {k}": self.results[self.results["n_atoms"] == k]
            for k in (numbers[picked] if len(numbers) else ())
        }
        panels["whole span"] = pd.concat([part.tail(1) for part in layers.values()])
        depths = range(1, 1 + len(layers))
        return {name: part.assign(depth=depths) for name, part in panels.items()}, "depth"


def shortened(name: str) -> str:
    """Return the end of a name, as far as there is room for it above a panel."""
    room = int(PANEL / LETTER)
    return name if len(name) <= room else f"\N{HORIZONTAL ELLIPSIS}{name[1 - room :]}"
