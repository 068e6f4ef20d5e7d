"""The command line on cohorts of scans, as it is typed and read."""

import csv
import io
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from sklstruct import PixelSVC, RFNNClassifier
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators.persistence import load_model, save_model
from sklstruct.estimators.volumes import on_paths
from sklstruct.io import Cohort

N_SCANS = 8
NETWORK = "rfnn:frame=pixel:frame__size=3:widths=(4,)"
TINY = ["--set", "max_epochs=1"]
STUDY = ["study", "--data", "study", "--target", "diagnosis", "--repeats", "2"]
FIT = ["fit", "--cohort", "study", "--estimator", NETWORK, *TINY, "--out", "model.skl"]
PREDICT = ["predict", "--model", "model.skl", "--cohort"]


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "study"
    simulate_cohort(folder, n_subjects=N_SCANS, shape=(8, 10, 9), spacing=20.0, random_state=0)
    return folder


@pytest.fixture(autouse=True)
def folder(simulated, tmp_path, monkeypatch):
    """Run every test in a folder of its own with a cohort in ``study``."""
    shutil.copytree(simulated, tmp_path / "study")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def blank(monkeypatch):
    """Let reports be blank pages, which take no time, where it does not matter what they say."""

    def write_report(results, folder, baseline=None):
        Path(folder, "report.html").touch()
        return Path(folder, "report.html")

    monkeypatch.setattr("sklstruct.inspection.report.write_report", write_report)


@pytest.fixture
def model(succeed):
    """Return the fitted pipeline that is in the file ``model.skl``."""
    succeed(*FIT, "--target", "diagnosis", "--mask", "brain", "--crop", "--seed", "3")
    return load_model("model.skl")


def scan(number, folder="study"):
    return Path(folder, f"sub-{number:04}", "anat", f"sub-{number:04}_T1w.nii.gz")


def damage(*numbers):
    for number in numbers:
        scan(number).write_bytes(scan(number).read_bytes()[:200])


def files():
    return sorted(path.name for path in Path().iterdir())


def rows(text):
    header, *cells = csv.reader(io.StringIO(text))
    return pd.DataFrame(cells, columns=header)


def interrupt(*_, **__):
    raise KeyboardInterrupt


# study --------------------------------------------------------------------------------------


def test_a_study_of_a_cohort_leaves_its_tables_and_a_report(succeed):
    out = succeed(*STUDY, "--estimators", f"net={NETWORK},svm", *TINY, "--out", "results",
                  "--spacing", "25", "--baseline", "svm")  # fmt: skip
    fits = pd.read_csv("results/results.csv")
    assert list(zip(fits["estimator"], fits["repeat"], strict=True)) == [
        (label, repeat) for label in ("net", "svm") for repeat in (0, 1)
    ]
    assert set(fits["n_test_subjects"]) == {2}
    assert set(pd.read_csv("results/predictions.csv")["subject"]) <= set(
        Cohort.from_bids("study").groups
    )
    assert "balanced accuracy" in out
    assert "results/report.html" in out
    page = Path("results/report.html").read_text()
    assert "diagnosis" in page
    assert "net" in page


def test_all_splits_and_estimators_share_their_volumes(succeed, blank):
    for number in range(1, N_SCANS + 1):  # to a place of its own
        image = nibabel.load(scan(number))
        affine = image.affine + np.outer(np.eye(4)[0], np.eye(4)[3]) * number
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), scan(number))
    succeed(*STUDY, "--estimators", "svm,other=svm:C=1.0", "--out", "results", "--seed", "2")
    tested = set(pd.read_csv("results/predictions.csv")["subject"])
    assert "sub-0001" in tested, "the first scan must not be the first of all training parts"
    kept = [path for path in Path("results/cache").rglob("*") if path.is_file()]
    assert len(kept) == N_SCANS


