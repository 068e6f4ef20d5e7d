"""Everything there is to see of one model, as one page that opens offline."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.utils import check_random_state

from ..compat import safe_indexing
from ..estimators.volumes import takes_paths
from ..io.atomic import atomic_write
from ..io.cohort import counted
from ..io.nifti.paths import find_volumes
from ..params import check, integer
from ..studies.study import progress_bar
from ..studies.tasks import is_dense
from .blocks import block_names
from .cka_display import CKADisplay
from .deletion_display import DeletionDisplay
from .filter_display import FilterDisplay, SpectrumDisplay
from .frame_similarity import FrameSimilarityDisplay
from .kernels import convolutions
from .maximised_display import MaximisedDisplay
from .methods import MEANINGS
from .opened import Opened
from .page import TEXT, Html, element, joined, listing, note, page, picture, section, table
from .sample_maps_display import SampleMapsDisplay
from .sanity_display import SanityDisplay
from .selectivity_display import SelectivityDisplay
from .steps import type_name, unfolded
from .study_squares import CalibrationDisplay
from .units import units_of

FEW, SCANS = 200, 12  # samples, or scans, for what takes long
FEWER = 12  # for what takes longest
REPEATS = 2  # of what mixes weights up, which takes most of the time
UNITS = 4  # that are maximised
METHODS = ("gradient", "integrated_gradients", "grad_cam", "occlusion")
TRUSTED = METHODS[:3]  # whose trust is measured: occlusion would take hours in volumes


def write_look(
    estimator: Any,
    X: Any,
    out: str | os.PathLike[str],
    y: Any = None,
    *,
    groups: Any = None,
    n_maps: int = 4,
    random_state: int = 0,
    name: str = "",
    data: str = "",
    progress: bool = True,
) -> Path:
    """Write a page of what a fitted estimator has learned, where it looks, and how sure it is.

    Parameters
    ----------
    estimator : fitted estimator
        What is about networks is left out of others, and the page says so.
    X : array-like, shape (n, ...)
        Samples, or paths of scans, as the estimator takes them; best such as it has not learned
        from.
    out : path-like
        The page, which stands alone: its pictures are in it, and the tables behind them, as CSV.
    y : array-like, shape (n,), default=None
        Labels or values; without them nothing is said of how right or how sure it is.
    groups : array-like, shape (n,), default=None
        Subjects, for intervals.
    n_maps : int, default=4
        Number of samples that maps are shown of.
    random_state : int, default=0
        Decides which samples are taken, and everything else that is drawn.
    name, data : str, default=""
        What the model and the data are called; of the model, its class if empty.
    progress : bool, default=True
        Whether to show a progress bar on standard error.

    Returns
    -------
    out : Path

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If X or y do not suit the estimator.
    OSError
        If the file cannot be written.

    See Also
    --------
    write_report : The page of a study.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringSVC
    >>> from sklstruct.inspection import write_look
    >>> X, y = load_digits().images, load_digits().target
    >>> model = ScatteringSVC(random_state=0).fit(X[:100], y[:100])
    >>> write_look(model, X[100:120], "look.html", y[100:120]).name
    'look.html'
    """
    check("n_maps", n_maps, integer(1))
    seen = Look(estimator, X, y, groups, n_maps, random_state)
    name = name or type_name(estimator)
    body = [seen.lead(data), *seen.sections(progress), seen.missing()]
    content = page(f"A look into {name}", *body)
    with atomic_write(out) as stream:
        stream.write(content)
    return Path(out)


class Figure(NamedTuple):
    """A picture that is to be drawn.

    Parameters
    ----------
    title : str
        What is shown, for those who do not see it.
    draw : callable
        Makes the display.
    caption : str
    """

    title: str
    draw: Callable[[], Any]
    caption: str


class Look:
    """A model that is looked into, with the samples by which this is done.

    Parameters
    ----------
    estimator, X, y, groups, n_maps, random_state
        As of ``write_look``.

    Attributes
    ----------
    estimator, X, y, groups, seed
        As given, or found.
    shown, few, fewer : array-like
        Samples for maps, for what takes long, and for what takes longest.
    target : int or None
        What maps are about: of several values the first one, else what is usual.
    left_out : list of str
        What there is nothing to see of, and why.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, groups: Any, n_maps: int, seed: int) -> None:
        self.estimator, self.seed = estimator, seed
        scans = takes_paths(estimator)
        self.X = find_volumes(X, unfolded(estimator)[0].pattern) if scans else X
        self.y = None if y is None else np.asarray(y)
        self.groups = groups
        order = check_random_state(seed).permutation(len(self.X))
        self.few = safe_indexing(self.X, order[: SCANS if scans else FEW])
        in_turn = self.one_of_each(order)
        self.shown = safe_indexing(self.X, in_turn[:n_maps])
        self.fewer = safe_indexing(self.X, in_turn[: n_maps if scans else FEWER])
        self.left_out: list[str] = []
        # What is wrong with samples is no reason to leave parts out.
        said = np.asarray(estimator.predict(self.shown))
        several = said.ndim > 1 and not is_dense(estimator)
        self.target = 0 if several and not is_classifier(estimator) else None

    def one_of_each(self, order: Any) -> Any:
        """Return the order with samples of different labels first, in turn."""
        if self.y is None or self.y.ndim > 1 or not is_classifier(self.estimator):
            return order
        turns = pd.Series(self.y[order]).groupby(self.y[order]).cumcount()
        return order[np.lexsort((np.arange(len(order)), turns))]

    def lead(self, data: str) -> Html:
        """Say what is looked into, and how right it is."""
        model, said = repr(self.estimator), []
        if self.y is not None:
            score = self.estimator.score(self.X, self.y)
            kind = "accuracy" if is_classifier(self.estimator) else "R\N{SUPERSCRIPT TWO}"
            said.append(f"{kind} {score:.3f} on {counted(len(self.X), 'sample')}")
        said += [data] * bool(data)
        return joined([element("p", element("code", model)), element("p", "; ".join(said))])

    def sections(self, progress: bool) -> Iterator[Html]:
        """Yield the sections of the page that have something to show."""
        planned = {title: figures(self) for title, figures in SECTIONS.items()}
        total = sum(map(len, planned.values()))
        with progress_bar("look", total, "picture", progress) as bar:
            for title, figures in planned.items():
                parts: list[Html] = []
                for figure in figures:
                    bar.set_postfix_str(figure.title)
                    parts += self.figure(*figure)
                    bar.update()
                if parts:
                    yield section(title, *parts)

    def figure(self, title: str, draw: Callable[[], Any], caption: str) -> list[Html]:
        """Return a picture, with its table to take away if it has one; [] if there is none."""
        try:
            display = draw()
        except (TypeError, ValueError) as reason:  # it has no such layers, or places, or classes
            self.left_out.append(f"{title}: {reason}")
            return []
        shown = [element("h3", title), picture(display, title, caption)]
        if getattr(display, "missed", None) is not None:
            shown.append(note(TEXT["look"]["missed"].format(f"{100 * display.missed.max():.2g} %")))
        if hasattr(display, "to_frame"):
            shown.append(download(title, display.to_frame()))
        if getattr(display, "errors", None) is not None:
            rows = [[one, f"{value:.3g}"] for one, value in display.errors.iloc[0, 1:].items()]
            shown.append(table(["", "value"], rows))
        return shown

    def missing(self) -> Html:
        """Say what there is nothing to see of, and why."""
        return section("What is not here", listing(self.left_out)) if self.left_out else joined([])


