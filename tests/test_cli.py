"""The command line, as it is typed and read."""

import argparse
import csv
import io
import pickle
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklstruct_rfnn.architecture import RFNN

from sklstruct import RFNNClassifier, cli, plugins
from sklstruct.cli.common import HELP
from sklstruct.estimators.persistence import load_model, save_model
from sklstruct.frames import GaussianDerivatives
from sklstruct.inspection import learned_scales
from sklstruct.io import load_dataset
from sklstruct.training.net import Net

TINY = ["--set", "max_epochs=1", "--set", "widths=4,"]
SVM_STUDY = ["study", "--dataset", "digits", "--sizes", "20,30", "--draws", "2"]
STUDY = [*SVM_STUDY, *TINY]
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Run every test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def fitted(digits):
    X, y = digits.X[:200], digits.y[:200]
    return RFNNClassifier(widths=(8,), max_epochs=8, random_state=0).fit(X, y)


@pytest.fixture
def model(fitted):
    """Return a fitted estimator, which is in the file ``model.skl`` too."""
    save_model(fitted, "model.skl")
    return fitted


def table_of(text):
    """Return the rows of aligned columns as lists of cells."""
    return [re.split(r"\s{2,}", line) for line in text.strip().splitlines()]


def files():
    return sorted(path.name for path in Path().rglob("*"))


# study --------------------------------------------------------------------------------------


@pytest.fixture
def blank(monkeypatch):
    """Let reports be blank pages, which take no time, where it does not matter what they say."""

    def write_report(results, folder, baseline=None):
        Path(folder, "report.html").touch()
        return Path(folder, "report.html")

    monkeypatch.setattr("sklstruct.inspection.report.write_report", write_report)


def test_a_study_leaves_a_table_a_report_and_what_runs_it_again(succeed):
    specs = "rfnn,twin=rfnn:frame=pixel:frame__size=3,svm"
    out = succeed(*STUDY, "--estimators", specs, "--out", "results")
    results = pd.read_csv("results/results.csv")
    cells = results[["estimator", "size", "draw"]].itertuples(index=False, name=None)
    labels = ["rfnn", "twin", "svm"]
    assert list(cells) == [(e, s, d) for e in labels for s in (20, 30) for d in (0, 1)]
    mean, std = 100 * results["accuracy"][-2:].mean(), 100 * results["accuracy"][-2:].std()
    assert f"{mean:.1f} ± {std:.1f}" in out
    assert "results/results.csv" in out
    page = Path("results/report.html").read_text()
    assert succeed("study", "--config", "results/study.toml") == out
    for again in ("show study", "report"):
        Path("results/report.html").unlink()
        Path("results/results.csv").unlink()
        assert succeed(*again.split(), "results") == out
        assert Path("results/report.html").read_text() == page
        assert pd.read_csv("results/results.csv").equals(results)
    assert "\\toprule" in succeed("report", "results", "--format", "latex")
    assert "| svm |" in succeed("report", "results", "--format", "markdown")


def test_a_study_goes_on_where_it_stopped_and_repeats_nothing(run, succeed, monkeypatch, blank):
    command = [*STUDY, "--estimators", "svm,rfnn", "--out", "results"]
    with monkeypatch.context() as patch:
        patch.setattr(RFNNClassifier, "fit", interrupt)
        status, _, err = run(*command)
    assert status == 130
    assert err.splitlines()[-1] == "sklstruct: interrupted; the same command goes on from here"
    done = pd.read_csv("results/results.csv")
    assert set(done["estimator"]) == {"svm"}
    out = succeed("study", "--config", "results")
    results = pd.read_csv("results/results.csv")
    assert len(results) == 8
    seconds = results.set_index(["estimator", "size", "draw"])["fit_seconds"]
    before = done.set_index(["estimator", "size", "draw"])["fit_seconds"]
    assert (seconds[before.index] == before).all(), "what was done has been done again"
    monkeypatch.setattr(RFNNClassifier, "fit", interrupt)
    assert succeed(*command) == out


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_runs_on_one_folder_add_up_to_one_study(run, succeed, monkeypatch, blank, digits, tmp_path):
    np.savez("own.npz", X=digits.X[:200], y=digits.y[:200])
    command = ["study", "--data", "own.npz", "--out", "results", "--budget", "6"]
    succeed(*command, "--estimators", "svm,soft=svm:C=0.1", "--sizes", "20", "--draws", "2",
            "--search", "soft:gamma=[0.1,'scale']")  # fmt: skip
    succeed(*command, "--estimators", "svm:C=2", "--set", "gamma=0.5", "--sizes", "30",
            "--draws", "1")  # fmt: skip
    written = Path("results/study.toml").read_text()
    assert tomllib.loads(written) == {
        "data": str(tmp_path / "own.npz"),
        "sizes": [20, 30],
        "draws": 2,
        "seed": 0,
        "budget": 6,
        "estimators": {"svm": "svm", "soft": "svm:C=0.1", "svm:C=2": "svm:gamma=0.5:C=2"},
        "search": {"soft": {"gamma": [0.1, "'scale'"]}},
    }
    assert len(pd.read_csv("results/results.csv")) == 5
    status, _, err = run(*command, "--estimators", "wrong=svm", "--sizes", "20", "--seed", "1")
    assert (status, Path("results/study.toml").read_text()) == (1, written)
    assert re.search("results holds another study: .*random_state was 0 and is 1", err)
    monkeypatch.chdir("results")
    succeed("study", "--config", "study.toml")
    table = pd.read_csv("results.csv")
    assert len(table) == 12
    assert table.groupby(["estimator", "size"]).size().to_list() == [2] * 6
    assert Path("study.toml").read_text() == written


