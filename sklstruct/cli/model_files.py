"""Models in files, those that are safe to share and those that are pickles."""

from __future__ import annotations

import argparse
import zipfile
from typing import Any

from .common import aligned, check_writable
from .specs import make_estimators

UNSAFE = "also {} estimators that are no networks, by pickle: {}"


def add_allow_pickle(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add the option without which nothing is ever unpickled."""
    parser.add_argument("--allow-pickle", action="store_true", help=purpose)


def make_model(args: argparse.Namespace) -> Any:
    """Return the estimator of the arguments, with its seed."""
    (estimator,) = make_estimators([args.estimator], dict(args.set)).values()
    from ..studies.fitting import seeded

    if args.verbose and "verbose" in estimator.get_params():
        estimator.set_params(verbose=1)
    return seeded(estimator, args.seed)


def check_kept(estimator: Any, path: str, allow_pickle: bool) -> None:
    """Raise before a long fit if there would be nothing to keep of it."""
    from ..estimators.volumes import last_step

    name = type(last_step(estimator)).__name__
    if not hasattr(estimator, "predict"):
        raise TypeError(f"{name} predicts nothing, so there is no model to keep.")
    if is_network(estimator):
        from ..estimators.persistence import describe

        describe(estimator, [])
    elif not allow_pickle:
        raise TypeError(
            f"{name} is no network, and can be kept as a pickle only, which is not safe to share: "
            "allow that with --allow-pickle."
        )
    check_writable(path)


def is_network(estimator: Any) -> bool:
    """Whether an estimator can be kept in a model file that is safe to share."""
    from ..estimators.base import NetworkEstimator
    from ..estimators.volumes import last_step

    return isinstance(last_step(estimator), NetworkEstimator)


def write_model(estimator: Any, path: str) -> None:
    """Write a network to a model file, and anything else as a pickle."""
    if is_network(estimator):
        from ..estimators.persistence import save_model

        save_model(estimator, path)
        return
    import joblib

    from ..io import atomic_write

    with atomic_write(path, "wb") as stream:
        joblib.dump(estimator, stream)


def read_model(path: str, allow_pickle: bool) -> Any:
    """Return the estimator in a model file or, if that is allowed, in a pickle."""
    with open(path, "rb") as stream:
        safe = zipfile.is_zipfile(stream)
    if safe:
        from ..estimators.persistence import load_model

        return load_model(path)
    if not allow_pickle:
        raise ValueError(f"{path} is no sound model file (a pickle needs --allow-pickle).")
    import joblib

    try:
        return joblib.load(path)
    except Exception as error:  # a damaged pickle fails in any way
        raise ValueError(f"{path} is not a sound pickle of a model: {error}") from error


def keep(model: Any, path: str, samples: str) -> None:
    """Write a fitted model to a file, and print what it has learned from."""
    from ..estimators.volumes import last_step

    write_model(model, path)
    step = last_step(model)
    numbers = {
        "samples": samples,
        "parameters": getattr(step, "n_parameters_", None),
        "training loss": (getattr(step, "loss_curve_", None) or [None])[-1],
        "written to": path,
    }
    print(aligned([item for item in numbers.items() if item[1] is not None]))
