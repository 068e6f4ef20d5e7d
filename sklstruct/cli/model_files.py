"""Models in files, those that are safe to share and those that are pickles."""

from __future__ import annotations

import argparse
import zipfile
from typing import Any

from .common import Add, aligned, check_writable
from .specs import make_estimators


def add_model(add: Add) -> None:
    """Add the options that say what predicts."""
    add("--model", required=True, metavar="FILE")
    add("--allow-pickle", action="store_true")


def make_model(args: argparse.Namespace) -> Any:
    """Return the estimator of the arguments, with its seed."""
    (estimator,) = make_estimators([args.estimator], dict(args.set)).values()
    from ..studies.fitting import seeded

    if args.verbose and "verbose" in estimator.get_params():
        estimator.set_params(verbose=1)
    return seeded(estimator, args.seed)  # steps of pipelines too


def check_kept(estimator: Any, path: str, allow_pickle: bool) -> None:
    """Raise before a long fit if there would be nothing to keep of it."""
    from ..estimators.volumes import last_step

    if not hasattr(estimator, "predict"):
        name = type(last_step(estimator)).__name__
        raise TypeError(f"{name} predicts nothing, so there is no model to keep.")
    is_storable(estimator, allow_pickle)
    check_writable(path)


def is_storable(estimator: Any, allow_pickle: bool) -> bool:
    """Whether a model file can hold an estimator; raise ValueError if only a pickle could."""
    from ..estimators.encoding import Parts, encode

    try:
        encode(estimator, Parts(), "model")
    except ValueError as error:
        if not allow_pickle:
            raise ValueError(
                f"{error}  A pickle can hold it, which is not safe to share: allow that with "
                "--allow-pickle."
            ) from error
        return False
    return True


def read_model(path: str, allow_pickle: bool) -> Any:
    """Return the estimator in a model file or, if that is allowed, in a pickle."""
    # By content, not by suffix: what is safe must not depend on a name that a stranger chose.
    from ..io.reading import open_file

    with open_file(path) as stream:
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


def read_fitted(args: argparse.Namespace) -> Any:
    """Return the model of the arguments, or raise a ValueError if it takes other samples."""
    from ..estimators.volumes import takes_paths

    model = read_model(args.model, args.allow_pickle)
    if takes_paths(model) and args.cohort is None:
        raise ValueError(f"{args.model} holds a model of scans: give it --cohort, not --data.")
    # A model of arrays would take paths for samples, and say something of them.
    if not takes_paths(model) and args.cohort is not None:
        name = type(model).__name__
        raise ValueError(f"{args.model} holds a {name} of arrays: give it --data, not --cohort.")
    return model


def keep(model: Any, args: argparse.Namespace, samples: str) -> None:
    """Write a fitted model to the file of the arguments, and print what it has learned from."""
    import joblib

    from ..estimators.persistence import save_model
    from ..estimators.volumes import last_step
    from ..io import atomic_write

    if is_storable(model, args.allow_pickle):
        save_model(model, args.out)
    else:
        with atomic_write(args.out, "wb") as stream:
            joblib.dump(model, stream)
    step = last_step(model)
    numbers = {
        "samples": samples,
        "parameters": getattr(step, "n_parameters_", None),
        "training loss": (getattr(step, "loss_curve_", None) or [None])[-1],
        "written to": args.out,
    }
    print(aligned([item for item in numbers.items() if item[1] is not None]))
