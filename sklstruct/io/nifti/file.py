"""One NIfTI file: read so that no damage goes unnoticed, written whole or not at all."""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from nibabel import Nifti1Header, Nifti1Image, Nifti2Header
from nibabel.spatialimages import SpatialImage

from ..atomic import atomic_write
from ..reading import DEFLATE_RATIO, check_growth, open_file
from .grid import Array, Grid, to_canonical

StrPath = str | os.PathLike[str]
Source = StrPath | SpatialImage  # a file, or what nibabel has in memory

MAX_BYTES = 2**31
CHUNK = 2**15  # voxels that are converted at a time
BESIDE = 2**22  # bytes before and behind the voxels that are read at most
GZIP_START = b"\x1f\x8b"
GROWTH = 200  # how many times its size a large file may become: masks reach that, scans do not
FLOAT = np.dtype(np.float32).itemsize
HEADER_SIZE = 540  # of the longer of the two versions


class VolumeHeader(NamedTuple):
    """What the header of a volume says.

    Parameters
    ----------
    grid : Grid
        As it is stored, in any orientation.
    dtype : dtype
        Of the stored numbers.
    offset : int
        Bytes before the first voxel.
    slope, intercept : float
        From stored numbers to values.
    """

    grid: Grid
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float

    @property
    def end(self) -> int:
        """Bytes up to the end of the last voxel."""
        return self.offset + prod(self.grid.shape) * self.dtype.itemsize


def check_volume(path: StrPath, max_bytes: int = MAX_BYTES) -> str | None:
    """Return what is wrong with a file that should be a NIfTI volume, or None.

    Parameters
    ----------
    path : str or path-like
    max_bytes : int, default=2**31
        See ``read_volume``.

    Returns
    -------
    problem : str or None
        The message, with the path, of the error that reading the file raises.

    See Also
    --------
    Cohort : Checks all of its scans.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklstruct.datasets import simulate_cohort
    >>> from sklstruct.io import check_volume
    >>> cohort = simulate_cohort("study", n_subjects=8, random_state=0)
    >>> check_volume(cohort.X[0]) is None
    True
    >>> _ = Path("broken.nii").write_text("no volume")
    >>> check_volume("broken.nii").split(":")[0]
    'broken.nii is not a usable NIfTI volume'
    """
    try:
        read_volume(path, max_bytes)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def read_volume(
    source: Source, max_bytes: int = MAX_BYTES, *, constant: bool = False, finite: bool = True
) -> tuple[Array, Grid]:
    """Return the values of a NIfTI volume in canonical orientation, and where they are.

    The header is checked against the size of the file before memory is taken.

    Parameters
    ----------
    source : str or path-like, or image of nibabel
        A file ``.nii`` or ``.nii.gz``, told apart by what they hold; or an image in memory.
    max_bytes : int, default=2**31
        Largest size of the voxels.
    constant : bool, default=False
        Whether all values may be the same.
    finite : bool, default=True
        If False, values that are infinite become NaN, and NaN is let pass.

    Returns
    -------
    values : ndarray of float32, shape (right, front, top)
        A fourth axis of length 1 is left out.
    grid : Grid

    Raises
    ------
    OSError
        If the file is not there or may not be read.
    ValueError
        If it is no NIfTI file, damaged or truncated; if it has no three axes, claims more
        voxels than it can hold or than ``max_bytes``, or has another dtype than real numbers;
        if the affine is not invertible, a value not finite, or all values are the same.
    """
    # nibabel would take the memory that a damaged header claims, fill up what a truncated file
    # lacks, and let NaN pass.
    if isinstance(source, SpatialImage):
        with naming(source), np.errstate(over="ignore"):
            grid = grid_of(source, max_bytes)
            values = np.asanyarray(source.dataobj).astype(np.float32, order="F")  # a copy
            values = values.reshape(grid.shape, order="F")
            check_values(values, constant, finite)
    else:
        with opened(source) as file:
            header, stream = file.header(max_bytes), file.stream
            values, grid = read_values(stream, header), header.grid
            check_values(values, constant, finite)
    return to_canonical(values, grid)


def read_grid(source: Source, max_bytes: int = MAX_BYTES, *, canonical: bool = True) -> Grid:
    """Return where the voxels of a NIfTI volume are, from the header alone.

    Raises
    ------
    OSError, ValueError
        As ``read_volume`` does for the header.
    """
    if isinstance(source, SpatialImage):
        with naming(source):
            grid = grid_of(source, max_bytes)
    else:
        with opened(source) as file:
            grid = file.header(max_bytes).grid
    return grid.canonical() if canonical else grid


def write_volume(path: StrPath, values: Array, grid: Grid) -> None:
    """Write a volume as NIfTI, in single precision, whole or not at all.

    Raises
    ------
    ValueError
        If the name does not end in ``.nii`` or ``.nii.gz``.
    OSError
        If it cannot be written.
    """
    name = os.fspath(path)
    if not name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"path must end in .nii or .nii.gz, got {name!r}.")
    image = Nifti1Image(np.asarray(values, np.float32), grid.affine)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    with atomic_write(path, "wb") as stream:
        # Without a time stamp, so that equal maps are equal files.
        stream.write(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)


def grid_of(image: SpatialImage, max_bytes: int) -> Grid:
    """Return where the voxels of an image in memory are, if it is a volume."""
    shape, dtype = three_axes(image.shape), image.get_data_dtype()
    if dtype.kind not in "biuf":
        raise ValueError(f"voxels must be real numbers, got dtype {dtype}")
    check_size(shape, dtype, max_bytes)
    return Grid(shape, np.asarray(image.affine, np.float64))