def test_a_folder_remembers_its_baseline(run, succeed):
    study = ["study", "--data", "digits", "--folds", "2", "--out", "results"]
    search = ["--search", "svm:C=[1,10]", "--budget", "6"]
    out = succeed(*study, "--estimators", "svm,soft=svm:C=0.1", "--baseline", "soft", *search)
    assert "from soft, and p" in out
    page = Path("results/report.html").read_text()
    assert "Differences from soft" in page
    assert "the study or the call names it" in page
    for again in (["report", "results"], ["study", "--config", "results"]):
        assert succeed(*again) == out
        assert Path("results/report.html").read_text() == page
    # Another estimator comes to it, whatever the file says of those that are there.
    out = succeed("study", "--config", "results", "--estimators", "svm:C=5")
    assert "from soft, and p" in out
    assert tomllib.loads(Path("results/study.toml").read_text())["baseline"] == "soft"
    # Any other one is compared with where it is asked for, and never in silence.
    out = succeed("report", "results", "--baseline", "svm")
    assert "from svm, and p" in out
    said = "The study names soft as its baseline, and not svm."
    assert said in out
    assert said in Path("results/report.html").read_text()
    status, _, err = run(*study, "--estimators", "svm,soft=svm:C=0.1", "--baseline", "svm", *search)
    assert status == 1
    assert re.search("results holds another study, whose baseline was soft and is svm", err)


def test_a_file_has_what_can_be_typed_and_what_is_typed_comes_first(succeed, run, blank, digits):
    Path("here").mkdir()
    np.savez("here/own.npz", X=digits.X[:90], y=digits.y[:90])
    Path("here/mine.toml").write_text(
        """
        data = "own.npz"
        estimators = ["svm", "net=rfnn:widths=(4,)"]
        sizes = [20, 30]
        draws = 2
        test-size = 0.4
        leave_out_damaged = false
        out = "found"
        [set]
        max_epochs = 1
        frame = "pixel"
        [search.svm]
        C = [1, 10]
        """
    )
    succeed("study", "--config", "here/mine.toml", "--sizes", "20", "--set", "max_epochs=2")
    table = pd.read_csv("here/found/results.csv")
    assert table["size"].to_list() == [20] * 4
    assert set(table["n_test"]) == {36}
    asked = tomllib.loads(Path("here/found/study.toml").read_text())
    assert asked["estimators"]["net"] == "rfnn:max_epochs=2:frame='pixel':widths=(4,)"
    assert asked["search"] == {"svm": {"C": [1, 10]}}


@pytest.mark.parametrize(
    "options, keys, n_test",
    [
        ("--sizes 20,30 --draws 1", ["size", "draw"], 40),
        ("", ["run"], 40),
        ("--runs 2", ["run"], 40),
        ("--folds 3 --repeats 2", ["repeat", "fold"], 50),
        ("--repeats 2 --test-size 0.1", ["repeat"], 20),
        ("--leave-site-out", ["repeat"], 75),
        ("--leave-site-out --sites place --repeats 1", ["repeat"], 50),
    ],
)
def test_options_make_the_design(options, keys, n_test, succeed, blank, digits):
    X, y = digits.X, digits.y
    np.savez("own.npz", X_train=X[:150], y_train=y[:150], X_test=X[150:190], y_test=y[150:190],
             sites=np.arange(150) % 2, place=np.arange(150) % 3)  # fmt: skip
    succeed("study", "--data", "own.npz", "--estimators", "svm", *options.split(), "--out", "r")
    table = pd.read_csv("r/results.csv")
    assert list(table)[1 : 1 + len(keys)] == keys
    assert set(table["n_test"]) == {n_test}


