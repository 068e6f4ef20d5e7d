"""The samples that a model is shown: a name, a file, a folder, or a cohort of scans."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .common import Run, by_x
from .scans import add_scans, read_cohort
from .ways import Way, Ways

KEYS = {"train": ("X", "X_train"), "test": ("X_test",)}  # of an .npz file
NAMES = "participant_id", "session_id", "image"


class Samples(NamedTuple):
    """Samples with what they are called, column by column, and what is known of them."""

    names: Mapping[str, Sequence[Any]]
    X: Any
    y: Any = None
    groups: Any = None
    words: str = ""


def add_samples(parser: argparse.ArgumentParser, run: Run) -> Way:
    """Add the options that say which samples are meant, and return the way of cohorts."""
    ways = Ways(parser)
    # Both names everywhere: what fit calls a data set is data to predict.
    way = ways.add("--data", "--dataset", run=run, dest="data", metavar="DATA")
    way.add("--part", choices=("train", "test"))
    way = ways.add("--cohort", run=run, metavar="FOLDER")
    add_scans(way.add)
    return way


def read(args: argparse.Namespace, *, labelled: bool) -> Samples:
    """Return the samples of the arguments, of a data set or of a cohort."""
    if args.cohort is None:
        if labelled:
            return read_labelled(args.data, args.part)
        bare = read_bare(args.data, args.part)
        return bare._replace(words=f"{len(bare.X)} samples of {args.data}")
    from ..io.cohort import counted

    cohort = read_cohort(args, args.target if labelled else None)
    subjects = counted(cohort.table["participant_id"].nunique(), "subject")
    words = f"{counted(len(cohort), 'scan')} of {subjects} of {args.cohort}"
    # Names first, as in the table of the cohort, so that both can be joined.
    names = {name: cohort.table[name].tolist() for name in NAMES if name in cohort.table}
    return Samples(names, cohort.X, cohort.y, cohort.groups, words)


def choose_part(has_test: bool, part: str | None, source: str) -> str:
    """Return "train" or "test", the part that is asked for or else test where there is one."""
    # Whoever scores a model on what it was trained on has to say so.
    if part == "test" and not has_test:
        raise ValueError(f"{source} has no test samples; leave out --part to take all it has.")
    return part or ("test" if has_test else "train")


def read_labelled(source: str, part: str | None) -> Samples:
    """Return samples with their labels."""
    from ..io import load_dataset

    data: Any = load_dataset(source)
    chosen = choose_part(data.X_test is not None, part, source)
    X, y = (data.X_test, data.y_test) if chosen == "test" else (data.X, data.y)
    which = f" {chosen}" if data.X_test is not None else ""
    words = f"{len(y)}{which} samples of {source}, {by_x(data.sample_shape)}"
    return numbered(X)._replace(y=y, words=words)


def read_bare(source: str, part: str | None) -> Samples:
    """Return samples to predict, with or without labels beside them."""
    from ..io import load_dataset
    from ..io.dataset import check_samples
    from ..io.loading import find_file
    from ..io.npz import read_arrays

    path = Path(source).expanduser()
    is_name = path.name == source and path.suffix == ""
    place = find_file(source, None) if is_name else path
    if place is None or not place.exists():  # a registered name, or an error that says what it is
        data = load_dataset(source)
        chosen = choose_part(data.X_test is not None, part, source)
        return numbered(data.X_test if chosen == "test" else data.X)
    if place.suffix != ".npz":
        return read_images(place)
    # Not load_dataset, which would ask for labels.
    arrays = read_arrays(place, {key for keys in KEYS.values() for key in keys})
    keys = KEYS[choose_part("X_test" in arrays, part, str(place))]
    for key in keys:
        if key in arrays:
            check_samples(f"{place}: {key}", arrays[key])
            return numbered(arrays[key])
    raise ValueError(f"{place} must hold samples under the key {' or '.join(keys)}.")


def numbered(X: Any) -> Samples:
    """Return samples with their numbers as names."""
    return Samples({"sample": range(len(X))}, X)  # no list, as a file may hold very many


def read_images(place: Path) -> Samples:
    """Return the images of a file, a folder, or a folder with a subfolder for each class."""
    from ..io import image_folder

    files = [place]
    if place.is_dir():
        shown = filter(image_folder.is_shown, place.iterdir())
        folders = sorted(entry for entry in shown if entry.is_dir())
        files = [file for folder in folders or [place] for file in image_folder.images_in(folder)]
    names = [str(file.relative_to(place)) if place.is_dir() else file.name for file in files]
    return Samples({"sample": names}, image_folder.read_images(files))