# What there is to see ----------------------------------------------------------------------------


def filters_figures(seen: Look) -> list[Figure]:
    """Return the kernels of the first layer, and of the next one as combinations of these."""
    model = seen.estimator
    return [
        Figure(
            "Filters of the first layer",
            lambda: FilterDisplay.from_estimator(model, by="orientation"),
            TEXT["look"]["filters"],
        ),
        Figure(
            "Their spectra",
            lambda: SpectrumDisplay.from_estimator(model),
            TEXT["look"]["spectra"],
        ),
        Figure(
            "Filters of the second layer, as combinations of the first",
            lambda: FilterDisplay.from_estimator(model, second_layer(model), of="input"),
            TEXT["look"]["second"],
        ),
    ]


def second_layer(model: Any) -> str:
    """Return the second convolution of a network, or raise ValueError if there is none."""
    names = [name for name, shape in convolutions(model).items() if max(shape[2:], default=1) > 1]
    if len(names) < 2:
        raise ValueError("the network has a single layer of kernels.")
    return names[1]


def units_figures(seen: Look) -> list[Figure]:
    """Return what drives outputs, and channels of the last block."""
    model, options = seen.estimator, {"X": seen.few, "random_state": seen.seed}
    return [
        Figure(
            "What outputs want",
            lambda: MaximisedDisplay.from_estimator(
                model, units_of(Opened(model), None)[:UNITS], **options
            ),
            TEXT["look"]["outputs"],
        ),
        Figure(
            "What channels of the last block want",
            lambda: MaximisedDisplay.from_estimator(
                model, [*range(UNITS)], block_names(model, None)[-1], **options
            ),
            TEXT["look"]["channels"],
        ),
    ]