@pytest.mark.parametrize("options", [(), ("--spacing", "25")])
def test_a_study_goes_on_with_a_cohort_that_has_moved(options, succeed, monkeypatch, blank):
    command = [*STUDY, "--estimators", "svm", "--out", "results", *options]
    out = succeed(*command)
    Path("study").rename("moved")
    monkeypatch.setattr(PixelSVC, "fit", interrupt)  # nothing is fitted again
    assert succeed(*command, "--cohort", "moved") == out


def test_a_study_goes_on_where_it_stopped_and_a_finished_one_only_reports(
    run, succeed, monkeypatch, blank
):
    command = [*STUDY, "--estimators", f"svm,net={NETWORK}", *TINY]
    undisturbed = succeed(*command, "--out", "undisturbed")
    fit, calls = RFNNClassifier.fit, iter([None])

    def stop_at_the_second(*args, **kwargs):
        return interrupt() if next(calls, True) else fit(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(RFNNClassifier, "fit", stop_at_the_second)
        status, _, err = run(*command, "--out", "results")
    assert status == 130
    assert err.splitlines()[-1] == "sklstruct: interrupted; the same command goes on from here"
    assert 0 < len(pd.read_csv("results/results.csv")) < 4
    assert not Path("results/report.html").exists()
    out = succeed(*command, "--out", "results")
    assert out == undisturbed.replace("undisturbed/", "results/")
    predictions = Path("results/predictions.csv").read_bytes()
    assert predictions == Path("undisturbed/predictions.csv").read_bytes()
    monkeypatch.setattr(RFNNClassifier, "fit", interrupt)
    for again in ([*command, "--out", "results"], ["report", "results"]):
        Path("results/report.html").unlink()
        assert succeed(*again) == out
        assert Path("results/report.html").exists()


def test_problems_are_listed_at_once_and_left_out_only_if_asked_for(run):
    damage(2, 5)
    table = Path("study/participants.tsv")
    table.write_text(re.sub(r"(sub-0007.*\t)\w+\n", r"\1n/a\n", table.read_text()))
    command = [*STUDY, "--estimators", "svm", "--out", "results"]
    status, out, err = run(*command)
    *listed, last = err.splitlines()
    assert (status, out, files()) == (1, "", ["study"])
    assert [line.split()[0] for line in listed[1:]] == ["sub-0007", "sub-0002", "sub-0005"]
    assert re.match("sklstruct: error: study has 3 problems, .* with --leave-out-damaged", last)
    status, out, err = run(*command, "--leave-out-damaged", "--test-size", "2")
    assert status == 0, err
    assert all(subject in err for subject in ("sub-0002", "sub-0005", "sub-0007"))
    assert "these scans are left out" in err
    page = Path("results/report.html").read_text()
    assert scan(2).name in page
    assert "there is no diagnosis" in page
    left_out = pd.read_csv("results/left_out.csv")
    assert set(left_out["subject"]) == {"sub-0002", "sub-0005", "sub-0007"}
    tested = set(pd.read_csv("results/predictions.csv")["subject"])
    assert tested
    assert not tested & set(left_out["subject"])


def test_sites_are_left_out_one_after_the_other(succeed, blank):
    command = ["study", "--cohort", "study", "--target", "diagnosis", "--estimators", "svm"]
    succeed(*command, "--leave-site-out", "--out", "results")
    assert sorted(pd.read_csv("results/results.csv")["held_out_site"]) == ["site1", "site2"]
    table = Path("study/participants.tsv")
    table.write_text(table.read_text().replace("\tsite\t", "\tscanner\t"))
    succeed(*command, "--leave-site-out", "--sites", "scanner", "--repeats", "1", "--out", "one")
    assert len(pd.read_csv("one/results.csv")) == 1


@pytest.mark.filterwarnings("always:Every site")
def test_the_positive_class_can_be_named_and_sites_that_are_labels_are_remarked(run, succeed):
    table = Path("study/participants.tsv")
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    site, label = (rows[0].index(name) for name in ("site", "diagnosis"))
    for row in rows[1:]:
        row[site] = {"control": "here", "patient": "there"}[row[label]]
    table.write_text("\n".join(map("\t".join, rows)) + "\n")
    status, out, err = run(*STUDY, "--estimators", "svm", "--positive", "control", "--out", "r")
    assert status == 0, err
    assert "Every site has subjects of one diagnosis only" in err
    assert "control is positive" in out
    assert "positive class is control" in Path("r/report.html").read_text()
    assert "control is positive" in succeed("show", "study", "r")
    status, _, err = run(*STUDY, "--estimators", "svm", "--positive", "ill", "--out", "q")
    assert (status, "--positive must be one of the classes control, patient, got 'ill'" in err) == (
        1,
        True,
    )


def test_a_subject_without_a_site_is_named_and_can_be_left_out(run):
    table = Path("study/participants.tsv")
    table.write_text(re.sub(r"(sub-0003.*)site\d", r"\1n/a", table.read_text()))
    command = ["study", "--cohort", "study", "--target", "diagnosis", "--estimators", "svm"]
    command += ["--leave-site-out", "--out", "results"]
    status, out, err = run(*command)
    assert (status, out, files()) == (1, "", ["study"])
    listed = [line.split()[0] for line in err.splitlines()[1:-1]]
    assert listed == ["sub-0003"]
    assert "there is no site" in err
    assert run(*command, "--leave-out-damaged")[0] == 0
    left_out = pd.read_csv("results/left_out.csv")
    assert left_out[["subject", "problem"]].to_numpy().tolist() == [
        ["sub-0003", "there is no site"]
    ]
    status, out, err = run("cohort", "check", "study", "--site", "site")
    assert (status, [line.split()[0] for line in out.splitlines()[1:]]) == (1, ["sub-0003"])
    assert run("cohort", "check", "study")[0] == 0


# fit, predict, score ------------------------------------------------------------------------


def test_a_model_of_scans_goes_through_its_file_bit_by_bit(succeed, model):
    assert model[0].mask == "brain"
    assert model[0].crop
    assert (model[1].max_epochs, model[1].random_state) == (1, 3)
    cohort = Cohort.from_bids("study", "diagnosis")
    table = rows(succeed(*PREDICT, "study"))
    columns = ["participant_id", "image", "predicted", "p_control", "p_patient"]
    assert list(table) == columns
    assert table["participant_id"].tolist() == cohort.groups.tolist()
    assert table["image"].tolist() == cohort.X.tolist()
    assert table["predicted"].tolist() == model.predict(cohort.X).tolist()
    proba = table[columns[3:]].to_numpy(np.float32)
    np.testing.assert_array_equal(proba, model.predict_proba(cohort.X))
    succeed(*PREDICT, "study", "--out", "predictions.csv")
    assert rows(Path("predictions.csv").read_text()).equals(table)
    out = succeed("score", "--model", "model.skl", "--cohort", "study", "--target", "diagnosis")
    scores = dict(re.split(r"\s{2,}", line) for line in out.splitlines())
    hits = table["predicted"].to_numpy() == cohort.y
    assert scores["data"] == "8 scans of 8 subjects of study"
    assert scores["trained on"] == "8 of these 8, so that this is no test"
    assert scores["accuracy"] == f"{hits.mean():.4f}"
    recalls = [hits[cohort.y == label].mean() for label in ("control", "patient")]
    assert scores["balanced accuracy"] == f"{np.mean(recalls):.4f}"
    assert scores["specificity"] == f"{recalls[0]:.4f}"
    assert scores["sensitivity"] == f"{recalls[1]:.4f}"
    command = ["score", "--model", "model.skl", "--cohort", "study", "--target", "diagnosis"]
    turned = succeed(*command, "--positive", "control")
    assert re.search(rf"sensitivity +{recalls[0]:.4f}", turned)
    assert "NiftiVolumes(crop=True, mask='brain')" in succeed("show", "model", "model.skl")


def test_scans_without_labels_are_predicted_elsewhere(succeed, model):
    expected = rows(succeed(*PREDICT, "study"))
    for number in (1, 2):
        for session in ("a", "b"):
            name = f"sub-{number:04}_ses-{session}_T1w.nii.gz"
            target = Path("clinic", f"sub-{number:04}", f"ses-{session}", "anat", name)
            target.parent.mkdir(parents=True)
            shutil.copy(scan(2 * number + (session == "b")), target)
    Path("clinic/participants.tsv").write_text("participant_id\nsub-0001\nsub-0002\n")
    shutil.rmtree("study")
    table = rows(succeed(*PREDICT, "clinic"))
    assert list(table)[:3] == ["participant_id", "session_id", "image"]
    assert table["session_id"].tolist() == ["ses-a", "ses-b"] * 2
    probabilities = ["p_control", "p_patient"]
    assert table[probabilities].equals(expected[probabilities][1:5].reset_index(drop=True))
    assert len(rows(succeed(*PREDICT, "clinic", "--session", "b"))) == 2


def test_damaged_scans_are_not_predicted(run, model):
    damage(4)
    status, out, err = run(*PREDICT, "study", "--out", "predictions.csv")
    assert (status, out) == (1, "")
    assert str(scan(4)) in err
    assert not Path("predictions.csv").exists()
    status, out, err = run(*PREDICT, "study", "--leave-out-damaged")
    assert status == 0
    assert str(scan(4)) in err
    assert "sub-0004" not in rows(out)["participant_id"].tolist()
    assert len(rows(out)) == N_SCANS - 1


def test_numbers_are_predicted_by_a_regressor(succeed):
    regressor = NETWORK.replace("rfnn", "rfnn_regressor")
    succeed("fit", "--cohort", "study", "--target", "age", "--estimator", regressor, *TINY,
            "--stream", "--cache", "cache", "--out", "model.skl")  # fmt: skip
    table = rows(succeed(*PREDICT, "study"))
    assert list(table) == ["participant_id", "image", "predicted"]
    assert np.isfinite(table["predicted"].astype(float)).all()
    assert "R²" in succeed("score", *PREDICT[1:], "study", "--target", "age")


def test_a_machine_on_scans_is_kept_as_a_pickle_if_that_is_allowed(run, succeed):
    command = ["fit", "--cohort", "study", "--target", "diagnosis", "--estimator", "svm"]
    command += ["--out", "model.skl"]
    status, _, err = run(*command)
    assert (status, files()) == (1, ["study"])
    assert "PixelSVC cannot be stored" in err
    assert "--allow-pickle" in err
    succeed(*command, "--allow-pickle")
    assert "or --allow-pickle" in run(*PREDICT, "study")[2]
    assert len(rows(succeed(*PREDICT, "study", "--allow-pickle"))) == N_SCANS


# errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command, message",
    [
        ("study --target a --estimators svm --out r", "are required: --data"),
        ("{STUDY} --draws 3", "--draws: goes with --sizes"),
        ("{STUDY} --sites site", "--sites: goes with --leave-site-out"),
        (
            "{STUDY} --leave-site-out --test-size 2",
            "--test-size: does not go with --leave-site-out",
        ),
        ("{STUDY} --folds 3 --sizes 20", "--folds: does not go with --sizes"),
        ("{STUDY} --runs 2", "--runs: study has no test samples of its own"),
        ("{STUDY} --baseline svn", "--baseline: must be one of svm, .* Did you mean 'svm'"),
        ("{STUDY} --search svn:C=[1]", "--search: must be one of svm, .* Did you mean 'svm'"),
        ("{STUDY} --search svm:C=1", r"--search: .* must read LABEL:PARAM=\[VALUE,VALUE\]"),
        ("{STUDY} --budget 3m", "--budget: '3m' must be a number of fits"),
        ("{STUDY} --crop", "--crop: needs --mask"),
        ("{STUDY} --repeats 0", "--repeats: must be an integer from 1"),
        ("{STUDY} --spacing 3,4", "--spacing: '3,4' must be one length or three"),
        ("{STUDY} --smoothing -1", "--smoothing: '-1' must be a positive number"),
        ("{STUDY} --scaling best", "--scaling: invalid choice: 'best'"),
        (
            "study --data digits --sizes 20 --estimators svm --out r --mask brain",
            "--mask: goes with",
        ),
        (
            "fit --data digits --estimator svm --out m --stream --allow-pickle",
            "--stream: goes with",
        ),
    ],
)
def test_wrong_usage_is_explained(command, message, run):
    study = "study --cohort study --target diagnosis --estimators svm --out r"
    status, out, err = run(*command.replace("{STUDY}", study).split())
    assert (status, out, files()) == (2, "", ["study"])
    assert re.search(f"error: .*{message}", err.splitlines()[-1])


