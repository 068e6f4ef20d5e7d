"""Data sets with names: ``load_*`` are at hand, ``fetch_*`` are files, ``make_*`` are made.

What is loaded or fetched is a ``Dataset``, or ``X, y`` with ``return_X_y=True``; what is made is
``X, y`` as in scikit-learn, an image, or a folder of scans.  ``load_dataset`` finds by their names
those that are registered here.
"""

from typing import Any

from ..hookspecs import hookimpl
from ..lazy import attach

__getattr__, __dir__ = attach(__name__, __file__)


@hookimpl
def register_datasets() -> dict[str, Any]:
    """Provide the data sets that the suite knows by name."""
    return {
        "digits": "sklstruct.datasets.images:load_digits",
        "mnist": "sklstruct.datasets.images:fetch_mnist",
        "fashion_mnist": "sklstruct.datasets.images:fetch_fashion_mnist",
        "cifar10": "sklstruct.datasets.images:fetch_cifar10",
        "gtsrb": "sklstruct.datasets.images:fetch_gtsrb",
        "textured_blobs_1": "sklstruct.datasets.blobs:load_first_level",
        "textured_blobs_2": "sklstruct.datasets.blobs:load_second_level",
        "textured_blobs_3": "sklstruct.datasets.blobs:load_third_level",
    }