def name_of(source: Source) -> str:
    """Return what messages call a scan."""
    if isinstance(source, SpatialImage):
        return source.get_filename() or "an image in memory"
    return str(Path(source))


@contextmanager
def naming(source: Source) -> Iterator[None]:
    """Let every error name the file that it comes from."""
    try:
        yield
    except Exception as error:  # gzip, zlib and nibabel fail in their own ways
        raise ValueError(f"{name_of(source)} is not a usable NIfTI volume: {error}.") from error


class Opened(NamedTuple):
    """A file at its start.

    Parameters
    ----------
    stream : file
        Of what it holds, decompressed.
    size : int
        Bytes on the disk.
    zipped : bool
    """

    stream: IO[bytes]
    size: int
    zipped: bool

    def header(self, max_bytes: int) -> VolumeHeader:
        """Return what the header says, if the file may become so much."""
        capacity = self.size * DEFLATE_RATIO if self.zipped else self.size
        header = parse_header(self.stream.read(HEADER_SIZE), capacity, max_bytes)
        if self.zipped:
            check_growth(self.size, prod(header.grid.shape) * FLOAT, GROWTH)
        return header


@contextmanager
def opened(path: StrPath) -> Iterator[Opened]:
    """Open a file, compressed or not."""
    with open_file(path) as raw, naming(path):
        size = os.fstat(raw.fileno()).st_size
        zipped = raw.read(len(GZIP_START)) == GZIP_START  # names are often wrong about it
        raw.seek(0)
        stream: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
        yield Opened(stream, size, zipped)


def parse_header(block: bytes, capacity: int, max_bytes: int) -> VolumeHeader:
    """Return what the first bytes of a file say, if the file can hold it and it is a volume."""
    if block[344:348] == b"n+1\0":
        found = Nifti1Header(block[:348])
    elif block[4:8] == b"n+2\0":
        found = Nifti2Header(block)
    elif block[344:348] == b"ni1\0" or block[4:8] == b"ni2\0":
        raise ValueError("its voxels are in another file; convert the pair to one .nii file")
    else:
        raise ValueError(f"no NIfTI header in its first {len(block)} bytes, the magic is missing")
    shape = three_axes(found.get_data_shape())
    slope, intercept = found.get_slope_inter()
    scale = (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)
    grid = Grid(shape, np.asarray(found.get_best_affine(), np.float64))
    header = VolumeHeader(grid, found.get_data_dtype(), found.get_data_offset(), *scale)
    if header.dtype.kind not in "iuf":
        raise ValueError(f"voxels must be real numbers, got dtype {header.dtype}")
    if header.offset < found.single_vox_offset:
        raise ValueError(
            f"voxels must come behind the header, from byte {found.single_vox_offset} on, but the "
            f"header claims that they start at byte {header.offset}"
        )
    if header.end > capacity:
        raise ValueError(
            f"the header claims {'x'.join(map(str, shape))} voxels of {header.dtype} from byte "
            f"{header.offset} to byte {header.end}, but the file can hold {capacity} at most: "
            "it is truncated or its header is damaged"
        )
    if header.offset > BESIDE:
        raise ValueError(f"voxels must start at byte {BESIDE} at most, not at {header.offset}")
    check_size(shape, header.dtype, max_bytes)
    return header


def three_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a volume, without a fourth axis of length 1, or raise a ValueError."""
    # Converters write such an axis, as if a scan were a series.
    shape = tuple(map(int, shape))
    if len(shape) < 3 or any(extent != 1 for extent in shape[3:]) or min(shape) < 1:
        raise ValueError(f"a volume must have three axes with voxels on them, got shape {shape}")
    return shape[:3]


def check_size(shape: tuple[int, ...], dtype: Any, max_bytes: int) -> None:
    """Raise a ValueError if a volume takes too much, as it is stored or in single precision."""
    needed = prod(shape) * max(np.dtype(dtype).itemsize, FLOAT)
    if needed > max_bytes:
        raise ValueError(
            f"a volume may take max_bytes={max_bytes}, but {'x'.join(map(str, shape))} voxels "
            f"of {np.dtype(dtype)} take {needed}"
        )


def read_values(stream: IO[bytes], header: VolumeHeader) -> Array:
    """Return the values of all voxels in single precision, without a copy in between."""
    stream.seek(header.offset)
    values = np.empty(prod(header.grid.shape), np.float32)
    # Piece by piece: a scan in double precision would take three times the memory for a moment.
    for start in range(0, values.size, CHUNK):
        part = values[start : start + CHUNK]
        stored = stream.read(part.size * header.dtype.itemsize)
        if len(stored) < part.size * header.dtype.itemsize:
            raise ValueError("truncated, the file ends before the last voxel")
        with np.errstate(over="ignore", invalid="ignore"):  # found later, where it is named
            scaled = np.frombuffer(stored, header.dtype).astype(np.float64)
            part[:] = scaled * header.slope + header.intercept
    # The checksum of a compressed file comes at its end, which must not be a terabyte of nothing.
    for _ in range(BESIDE // CHUNK):
        if not stream.read(CHUNK):
            break
    else:
        raise ValueError(f"it goes on for {BESIDE} bytes or more behind the last voxel")
    return values.reshape(header.grid.shape, order="F")


def check_values(values: Array, constant: bool, finite: bool) -> None:
    """Raise a ValueError for values that ``read_volume`` refuses; set what is infinite to NaN."""
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        wrong = ~np.isfinite(values)
        place = tuple(np.argwhere(wrong)[0].tolist())
        if finite:
            raise ValueError(f"voxels must be finite, but voxel {place} is {values[place]}")
        values[wrong] = np.nan
        low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    if not constant and not low < high:  # or there is nothing but NaN
        raise ValueError(f"all voxels must not be the same, but all are {low:g}")
