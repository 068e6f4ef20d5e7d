"""Which samples a model has been trained on, as its file remembers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .data import Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 1 << 16  # marks in a file, half a megabyte


def marks(samples: Samples) -> NDArray[np.uint64]:
    """Return a fingerprint of each sample, of scans by their voxels."""
    import hashlib

    import numpy as np

    if "image" in samples.names:
        from ..io.leakage import voxel_digest

        # Voxels, not names: the same scan lies in several folders.
        found = [int(voxel_digest(path)[:16], 16) for path in samples.X]
    else:
        # In one type, as a file of images may be read as another than it was written.
        plain = (np.ascontiguousarray(sample, np.float64).tobytes() for sample in samples.X)
        digests = (hashlib.blake2b(values, digest_size=8).hexdigest() for values in plain)
        found = [int(digest, 16) for digest in digests]
    return np.array(found, np.uint64)


def kept_marks(samples: Samples) -> NDArray[np.uint64]:
    """Return the marks of training samples that a file keeps, the smallest of very many."""
    import numpy as np

    # The smallest, which are the same whatever the order of the samples was.
    return np.unique(marks(samples))[:MOST]


def trained_on(model: Any, samples: Samples) -> list[tuple[str, str]]:
    """Return a row that says how many samples the model has been trained on, if that is known."""
    import numpy as np

    from ..estimators.volumes import last_step

    kept = getattr(last_step(model), "trained_on_", None)
    if kept is None:
        return []
    known = np.count_nonzero(np.isin(marks(samples), kept))
    least = "at least " if known and len(kept) == MOST else ""
    warning = ", so that this is no test" if known else ""
    return [("trained on", f"{least}{known} of these {len(samples.X)}{warning}")]