@pytest.mark.parametrize(
    "command, message",
    [
        ("{STUDY} --estimators rfnn_regressor", "y must be numbers .* such as 'control'"),
        ("{STUDY} --estimators svn", "Unknown estimator 'svn'. Did you mean 'svm'"),
        ("{STUDY} --target diagnose", r"participants.tsv, line 1: .* Did you mean 'diagnosis'\?"),
        ("{STUDY} --target age", "Unknown label type: continuous"),
        ("{STUDY} --cohort nowhere", "Unknown dataset 'nowhere'"),
        ("{STUDY} --cohort study/derivatives", "study/derivatives is no cohort with a part"),
        ("{STUDY} --suffix T2w", r"study has no image .*anat/sub-\*_T2w.nii"),
        ("{STUDY} --datatype func", r"study has no image .*func/sub-\*_T1w.nii"),
        ("{STUDY} --mask nothing.nii", "--mask must be a file or the word brain, got 'nothing"),
        ("{STUDY} --grid study/README", "study/README is not a usable NIfTI volume"),
        ("{STUDY} --leave-site-out --site scanner", "study has no column 'scanner' for the s"),
        ("{STUDY} --leave-site-out --repeats 3", r"for each of 3 repeats .*'site1', 'site2'"),
        ("{STUDY} --test-size 8", "test_size must be .* from 1 to 7, got 8"),
        ("{FIT} --estimator nifti_volumes", "NiftiVolumes predicts nothing"),
        ("{FIT} --estimator rfnn_regressor", "y must be numbers .* such as 'control'"),
        ("{FIT} --estimator rfnn --out nowhere/m.skl", "nowhere/m.skl: Cannot write"),
        ("predict --model model.skl --data own.npz", "a model of scans, and own.npz has arrays"),
        ("predict --model arrays.skl --data study", "a model of arrays, and study has scans"),
        ("predict --model model.skl --data study --part test", "study has no test samples"),
        ("score --model model.skl --data study", "study needs a target"),
        ("predict --model model.skl --cohort study --out nowhere/p.csv", "nowhere/p.csv: Cannot"),
        ("score --model model.skl --cohort study --target age", r"and 3 more .*'control', 'pati"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing_behind(command, message, run, files_of_models):
    study = "study --cohort study --target diagnosis --estimators svm --out r"
    fit = "fit --cohort study --target diagnosis --out m.skl"
    np.savez("own.npz", X=np.zeros((2, 8, 8)))
    before = files()
    status, out, err = run(*command.replace("{STUDY}", study).replace("{FIT}", fit).split())
    assert (status, out, files()) == (1, "", before)
    (line,) = err.splitlines()
    assert re.match(f"sklstruct: error: .*{message}", line)


@pytest.fixture(scope="session")
def trained(simulated, tmp_path_factory):
    """Return a folder with a model of scans and one of arrays."""
    folder = tmp_path_factory.mktemp("models")
    tiny = {"widths": (4,), "max_epochs": 1, "random_state": 0}
    cohort = Cohort.from_bids(simulated, "diagnosis")
    network = RFNNClassifier(**tiny, frame="pixel")
    save_model(on_paths(network).fit(cohort.X, cohort.y), folder / "model.skl")
    X = np.random.default_rng(0).normal(size=(4, 8, 8))
    save_model(RFNNClassifier(**tiny).fit(X, [0, 1, 0, 1]), folder / "arrays.skl")
    return folder


@pytest.fixture
def files_of_models(trained):
    """Put both models into the present folder."""
    for path in trained.iterdir():
        shutil.copy(path, ".")
