"""Data sets from folders with one subfolder of images a class."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .dataset import Dataset, check_samples
from .reading import check_growth, open_file, read_npy

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
WHITE = {"L": 255, "RGB": 255, "I;16": 65535}  # the largest value of each mode
GROWTH, BYTES = 200, 12  # how many times its size a file may become, and a pixel in colour
NUMBER_MODES = {"L", "I", "I;16", "F"}  # one number a pixel; everything else is read as colour


def read_image_folder(path: str | os.PathLike[str], name: str | None = None) -> Dataset:
    """Return the data set in a folder that has one subfolder a class.

    The names of the subfolders are the labels.  Grey images become arrays (height, width),
    colour images arrays (height, width, 3), of numbers from 0 to 1; transparency is dropped.
    Images of 32 bits and arrays in ``.npy`` files are taken as they are, never unpickled.  Other
    files and hidden ones are passed over.

    Parameters
    ----------
    path : str or path-like
    name : str, default=None
        Name of the data set; that of the folder if left out.

    Returns
    -------
    dataset : Dataset
        Classes and files in alphabetical order.

    Raises
    ------
    OSError
        If the folder is not there or may not be read.
    ValueError
        If there are fewer than two classes, or a class has no image, or an image cannot be
        read, is not finite or has another shape than the first one.

    See Also
    --------
    load_dataset : From a name, a file or a folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklstruct.io import read_image_folder
    >>> for label in ("cat", "dog"):
    ...     Path("pets", label).mkdir(parents=True)
    ...     np.save(f"pets/{label}/0.npy", np.zeros((4, 6)))
    >>> read_image_folder("pets")
    Dataset('pets', 2 samples of 4x6, 2 labels)
    """
    path = Path(path)
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir() and is_shown(entry))
    if len(classes) < 2:
        raise ValueError(
            f"{path} must have a subfolder of images for each of at least 2 classes, got "
            f"{len(classes)} subfolders."
        )
    files = image_files(path)
    labels = np.array([file.parent.name for file in files])
    return Dataset(name or path.resolve().name, read_images(files), labels)


def image_files(path: Path) -> list[Path]:
    """Return the images of a folder with a subfolder a class, of any other folder, or the file."""
    if not path.is_dir():
        return [path]
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and is_shown(entry))
    return [file for folder in folders or [path] for file in images_in(folder)]


def read_images(files: list[Path]) -> NDArray[Any]:
    """Return images of one shape, (n, *shape), or raise a ValueError that names the other one."""
    images = [read_image(file) for file in files]
    for file, image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{file} must have the shape {images[0].shape} of {files[0]}, got {image.shape}."
            )
    return np.stack(images)


def images_in(folder: Path) -> list[Path]:
    """Return the image files of one class, at least one, in alphabetical order."""
    known = {*SUFFIXES, ".npy"}
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in known and is_shown(f))
    if not files:
        raise ValueError(f"{folder} must hold images ({', '.join(sorted(known))}), got none.")
    return files


def is_shown(path: Path) -> bool:
    """Whether a file or folder is not hidden."""
    return not path.name.startswith(".")


def read_image(path: Path) -> NDArray[Any]:
    """Return one image as an array of finite numbers."""
    # Pillow and NumPy would take a damaged file for one of another format, or name it by no path.
    with open_file(path) as stream:
        try:
            size = os.fstat(stream.fileno()).st_size
            if path.suffix.lower() == ".npy":
                image = read_npy(stream, size)
            else:
                opened = Image.open(stream)  # which reads no pixels yet
                check_growth(size, opened.width * opened.height * BYTES, GROWTH)
                # Cameras store how they were held beside the pixels, which alone lie on their side.
                upright = ImageOps.exif_transpose(opened)
                if upright.mode not in NUMBER_MODES:
                    upright = upright.convert("L" if upright.mode in ("1", "LA") else "RGB")
                image = np.asarray(upright)
                if upright.mode in WHITE:
                    image = image.astype(np.float32) / WHITE[upright.mode]
            check_samples("an image", image[None])
        except Exception as error:  # every format fails in its own ways
            raise ValueError(f"{path} is not a sound image: {error}") from error
    return image
