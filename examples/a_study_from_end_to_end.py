"""A study from end to end: a design, searches with one budget, a stop, more estimators, a report.

Every estimator is fitted on the same training sets.  What is finished lies in a folder, one file a
fit, so that a study that was stopped goes on, and estimators can be added on another day or by
another process.  The results say more than means: intervals over the tested images, tests of all
pairs, and what each search has chosen.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklstruct import FrameTransformer, PixelSVC, RFNNClassifier
from sklstruct.datasets import load_digits
from sklstruct.inspection import write_report
from sklstruct.studies import Budget, Draws, Results, Study, compare, rank_table, summarise


def main(sizes: tuple[int, ...] = (50, 100), n_draws: int = 3, max_epochs: int = 20) -> None:
    """Print what came out at each step."""
    X, y = load_digits(return_X_y=True)
    jets = make_pipeline(FrameTransformer(), LogisticRegression(max_iter=1000))
    first = {
        "jets": (jets, {"logisticregression__C": [0.01, 1.0, 100.0]}),
        "svm": (PixelSVC(), {"C": [1.0, 10.0, 100.0]}),
    }
    design, budget = Draws(sizes, n_draws), Budget(fits=9)
    with TemporaryDirectory() as folder:
        out = Path(folder, "digits")
        Study(design, first, budget=budget).run(X, y, out=out, progress=False)
        print(f"{len(Results.read(out))} fits")

        # On another day: only what is missing is computed.
        more = {**first, "rfnn": RFNNClassifier(max_epochs=max_epochs)}
        results = Study(design, more, budget=budget).run(X, y, out=out, progress=False)
        print(f"{len(results)} fits, of which {len(Results.read(out).missing)} are missing\n")

        print(summarise(results, "accuracy").round(3).to_string(index=False), "\n")
        table = compare(results, metric="accuracy", pairs="all")
        columns = ["size", "estimator", "baseline", "difference", "low", "high", "p_t_holm"]
        print(table[columns].round(3).to_string(index=False), "\n")
        print(rank_table(results, "accuracy").round(2).to_string(index=False), "\n")
        chosen = results[results["chosen"] != ""].groupby(["estimator", "size"])["chosen"]
        print(chosen.agg(lambda texts: texts.mode()[0]).to_string())
        print("\nreport:", write_report(results, out).name)


if __name__ == "__main__":
    main()
