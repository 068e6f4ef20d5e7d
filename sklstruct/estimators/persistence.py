"""Model files that are safe to read, whoever wrote them.

A model file is a zip archive of ``model.json`` and of plain NumPy arrays.  Nothing in it is
pickled, and reading it runs no code of its own: it can only name estimators, frames and
architectures that are installed, and give them parameters and weights.

It holds any registered estimator, also one that holds others, and pipelines of them.  What they
have fitted is enough to predict anywhere: no file that a parameter names is opened again, and no
folder to write to is kept.
"""

from __future__ import annotations

import json
import os
import zipfile
from typing import Any

import joblib
import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..io.atomic import atomic_write
from ..io.reading import open_file, open_zip
from .encoding import DATA, Arrays, Parts, decode, encode
from .volumes import steps_of

FORMAT = "sklstruct model"
VERSION = 2
HEADER = "model.json"
MOST_JSON = 2**24  # bytes, which may become twenty times as many in memory


def save_model(estimator: Any, path: str | os.PathLike[str], *, allow_pickle: bool = False) -> None:
    """Write a fitted estimator to a file that is safe to share.

    The state of the optimiser is not kept: training that goes on from a loaded model starts
    with a fresh one.  Neither are folders for caches.

    Parameters
    ----------
    estimator : estimator or Pipeline
        Fitted, and of a registered class; so must be all steps of a pipeline, and all estimators
        among parameters and attributes.
    path : str or path-like
        Conventionally with the suffix ``.skl``.
    allow_pickle : bool, default=False
        Whether to write a pickle where a model file cannot hold the estimator; nobody should load
        such a file of a stranger.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If its class is not registered, or a parameter or an attribute cannot be stored.
    OSError
        If the file cannot be written; an earlier one is then left as it was.

    See Also
    --------
    load_model : The way back.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringSVC
    >>> from sklstruct.estimators import load_model, save_model
    >>> digits = load_digits()
    >>> model = ScatteringSVC(random_state=0).fit(digits.images[:100], digits.target[:100])
    >>> save_model(model, "model.skl")
    >>> load_model("model.skl").score(digits.images[100:200], digits.target[100:200]) > 0.8
    True
    """
    for step in steps_of(estimator):  # a pipeline looks at its last step only
        check_is_fitted(step)
    if not is_storable(estimator, allow_pickle):
        with atomic_write(path, "wb") as stream:
            joblib.dump(estimator, stream)
        return
    parts = Parts()
    model = encode(estimator, parts, "model")
    header = {"format": FORMAT, "version": VERSION, "needs": parts.needs, "model": model}
    text = json.dumps(header)
    if len(text) > MOST_JSON:  # or nobody could load it
        raise ValueError(f"A model may have {MOST_JSON} bytes beside its arrays, got {len(text)}.")
    with atomic_write(path, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(HEADER, text)
        for number, array in enumerate(parts.arrays):
            # Stored, not compressed: weights are noise to a compressor.
            with archive.open(f"{number}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def is_storable(estimator: Any, allow_pickle: bool = False) -> bool:
    """Whether a model file can hold an estimator, fitted or not.

    Raises
    ------
    ValueError
        If it cannot, and a pickle is not allowed either.
    """
    try:
        encode(estimator, Parts(), "model")
    except ValueError as error:
        if not allow_pickle:
            raise ValueError(
                f"{error}  A pickle can hold it, which is not safe to share: allow that with "
                "allow_pickle, on the command line --allow-pickle."
            ) from error
        return False
    return True


def load_model(path: str | os.PathLike[str], *, allow_pickle: bool = False) -> Any:
    """Return the estimator in a model file, on the CPU and ready to predict.

    Parameters
    ----------
    path : str or path-like
    allow_pickle : bool, default=False
        Whether to load a pickle too.  Loading one runs what its author wanted: take none of a
        stranger.

    Returns
    -------
    estimator : estimator or Pipeline
        Its predictions on a CPU are those of the estimator that was saved, bit by bit.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no model file or a damaged one, has another format, or needs a plugin that is
        not installed; the message names the file.

    See Also
    --------
    save_model : The way there.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.estimators import load_model, save_model
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> save_model(model, "model.skl")
    >>> np.array_equal(load_model("model.skl").predict_proba(X), model.predict_proba(X))
    True
    """
    with open_file(path) as stream:
        # By content, not by suffix: what is safe must not depend on a name that a stranger chose.
        if not zipfile.is_zipfile(stream):
            return load_pickle(path, allow_pickle)
        try:
            archive = open_zip(stream)
            for member in archive.infolist():  # or a small file could fill the memory
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"its part {member.filename} must be stored, not compressed")
            if (size := archive.getinfo(HEADER).file_size) > MOST_JSON:
                raise ValueError(f"{HEADER} must have at most {MOST_JSON} bytes, got {size}")
            header = json.loads(archive.read(HEADER))
            version = header["version"] if header["format"] == FORMAT else None
            needs = ", ".join(f"{name} of {dist}" for name, dist in header.get("needs", {}).items())
        except Exception as error:  # archives are damaged in many ways
            raise ValueError(f"{path} is not a sound model file: {error}") from error
        # Older ones too: what their values meant is not guessed.
        if version != VERSION:
            raise ValueError(
                f"{path} must be a model file of format {VERSION} to be read by this version of "
                f"sklstruct, got format {version!r}."
            )
        try:
            model = decode(header["model"], Arrays(archive), DATA)
            for step in steps_of(model):
                check_is_fitted(step)
        except Exception as error:  # whatever a file says that nobody has saved
            raise ValueError(
                f"{path} holds a model ({needs}) that is damaged or cannot be built here: {error}"
            ) from error
    return model


def load_pickle(path: str | os.PathLike[str], allow_pickle: bool) -> Any:
    """Return the estimator in a pickle, or raise a ValueError if that is not allowed."""
    if not allow_pickle:
        raise ValueError(
            f"{path} is not a sound model file: it is not a zip file (a pickle needs allow_pickle, "
            "or --allow-pickle)."
        )
    try:
        return joblib.load(path)
    except Exception as error:  # a damaged pickle fails in any way
        raise ValueError(f"{path} is not a sound pickle of a model: {error}") from error
