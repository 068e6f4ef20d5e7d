"""Fixed frame responses: the formula, their names, and frames that one process alone knows."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import correlate
from sklearn.base import clone

from sklstruct import FrameTransformer, plugins
from sklstruct.frames import GaussianDerivatives


@pytest.mark.parametrize("shape", [(20,), (9, 12), (3, 9, 12), (5, 6, 7)])
def test_features_are_means_of_responses_and_say_which(shape):
    X = np.random.default_rng(0).normal(size=(2, *shape))
    transformer = FrameTransformer(pool=2, dtype="float64", nonlinearity="square")
    table = transformer.set_output(transform="pandas").fit_transform(X)
    samples = X if len(shape) == 3 and shape[0] == 3 else X[:, np.newaxis]
    frame = transformer.frame_
    first = (0,) * frame.ndim
    for channel in range(samples.shape[1]):
        for atom, label in zip(frame.atoms, frame.labels, strict=True):
            response = correlate(samples[1, channel], atom, mode="constant") ** 2
            cell = response[tuple(slice(-(-extent // 2)) for extent in response.shape)]
            name = f"c{channel} {label} ({','.join(map(str, first))})"
            assert table.loc[1, name] == pytest.approx(cell.mean(), rel=1e-6)  # atoms are single


def test_parameters_of_a_frame_can_be_set_where_its_name_stands():
    X = np.random.default_rng(0).normal(size=(2, 8, 8))
    transformer = FrameTransformer()
    changed = clone(transformer).set_params(frame__order=1).fit(X)
    assert transformer.frame == "gaussian"
    assert changed.transform(X).shape == (2, 3 * 16)
    for params, message in [
        ({"frame": "gauss"}, "Did you mean 'gaussian'"),
        ({"nonlinearity": "cube"}, "nonlinearity of FrameTransformer must be one of"),
        ({"pool": 0}, "pool of FrameTransformer must be an integer of at least 1 or None, got 0"),
        ({"n_threads": 0}, "n_threads of FrameTransformer"),
    ]:
        with pytest.raises(ValueError, match=message):
            FrameTransformer(**params).fit(X)


def test_a_frame_that_only_this_process_knows_travels_along(tmp_path):
    X = np.random.default_rng(0).normal(size=(2, 8, 8))
    plugins.register("frame", "ours", GaussianDerivatives)
    try:
        model = FrameTransformer(frame="ours").fit(X)
        (tmp_path / "model.pkl").write_bytes(pickle.dumps(clone(model)))
    finally:
        plugins.unregister("frame", "ours")
    np.save(tmp_path / "X.npy", X)
    code = (
        "import numpy as np, pickle, sys; folder = sys.argv[1]; X = np.load(folder + '/X.npy'); "
        "model = pickle.load(open(folder + '/model.pkl', 'rb')); "
        "np.save(folder + '/out.npy', model.fit_transform(X))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), model.transform(X))