def test_medmnist_regressors_and_groups_are_studied(succeed, blank, digits):
    X, y = np.uint8(255 * digits.X), digits.y[:, np.newaxis]
    np.savez("toymnist.npz", train_images=X[:60], train_labels=y[:60], val_images=X[60:80],
             val_labels=y[60:80], test_images=X[80:99], test_labels=y[80:99])  # fmt: skip
    study = ["study", "--estimators", "svm", "--out"]
    succeed(*study, "all", "--data", "toymnist.npz")
    succeed(*study, "less", "--data", "toymnist.npz", "--no-validation")
    found = {name: pd.read_csv(f"{name}/results.csv")["n_train"][0] for name in ("all", "less")}
    assert found == {"all": 80, "less": 60}
    np.savez("own.npz", X=X[:60], y=y[:60, 0], ink=X[:60].mean((1, 2)), hand=np.arange(60) // 2)
    succeed("study", "--data", "own.npz", "--target", "ink", "--groups", "hand", "--folds", "3",
            "--estimators", "rfnn_regressor", *TINY, "--out", "values")  # fmt: skip
    table = pd.read_csv("values/results.csv")
    assert set(table["n_test_subjects"]) == {10}
    assert table["r2"].notna().all()


def test_studies_are_compared(run, succeed, blank):
    for folder, seed in (("one", "0"), ("other", "1")):
        succeed(*SVM_STUDY, "--estimators", "svm,soft=svm:C=0.1", "--seed", seed, "--out", folder)
    said = succeed("compare", "one", "other", "--out", "both")
    assert {"svm", "soft", "one", "other"} <= {*said.split()}
    assert Path("both/comparison.html").exists()
    status, _, err = run("compare", "one", "nothing")
    assert (status, err) == (1, "sklstruct: error: nothing holds no study.\n")


def test_what_is_damaged_or_of_old_is_named_and_left_as_it_is(run, succeed, blank):
    command = [*SVM_STUDY, "--estimators", "svm", "--out", "results"]
    succeed(*command)
    cell = min(Path("results/cells").iterdir())
    cell.write_bytes(cell.read_bytes()[:-5])
    for again in (command, ["report", "results"]):
        status, _, err = run(*again)
        assert (status, f"{cell} is damaged" in err.splitlines()[-1]) == (1, True)
    Path("old").mkdir()
    Path("old/fits.csv").write_text("estimator,repeat\n")
    for again in ([*command, "--out", "old"], ["report", "old"]):
        status, _, err = run(*again)
        assert (status, "old/fits.csv is there, of no study" in err.splitlines()[-1]) == (1, True)
    assert [path.name for path in Path("old").iterdir()] == ["fits.csv"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("dta = 'digits'", "there is no option 'dta'. Did you mean 'data'"),
        ("draws = 'five'", "draws: must be an integer from 1, got 'five'"),
        ("draws = [5]", r"draws: must be a number or text, got \[5\]"),
        ("sizes = true", "sizes: must be a number or text, got True"),
        ("estimators = 5", "estimators: must be text, a list of texts, or a table"),
        ("crop = 1", "crop: must be true or false, got 1"),
        ("set = 1", "set: must be a table, got 1"),
        ("[search.svm]\nC = 1", "search: svm: must be a table of lists"),
        ("data = 1", "data: must be text, got 1"),
        ("scaling = 'best'", "scaling: must be one of zscore, percentile, none, got 'best'"),
        ("data = 1 2", r"is not a sound TOML file: .*line 1"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_it(text, message, run):
    Path("study.toml").write_text(text)
    status, out, err = run("study", "--config", "study.toml")
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert re.search(f"error: study.toml:? {message}", err)
    assert files() == ["study.toml"]


# fit, predict, score ------------------------------------------------------------------------


def test_a_model_goes_through_its_file_bit_by_bit(succeed, digits):
    out = succeed(
        *("fit", "--estimator", "rfnn:frame=pixel", "--dataset", "digits", "--size", "50", *TINY),
        *("--seed", "3", "--out", "model.skl"),
    )
    assert "50 samples of digits, 8x8, read as HW" in out
    model = load_model("model.skl")
    assert (model.frame, model.random_state) == ("pixel", 3)
    out = succeed("predict", "--model", "model.skl", "--data", "digits", "--proba")
    table = pd.read_csv(io.StringIO(out))
    np.testing.assert_array_equal(table["sample"], np.arange(len(digits.y)))
    np.testing.assert_array_equal(table["prediction"], model.predict(digits.X))
    columns = [f"p_{digit}" for digit in range(10)]
    np.testing.assert_array_equal(
        table[columns].to_numpy(np.float32), model.predict_proba(digits.X)
    )
    succeed("predict", "--model", "model.skl", "--data", "digits", "--proba", "--out", "out.csv")
    assert Path("out.csv").read_text() == out


def test_the_training_samples_are_those_of_the_first_draw_of_a_study(succeed, blank):
    succeed("study", "--dataset", "digits", "--sizes", "30", "--draws", "1",
            "--estimators", "svm", "--seed", "5", "--out", "results")  # fmt: skip
    succeed("fit", "--estimator", "svm", "--dataset", "digits", "--size", "30", "--seed", "5",
            "--allow-pickle", "--out", "model.pkl")  # fmt: skip
    expected = pd.read_csv("results/results.csv")["n_parameters"][0]
    assert joblib.load("model.pkl").n_parameters_ == expected


def test_the_score_is_that_of_the_part_that_is_asked_for(succeed, model, digits):
    X, y = digits.X, digits.y
    np.savez("own.npz", X=X[:50], y=y[:50], X_test=X[50:80], y_test=y[50:80])
    for part, samples in {"train": slice(50), "test": slice(50, 80), None: slice(50, 80)}.items():
        chosen = ["--part", part] if part else []
        rows = dict(
            table_of(succeed("score", "--model", "model.skl", "--data", "own.npz", *chosen))
        )
        assert rows["accuracy"] == f"{model.score(X[samples], y[samples]):.4f}"
        assert rows["data"] == f"{len(y[samples])} {part or 'test'} samples of own.npz, 8x8"
        proba = model.predict_proba(X[samples])[np.arange(len(y[samples])), y[samples]]
        assert float(rows["log loss"]) == pytest.approx(-np.log(proba).mean(), rel=1e-3)


def test_samples_that_were_trained_on_are_counted(succeed, digits, monkeypatch):
    X, y = digits.X, digits.y
    np.savez("own.npz", X=X[100:150], y=y[100:150], X_test=X[140:200], y_test=y[140:200])
    fit = ["fit", "--data", "own.npz", "--estimator", "rfnn", *TINY, "--out", "model.skl"]
    score = ["score", "--model", "model.skl", "--data"]

    def said(*arguments):
        return dict(table_of(succeed(*score, *arguments)))["trained on"]

    succeed(*fit)
    assert said("own.npz") == "10 of these 60, so that this is no test"
    assert said("own.npz", "--part", "train") == "50 of these 50, so that this is no test"
    np.savez("new.npz", X=X[:30], y=y[:30])
    assert said("new.npz") == "0 of these 30"
    monkeypatch.setattr("sklstruct.cli.models.MOST", 20)  # the file is to stay small
    succeed(*fit)
    assert len(load_model("model.skl").trained_on_) == 20
    assert said("own.npz", "--part", "train").startswith("at least 20 of these 50")


def test_a_regressor_is_scored_as_such(succeed, digits):
    np.savez("own.npz", X=digits.X[:50], y=np.linspace(-1, 1, 50))
    succeed(*("fit", "--estimator", "rfnn_regressor", "--dataset", "own.npz", "--size", "30"),
            *TINY, "--out", "model.skl")  # fmt: skip
    out = succeed("score", "--model", "model.skl", "--data", "own.npz")
    assert "R²" in out
    assert "accuracy" not in out


def test_maps_are_learned_and_scored_place_by_place(run, succeed, digits):
    X, y = digits.X[:30], digits.X[:30] > 0.5
    np.savez("maps.npz", X=X[:20], y=y[:20], X_test=X[20:], y_test=y[20:])
    fit = ("fit", "--dataset", "maps.npz", *TINY[:2], "--out", "model.skl", "--estimator")
    succeed(*fit, "structured_map", "--size", "10")
    rows = dict(table_of(succeed("score", "--model", "model.skl", "--data", "maps.npz")))
    model = load_model("model.skl")
    assert rows["accuracy"] == f"{model.score(X[20:], y[20:]):.4f}"
    said, true = model.predict(X[20:]), y[20:]
    assert rows["Dice"] == f"{2 * (said & true).sum() / (said.sum() + true.sum()):.4f}"
    succeed(*fit, "boundary_detector:strides=1", "--size", "10")
    rows = dict(table_of(succeed("score", "--model", "model.skl", "--data", "maps.npz")))
    assert rows["score"] == f"{load_model('model.skl').score(X[20:], y[20:]):.4f}"
    study = ("study", "--dataset", "maps.npz", "--sizes", "4", "--estimators", "svm", "--out", "r")
    for command, message in (
        ((*fit, "rfnn"), "y must have one label or value a sample .* got maps"),
        (("score", "--model", "model.skl", "--data", "digits"), "y must have a map a sample"),
        (("predict", "--model", "model.skl", "--data", "maps.npz"), "maps, which are no rows of a"),
        (study, "y must have one label or value a sample"),
    ):
        status, _, err = run(*command)
        assert status == 1
        assert re.search(message, err)


def test_samples_without_labels_are_predicted_by_name(succeed, model, digits):
    np.savez("own.npz", X=digits.X[:4])
    Path("images/a").mkdir(parents=True)
    Path("images/b").mkdir()
    for number, name in enumerate(["a/0.png", "a/1.png", "b/2.png"]):
        pixels = np.uint8(255 * digits.X[number])
        Image.fromarray(pixels).save(Path("images", name))
    expected = [str(label) for label in model.predict(digits.X[:4])]

    def predictions(data):
        out = succeed("predict", "--model", "model.skl", "--data", data)
        header, *rows = csv.reader(io.StringIO(out))
        assert header == ["sample", "prediction"]
        return dict(rows)

    assert predictions("own.npz") == dict(zip("0123", expected, strict=True))
    names = ["a/0.png", "a/1.png", "b/2.png"]  # on the scale of the arrays
    assert predictions("images") == dict(zip(names, expected, strict=False))
    assert list(predictions("images/a")) == ["0.png", "1.png"]
    assert list(predictions("images/b/2.png")) == ["2.png"]


def test_pickles_are_written_and_read_only_where_that_is_allowed(run, succeed):
    command = ["fit", "--estimator", "svm", "--dataset", "digits", "--size", "50", "--out", "m.pkl"]
    assert run(*command)[0] == 1
    assert files() == []
    succeed(*command, "--allow-pickle")
    score = ["score", "--model", "m.pkl", "--data", "digits"]
    status, _, err = run(*score)
    assert status == 1
    assert "m.pkl is not a sound model file" in err
    assert "accuracy" in succeed(*score, "--allow-pickle")
    assert "PixelSVC(random_state=0)" in succeed("show", "model", "m.pkl", "--allow-pickle")


@pytest.mark.parametrize("command", ["predict", "score", "show"])
def test_a_pickle_of_a_stranger_is_not_executed(command, run):
    Path("model.skl").write_bytes(pickle.dumps(Evil()))
    data = ["model", "model.skl"] if command == "show" else ["--model", "model.skl"]
    data += [] if command == "show" else ["--data", "digits"]
    status, _, err = run(command, *data)
    assert (status, "model.skl" in err, files()) == (1, True, ["model.skl"])


class Evil:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("touched"),)


# show and list ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    ["gaussian --order 2 --scales 1,2", "--order=2 --scales 1,2 gaussian"],
)
def test_a_frame_is_shown_with_its_numbers_and_its_picture(arguments, succeed):
    out = succeed("show", "frame", *arguments.split(), "--ndim", "2", "--out", "atoms.png")
    frame = GaussianDerivatives(order=2, scales=(1, 2)).build(2)
    heading, numbers, atoms, _ = out.split("\n\n")
    assert heading == "gaussian in 2D: order=2, scales=(1, 2), size=None, truncate=3.0"
    numbers = dict(table_of(numbers))
    assert (numbers["atoms"], numbers["support"], numbers["tight"]) == ("11", "13x13", "no")
    assert float(numbers["condition number"]) == pytest.approx(frame.condition_number, rel=1e-3)
    assert float(numbers["steering error, 30 degrees"]) < 1e-10
    header, *rows = table_of(atoms)
    assert header == ["ATOM", "ORDER", "SCALE", "NORM"]
    assert [row[0] for row in rows] == list(frame.labels)
    assert [int(row[1]) for row in rows] == list(frame.orders)
    assert Path("atoms.png").read_bytes().startswith(PNG)


def test_steering_of_a_frame_that_exists_on_the_grid_only(succeed):
    numbers = dict(table_of(succeed("show", "frame", "pixel", "--size", "3").split("\n\n")[1]))
    assert numbers["steering error, 45 degrees"] == "on the grid only"
    assert float(numbers["steering error, 90 degrees"]) < 1e-10


def test_an_architecture_is_shown_layer_by_layer(succeed):
    out = succeed("show", "architecture", "rfnn", "--shape", "3,16,16", "--outputs", "5",
                  "--set", "widths=4,6", "--set", "frame=pixel")  # fmt: skip
    network = RFNN(widths=(4, 6), frame="pixel").build((3, 16, 16), 5)
    total = sum(p.numel() for p in network.parameters())
    layers, summary = out.split("\n\n")
    _, *rows = table_of(layers)
    assert sum(int(row[-1]) for row in rows) == total
    assert summary.startswith(f"{total} parameters for inputs of 3x16x16")
    layer = "FrameConv of Frame('pixel', 49 atoms on 7x7)"
    assert rows[0] == ["stages.0.0", layer, "4x16x16", str(3 * 4 * 49)]
    assert rows[-1][1:3] == ["Linear", "5"]


@pytest.mark.parametrize("name", ["rfnn", "RFNNClassifier"])
def test_an_estimator_is_shown_with_its_defaults_and_what_they_stand_for(name, succeed):
    heading, table, title, described = succeed("show", "estimator", name).split("\n\n")
    assert heading.startswith("RFNNClassifier: Classifier with a receptive field network")
    _, *rows = table_of(table)
    params = RFNNClassifier().get_params(deep=False)
    assert {row[0]: row[1] for row in rows} == {n: repr(v) for n, v in params.items()}
    in_force = {row[0]: row[2] for row in rows if len(row) > 2}
    assert (in_force["widths"], in_force["lr"]) == ("(64, 64, 64)", "0.01")
    assert "frame" not in in_force
    assert title == "Parameters of RFNNClassifier:"
    assert "max_epochs : int, default=None\n    Passes over the training samples." in described
    _, *rows = table_of(succeed("show", "estimator", "nifti_volumes").split("\n\n")[1])
    assert ["percentiles", "(1.0, 99.0)"] in rows


def test_an_estimator_is_shown_with_parameters_and_those_of_its_architecture(succeed):
    _, table, *_ = succeed("show", "estimator", "rfnn:frame=pixel:early_stopping=True").split(
        "\n\n"
    )
    values = {row[0]: row[1:] for row in table_of(table)}
    assert values["frame"] == ["'pixel'"]
    assert values["schedule"] == ["None", "'constant'"]  # no cycle that would be cut off
    out = succeed("show", "estimator", "structured:architecture=rfnn:architecture__widths=(8,)")
    _, table, _, _, title, described = out.split("\n\n")
    values = {row[0]: row[1:] for row in table_of(table)}
    assert values["architecture__widths"] == ["(8,)"]
    assert values["architecture__padding"] == ["None", "'same'"]
    assert title == "Parameters of RFNN, as architecture__NAME:"
    assert "widths : sequence of int" in described


def test_a_model_is_shown_with_its_pictures(succeed, model):
    pictures = ["--kernels", "kernels.png", "--coefficients", "coefficients.png"]
    out = succeed("show", "model", "model.skl", *pictures)
    assert out.startswith("RFNNClassifier(max_epochs=8, random_state=0, widths=(8,))")
    assert ["n_parameters_", str(model.n_parameters_)] in table_of(out)
    for name in ("kernels.png", "coefficients.png"):
        assert Path(name).read_bytes().startswith(PNG)


def test_a_model_is_looked_into_on_one_page(run, model, digits):
    np.savez("few.npz", X=digits.X[200:260], y=digits.y[200:260])
    status, out, err = run("look", "model.skl", "--data", "few.npz", "--n-maps", "2")
    assert (status, out) == (0, "written to model-look.html\n")
    assert re.search(r"look: 100%.* 15/15 ", err)
    text = Path("model-look.html").read_text()
    assert f"accuracy {model.score(digits.X[200:260], digits.y[200:260]):.3f}" in text
    assert text.count('href="data:text/csv;base64,') >= 8
    assert not re.search(r"(src|href)=.(?!data:)", text)  # it stands alone


def test_learned_scales_are_shown(succeed, model, digits):
    assert "FIRST SCALE" not in succeed("show", "model", "model.skl")
    learning = RFNNClassifier(widths=(4, 4), max_epochs=1, random_state=0, learn_scale="channel")
    save_model(learning.fit(digits.X[:50], digits.y[:50]), "learning.skl")
    out = succeed("show", "model", "learning.skl", "--scales", "scales.png")
    assert Path("scales.png").read_bytes().startswith(PNG)
    header, *rows, _ = table_of(out[out.index("LAYER") :])
    assert header == ["LAYER", "FIRST SCALE", "LEARNED", "LOWEST", "HIGHEST"]
    by_layer = learned_scales(learning).groupby("layer").learned_scale
    expected = by_layer.agg(["mean", "min", "max"]).map("{:.4g}".format)
    assert rows == [[layer, "1", *numbers] for layer, *numbers in expected.itertuples()]


def test_the_list_has_everything_in_aligned_columns(succeed):
    out = succeed("list")
    header, *rows = table_of(out)
    assert header == ["KIND", "NAME", "TARGET", "DISTRIBUTION"]
    entries = [entry for kind in plugins.KINDS for entry in plugins.entries(kind).values()]
    assert [row[:2] for row in rows] == [[entry.kind, entry.name] for entry in entries]
    assert all(row[3].startswith("sklstruct ") for row in rows)
    starts = {line.index(cell) for line, (_, _, cell, _) in zip(out.splitlines(), table_of(out))}  # noqa: B905
    assert len(starts) == 1
    only = succeed("list", "frames")
    assert {row[0] for row in table_of(only)[1:]} == {"frame"}


@pytest.mark.parametrize("arguments", ["list", "--help", "study --help", "show frame --help"])
def test_listing_and_help_load_nothing_heavy(arguments):
    script = f"""
import sys
from sklstruct.cli import main
assert main({arguments.split()!r}) == 0
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(*loaded & {{"torch", "skorch", "sklearn", "scipy", "pandas", "matplotlib"}}, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_shells_get_commands_options_and_names(shell, succeed):
    script = succeed("completion", shell)
    for word in ("study", "--scaling", "markdown", "rfnn_regressor", "fashion_mnist"):
        assert word in script


def test_bash_completes_what_stands_behind_a_comma(succeed):
    Path("script").write_text(
        succeed("completion", "bash")
        + 'try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_sklstruct;'
        ' echo "${COMPREPLY[*]}"; }\n'
        "try sklstruct study --estimators svm,voxel_r\n"
        "try sklstruct predict --data fashion\n"
    )
    done = subprocess.run(["bash", "script"], capture_output=True, text=True)
    assert done.stdout.split() == ["svm,voxel_ridge", "fashion_mnist"]


def test_a_reader_who_has_seen_enough_is_no_error():
    script = "import sys; from sklstruct.cli import main; sys.exit(main(['list']))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 0)
    process.stderr.close()


# help ---------------------------------------------------------------------------------------


def leaves(parser):
    """Return the parsers of all commands by their names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [leaf for inside in action.choices.values() for leaf in leaves(inside)]
    return [parser]


@pytest.mark.parametrize("parser", leaves(cli.make_parser()), ids=lambda parser: parser.prog)
def test_the_help_of_every_command_ends_with_examples_that_can_be_typed(parser):
    *_, text = re.split(r"\nexamples?:\n", parser.format_help())
    examples = text.strip().replace("\\\n", "").splitlines()
    assert examples
    for example in map(shlex.split, examples):
        assert " ".join(example).startswith(parser.prog)
        assert cli.parse(example[1:]).run


def test_every_option_is_explained_and_every_explanation_is_of_an_option():
    unused = {("all", name) for name in HELP["all"]}
    for parser in leaves(cli.make_parser()):
        assert all(action.help for action in parser._actions), parser.prog
        command = parser.prog.removeprefix("sklstruct ")
        names = {name.lstrip("-") for a in parser._actions for name in a.option_strings or [a.dest]}
        assert set(HELP[command].get("options", {})) <= names, parser.prog
        unused -= {("all", name) for name in names - set(HELP[command].get("options", {}))}
    assert not unused


# errors -------------------------------------------------------------------------------------

BARE = "fit --dataset digits --size 20 --out model.out"
FIT = f"{BARE} {' '.join(TINY)}"
PREDICT = "predict --model model.skl --data"


@pytest.mark.parametrize(
    "command, message",
    [
        (f"{FIT} --estimator rfn", "Unknown estimator 'rfn'. Did you mean 'rfnn'?"),
        (f"{FIT} --estimator rfnn:lrr=1", "no parameter 'lrr' of RFNNClassifier. Did you mean"),
        (f"{FIT} --estimator rfnn --set dropot=0", "'dropot' .* Did you mean 'dropout'"),
        (f"{FIT} --estimator rfnn:frame__ordr=1", "Invalid parameter 'ordr' for GaussianDer"),
        (f"{FIT} --estimator rfnn --set lr=fast", "lr of RFNNClassifier must .* got 'fast'"),
        (f"{FIT} --estimator linear", "'linear' is .* write structured:architecture=linear"),
        (f"{FIT} --estimator frame_fcn", "write structured_map:architecture=frame_fcn"),
        (
            f"{FIT} --estimator linear:frame=pixel",
            "structured:architecture=linear, with .* as :architecture__frame=VALUE",
        ),
        (f"{BARE} --estimator structured:architecture=rfn", "Unknown architecture 'rfn'"),
        (
            f"{BARE} --estimator structured:architecture=rfnn:architecture__frame=pixl",
            "Unknown frame 'pixl'",
        ),
        (f"{FIT} --estimator rfnn:frame=pixl", "Unknown frame 'pixl'. Did you mean 'pixel'"),
        (f"{FIT} --estimator rfnn:widths=(0,)", r"must be .* at least 1.*, got \(?0"),
        (f"{FIT} --estimator rfnn:device=abacus", "device='abacus' cannot be used here"),
        (
            "fit --estimator frame_features --dataset digits --out m",
            "FrameTransformer predicts nothing",
        ),
        (
            "fit --estimator svm --dataset digits --out m.skl",
            "PixelSVC cannot be stored .* --allow-pickle",
        ),
        (f"{FIT} --estimator rfnn --dataset digts", "Unknown dataset 'digts'. Did you mean"),
        (f"{FIT} --estimator rfnn --dataset gtsrb", "SKLSTRUCT_DATA"),
        (f"{FIT} --estimator rfnn --dataset nothing.npz", "nothing.npz: No such file"),
        (f"{FIT} --estimator rfnn --dataset damaged.npz", "damaged.npz is not a sound"),
        (f"{FIT} --estimator rfnn --dataset objects.npz", "objects.npz is not a sound .* Object"),
        (f"{FIT} --estimator rfnn --dataset nan.npz", "nan.npz: X must be finite"),
        (f"{FIT} --estimator rfnn --size 5", "--size must be from 10, .* to 1797, got 5"),
        (f"{FIT} --estimator rfnn --size 5000", "to 1797, got 5000"),
        (f"{FIT} --estimator rfnn --out nowhere/model.out", "nowhere/model.out: Cannot write"),
        (f"{FIT} --estimator rfnn --out nan.npz/model.out", "nan.npz/model.out: Cannot write"),
        (f"{PREDICT} nothing.npz", "nothing.npz: No such file"),
        (f"{PREDICT} wide.npz", r"shape \(9, 9\), .* fitted with samples of shape \(8, 8\)"),
        (f"{PREDICT} digits --part test", "digits has no test samples"),
        (f"{PREDICT} digits --out nowhere/out.csv", "nowhere/out.csv: Cannot write"),
        ("predict --model damaged.skl --data digits", "damaged.skl is not a sound model file"),
        ("predict --model nothing.skl --data digits", "nothing.skl: No such file"),
        ("predict --model wide.npz --data digits", "wide.npz is not a sound model file"),
        ("score --model model.skl --data unknown.npz", r"labels \[10, 11\] .* the classes"),
        ("score --model model.skl --data wide.npz", "wide.npz must hold either the keys"),
        (f"{' '.join(STUDY)} --estimators rfnn,rfnn --out r", "Two estimators have .* 'rfnn'"),
        (f"{' '.join(STUDY)} --estimators rfnn,rfn --out r", "Unknown estimator 'rfn'"),
        (f"{' '.join(STUDY)} --estimators svm --out r", "no parameter '.*' of PixelSVC"),
        (f"{' '.join(STUDY)} --estimators rfnn --sizes 5 --out r", "sizes .* at least 10"),
        (f"{' '.join(STUDY)} --estimators rfnn --sizes 2000 --out r", "sizes .* got 2000"),
        (f"{' '.join(STUDY)} --estimators rfnn --out nan.npz", "nan.npz.*: Not a directory"),
        ("show frame gausian", "Unknown frame 'gausian'. Did you mean 'gaussian'"),
        ("show frame gaussian --ordr 3", "Invalid parameter 'ordr'"),
        ("show frame gaussian --size 4", "size must be odd, .* got 4"),
        ("show frame gaussian --order", "--order must be followed by a value"),
        ("show frame", r"One frame must be named, got \[\]"),
        ("show frame gaussian --out nowhere/a.png", "nowhere/a.png: Cannot write"),
        ("show architecture rfn", "Unknown architecture 'rfn'"),
        ("show architecture rfnn --set frame=pixl", "Unknown frame 'pixl'"),
        ("show estimator RFNClassifier", "Unknown estimator 'RFNClassifier'"),
        ("look damaged.skl --data digits --out l.html", "damaged.skl is not a sound model file"),
        ("look model.skl --data wide.npz --no-labels --out l.html", r"shape \(9, 9\)"),
        ("look model.skl --data digits --out nowhere/l.html", "nowhere/l.html: Cannot write"),
        ("show model damaged.skl", "damaged.skl is not a sound model file"),
        ("show study nowhere", "nowhere holds no study"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing_behind(command, message, run, model, digits):
    X, y = digits.X[:20], digits.y[:20]
    np.savez("objects.npz", X=X, y=np.array([{}] * len(X)))
    np.savez("nan.npz", X=X * np.nan, y=y)
    np.savez("wide.npz", X=np.zeros((3, 9, 9)))
    for sound, damaged in {"wide.npz": "damaged.npz", "model.skl": "damaged.skl"}.items():
        Path(damaged).write_bytes(Path(sound).read_bytes()[:-100])
    np.savez("unknown.npz", X=X, y=10 + y % 2)
    before = files()
    status, out, err = run(*command.split())
    assert (status, out) == (1, "")
    (line,) = err.splitlines()
    assert re.match(rf"sklstruct: error: .*{message}", line)
    assert files() == before


@pytest.mark.parametrize(
    "command, message",
    [
        ("", "arguments are required: COMMAND"),
        ("lst", "invalid choice: 'lst'"),
        ("list colours", "invalid choice: 'colour'"),
        ("list frame --nonsense", "unrecognized arguments: --nonsense"),
        ("show frame gaussian --ndim 4", "--ndim: invalid choice: 4"),
        ("show architecture rfnn --shape 28", "--shape: '28' must be channels and extents"),
        (f"{' '.join(STUDY)} --out r", "arguments are required: --estimators"),
        (f"{' '.join(STUDY)} --estimators rfnn --out r --sizes a", "--sizes: 'a' must be integers"),
        (f"{' '.join(STUDY)} --estimators rfnn --out r --draws 0", "--draws: .* from 1, got '0'"),
        (f"{' '.join(STUDY)} --estimators rfnn:lr --out r", "'lr' must read PARAM=VALUE"),
        (f"{' '.join(STUDY)} --estimators rfnn:( --out r", "without its other half"),
        (f"{' '.join(STUDY)} --estimators rfnn,,svm --out r", "'' is no estimator"),
        (f"{' '.join(STUDY)} --estimators rfnn --out r --test-size a", "'a' must be a number"),
        (f"{FIT} --estimator rfnn,svm", "'rfnn,svm' must be one estimator, got 2"),
    ],
)
def test_wrong_usage_is_explained(command, message, run):
    status, out, err = run(*command.split())
    assert (status, out) == (2, "")
    assert re.search(f"error: .*{message}", err.splitlines()[-1])
    assert files() == []


def test_an_unexpected_error_says_how_to_find_it_and_debug_shows_where(run, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(plugins, "entries", fail)
    status, _, err = run("list")
    message = "ZeroDivisionError: two lines (run with --debug to see where)"
    assert (status, err) == (1, f"sklstruct: error: {message}\n")
    with pytest.raises(ZeroDivisionError):
        cli.main(["list", "--debug"])


def test_an_interrupted_fit_leaves_no_model(run, monkeypatch):
    monkeypatch.setattr(RFNNClassifier, "fit", interrupt)
    status, _, err = run(*FIT.split(), "--estimator", "rfnn")
    assert (status, err, files()) == (130, "sklstruct: interrupted\n", [])


def test_an_interruption_in_the_midst_of_training_is_not_taken_for_its_end(run, monkeypatch):
    steps = iter([Net.train_step_single] * 2)

    def train_step_single(*args, **kwargs):
        return next(steps, interrupt)(*args, **kwargs)

    monkeypatch.setattr(Net, "train_step_single", train_step_single)
    command = [*FIT.split(), "--estimator", "rfnn", "--set", "max_epochs=9"]
    assert run(*command)[0] == 130
    assert files() == []


@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_line(run, monkeypatch):
    import warnings

    monkeypatch.setattr(plugins, "entries", lambda kind: warnings.warn(kind, stacklevel=1) or {})
    assert run("list", "frame")[2] == "sklstruct: warning: frame\n"