def maps_figures(seen: Look) -> list[Figure]:
    """Return where it looks, by several methods, and whether these can be trusted."""
    model = seen.estimator
    options: dict[str, Any] = {"target": seen.target, "random_state": seen.seed}
    return [
        *(
            Figure(
                f"Where it looks: {MEANINGS[method]}",
                partial(SampleMapsDisplay.from_estimator, model, seen.shown, method, seen.target),
                TEXT["look"][method],
            )
            for method in METHODS
        ),
        Figure(
            "Do the maps depend on what was learned?",
            lambda: SanityDisplay.from_estimator(
                model, seen.fewer, TRUSTED, n_repeats=REPEATS, **options
            ),
            TEXT["look"]["sanity"],
        ),
        Figure(
            "Do the places matter?",
            lambda: DeletionDisplay.from_estimator(model, seen.fewer, TRUSTED, **options),
            TEXT["look"]["deletion"],
        ),
    ]


def structure_figures(seen: Look) -> list[Figure]:
    """Return how structured it is, layer by layer."""
    model = seen.estimator
    return [
        Figure(
            "How much of the kernels Gaussian derivatives explain",
            lambda: FrameSimilarityDisplay.from_estimator(model, random_state=seen.seed),
            TEXT["look"]["similarity"],
        ),
        Figure(
            "Orientation and colour",
            lambda: SelectivityDisplay.from_estimator(model, seen.few, random_state=seen.seed),
            TEXT["look"]["selectivity"],
        ),
        Figure(
            "Which layers are alike",
            lambda: CKADisplay.from_estimator(model, seen.few),
            TEXT["look"]["cka"],
        ),
    ]


def certainty_figures(seen: Look) -> list[Figure]:
    """Return how sure it is, and how right when it is; nothing without labels."""
    options = {"groups": seen.groups, "random_state": seen.seed}
    return [
        Figure(
            "Probabilities, and how often they come true",
            lambda: CalibrationDisplay.from_estimator(seen.estimator, seen.X, seen.y, **options),
            TEXT["look"]["certainty"],
        )
    ] * (seen.y is not None)


SECTIONS = {
    "Filters": filters_figures,
    "What units want": units_figures,
    "Where it looks": maps_figures,
    "How it is structured": structure_figures,
    "How sure it is": certainty_figures,
}


def download(title: str, rows: pd.DataFrame) -> Html:
    """Return a link that saves a table, which is in the page itself, as CSV."""
    text = rows.to_csv(index=rows.columns.name is not None, lineterminator="\n")
    content = b64encode(text.encode()).decode()
    name = "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split()[:6]) + ".csv"
    link = element("a", "table as CSV", href=f"data:text/csv;base64,{content}", download=name)
    return note(link)
