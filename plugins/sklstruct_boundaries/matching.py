"""Pixels of boundaries that are matched one to one with those of annotators."""

from __future__ import annotations

from math import hypot

import numpy as np
from numpy.typing import NDArray

from . import compiled
from .thinning import thin

Places = NDArray[np.intp]

NONE, FREE = -1, -2


def count_matches(
    levels: NDArray[np.int32], truths: NDArray[np.bool_], n_thresholds: int, tolerance: float
) -> NDArray[np.int64]:
    """Count the pixels of boundaries that are matched, and all of them, at every threshold.

    At a threshold the map is thinned and matched with each annotator: one to one, within the
    tolerance, and as many pixels as possible.  Nearest pixels are matched first; augmenting paths
    do the rest, which leave no pixel unmatched that was matched.  How many are matched with an
    annotator is exact; which of several pixels as near is matched is a convention.

    Parameters
    ----------
    levels : ndarray of int32, shape (height, width)
        How many thresholds each pixel reaches.
    truths : ndarray of bool, shape (n_annotators, height, width)
    n_thresholds : int
    tolerance : float
        Largest distance, in diagonals of the image.

    Returns
    -------
    counts : ndarray of int64, shape (n_thresholds, 4)
        Pixels of annotators that are matched, and all; pixels of the map that are matched with
        those of any annotator, and all.
    """
    offsets = offsets_within(tolerance * hypot(*levels.shape), levels.shape)
    if compiled.AVAILABLE:
        return compiled.count(levels, truths, offsets, n_thresholds)
    counts = np.zeros((n_thresholds, 4), np.int64)
    margin = abs(offsets).max()
    frame = ((margin, margin), (margin, margin))
    step = levels.shape[1] + 2 * margin
    moves = offsets.astype(np.intp) @ (step, 1)
    places = [np.flatnonzero(np.pad(truth, frame)) for truth in truths]
    for number, row in enumerate(counts):
        predicted = np.flatnonzero(np.pad(thin(levels > number), frame))
        matched = np.zeros(len(predicted), bool)
        for truth in places:
            here = matched_pixels(predicted, truth, moves, (levels.shape[0] + 2 * margin) * step)
            matched |= here
            row[:2] += here.sum(), len(truth)
        row[2:] = matched.sum(), len(matched)
    return counts


def offsets_within(reach: float, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return the steps down and right up to a distance, nearest first, shape (n_offsets, 2)."""
    most = int(min(reach, max(shape)))
    steps = np.mgrid[-most : most + 1, -most : most + 1].reshape(2, -1)
    squares = (steps**2).sum(axis=0)
    steps, squares = steps[:, squares <= reach**2], squares[squares <= reach**2]
    return steps[:, np.argsort(squares, kind="stable")].T.astype(np.int32)


def matched_pixels(predicted: Places, truth: Places, moves: Places, size: int) -> NDArray[np.bool_]:
    """Return which predicted pixels are matched, where places are those of a flat grid."""
    owner = np.full(size, NONE)
    owner[truth] = FREE
    match = np.full(len(predicted), NONE)
    waiting = np.arange(len(predicted))
    for move in moves:
        places = predicted[waiting] + move
        free = owner[places] == FREE
        owner[places[free]] = waiting[free]
        match[waiting[free]] = places[free]
        waiting = waiting[~free]
    for root in map(int, waiting):
        augment(root, predicted, moves, owner, match)
    return match != NONE


def augment(root: int, predicted: Places, moves: Places, owner: Places, match: Places) -> None:
    """Look for a shortest augmenting path from a pixel, and match along it."""
    origin: dict[int, int] = {}  # of the places that are seen
    queue = [root]
    for pixel in queue:
        places = predicted[pixel] + moves
        for place in places[owner[places] != NONE]:
            if place in origin:
                continue
            origin[place] = pixel
            if owner[place] != FREE:
                queue.append(owner[place])
                continue
            while place != NONE:
                pixel = origin[place]
                owner[place], match[pixel], place = pixel, place, match[pixel]
            return
    # No path leads out of here, nor will one after other paths are taken.
    owner[list(origin)] = NONE
