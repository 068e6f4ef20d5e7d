"""Nine fitted estimators of as many kinds, small, for what has to work with any of them."""

import sys
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklstruct

EXAMPLE = Path(__file__).parents[1] / "examples" / "sklstruct-example"
FAST = {"max_epochs": 2, "random_state": 0, "device": "cpu"}


def digits(n_classes=3, n_samples=40):
    """Return images of digits and their labels, as few of each."""
    X, y = load_digits(n_class=n_classes, return_X_y=True)
    return X.reshape(-1, 8, 8)[:n_samples].astype(np.float32), y[:n_samples]


def coloured(n_samples=24):
    """Return noise in three channels, of two classes that differ in one of them."""
    rng = np.random.default_rng(0)
    y = np.arange(n_samples) % 2
    X = rng.normal(size=(n_samples, 3, 16, 16)).astype(np.float32)
    X[:, 0, 4:9, 5:10] += 2 * y[:, np.newaxis, np.newaxis]
    return X, y


def volumes(n_samples=12):
    """Return volumes of noise of two classes that differ in a ball."""
    rng = np.random.default_rng(0)
    y = np.arange(n_samples) % 2
    X = rng.normal(size=(n_samples, 13, 12, 11)).astype(np.float32)
    X[:, 5:9, 4:8, 3:7] += 2 * y[:, np.newaxis, np.newaxis, np.newaxis]
    return X, y


def example_plugin():
    """Return the classifier of the plugin among the examples, as if it were installed."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        from sklstruct_example.dct import DiscreteCosines
        from sklstruct_example.tiny import TinyClassifier
    finally:
        sys.path.remove(str(EXAMPLE))
    return TinyClassifier(frame=DiscreteCosines(), width=6, **FAST), *digits()


MAKERS = {
    "rfnn": lambda: (sklstruct.RFNNClassifier(widths=(6, 6), **FAST), *digits()),
    "rfnin_3d": lambda: (sklstruct.RFNiNClassifier(widths=(4, 4), **FAST), *volumes()),
    "scattering_net": lambda: (sklstruct.ScatteringNetClassifier(J=1, width=8, **FAST), *digits()),
    "resnet_20": lambda: (
        sklstruct.FrameResNetClassifier(preset="resnet-20", **FAST),
        *coloured(),
    ),
    "irevnet": lambda: (sklstruct.IRevNetClassifier(**FAST), *digits()),
    "steerable": lambda: (sklstruct.SteerableResNetClassifier(**FAST), *digits()),
    "hierarchical": lambda: (sklstruct.HierarchicalCNNClassifier(**FAST), *digits()),
    "pipeline": lambda: (
        make_pipeline(
            StandardScaler(), sklstruct.RFNNClassifier(image_shape=(8, 8), widths=(4, 4), **FAST)
        ),
        digits()[0].reshape(-1, 64),
        digits()[1],
    ),
    "example_plugin": example_plugin,
}


@cache
def fitted(name):
    """Return a fitted estimator, and the samples and labels that it was fitted to."""
    estimator, X, y = MAKERS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant pixels, and the like
        return estimator.fit(X, y), X, y
