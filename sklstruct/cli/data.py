"""The samples that a fitted model is shown: a name, a file or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .common import by_x

KEYS = {"train": ("X", "X_train"), "test": ("X_test",)}  # of an .npz file


class Samples(NamedTuple):
    """Samples with a name for each, which is its number or its file."""

    names: list[str]
    X: Any


def choose_part(has_test: bool, part: str | None, source: str) -> str:
    """Return "train" or "test", the part that is asked for or else test where there is one."""
    if part == "test" and not has_test:
        raise ValueError(f"{source} has no test samples; leave out --part to take all it has.")
    return part or ("test" if has_test else "train")


def read_labelled(source: str, part: str | None) -> tuple[Any, Any, str]:
    """Return samples, their labels and a description of them."""
    from ..io import load_dataset

    data = load_dataset(source)
    chosen = choose_part(data.X_test is not None, part, source)
    X, y = (data.X_test, data.y_test) if chosen == "test" else (data.X, data.y)
    which = f" {chosen}" if data.X_test is not None else ""
    return X, y, f"{len(y)}{which} samples of {source}, {by_x(data.sample_shape)}"


def read_samples(source: str, part: str | None) -> Samples:
    """Return samples to predict, with or without labels beside them."""
    from ..io import load_dataset
    from ..io.loading import find_file

    path = Path(source).expanduser()
    is_name = path.name == source and path.suffix == ""
    place = find_file(source, None) if is_name else path
    if place is None or not place.exists():
        data = load_dataset(source)
        chosen = choose_part(data.X_test is not None, part, source)
        return numbered(data.X_test if chosen == "test" else data.X)
    if place.suffix == ".npz":
        return numbered(read_unlabelled(place, part))
    return read_images(place)


def numbered(X: Any) -> Samples:
    """Return samples with their numbers as names."""
    return Samples([str(number) for number in range(len(X))], X)


def read_unlabelled(path: Path, part: str | None) -> Any:
    """Return the samples of one part of an ``.npz`` file, which need not hold labels."""
    from ..io.dataset import check_samples
    from ..io.npz import read_arrays

    arrays = read_arrays(path, {key for keys in KEYS.values() for key in keys})
    found = KEYS[choose_part("X_test" in arrays, part, str(path))]
    for key in found:
        if key in arrays:
            check_samples(f"{path}: {key}", arrays[key])
            return arrays[key]
    raise ValueError(f"{path} must hold samples under the key {' or '.join(found)}.")


def read_images(place: Path) -> Samples:
    """Return the images of a file, a folder, or a folder with a subfolder for each class."""
    import numpy as np

    from ..io.image_folder import images_in, is_shown, read_image

    files = [place]
    if place.is_dir():
        folders = sorted(entry for entry in place.iterdir() if entry.is_dir() and is_shown(entry))
        files = [file for folder in folders or [place] for file in images_in(folder)]
    images = [read_image(file) for file in files]
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{file} must have the shape {images[0].shape} of {files[0]}, got {image.shape}."
            )
    names = [str(file.relative_to(place)) if place.is_dir() else file.name for file in files]
    return Samples(names, np.stack(images))
