"""Measure how often the intervals of a study hold what they are to hold.

"classes": subjects have logits that are higher for their class, plus normal noise; every hold-out
adds noise of its own, as another model would.  "values": a number, a part of which predictions
know; "3 each" has three samples a subject, alike by half.  "maps": places of two classes,
recognised with probabilities that differ from subject to subject; or numbers at places, shifted by
subject.  "once" tests all subjects in one hold-out, "hold-outs" tests a quarter of them in 20.  The
truth is the mean over many such studies, or for classes that of 300 000 subjects.

"draws": nearest-mean rules or ridge regressions on training sets that are drawn anew, tested on one
given test set; the truth is that of other training sets and other test samples.  A rule on one
feature may come out inverted, which few draws do not tell.  "difference":
between two such rules on hold-outs (corrected), on draws (paired, for the given test set), or
between two fitted models on the subjects of one test set (subjects).

One row a design and metric; what has no interval does not count.
"""

import argparse
from itertools import product

import numpy as np
import pandas as pd
from common import append_csv
from scipy.special import expit, log_softmax
from scipy.stats import rankdata

from sklstruct.studies.inference import limits, resampled_t_test, test_over_subjects
from sklstruct.studies.metrics import Outcome, mean_of_defined
from sklstruct.studies.tasks import Classes, ClassMaps, ValueMaps, Values

CONFIDENCE, MODEL_NOISE = 0.95, 0.5
HOLD_OUTS = {"once": (1, 1.0), "hold-outs": (20, 0.25)}
MANY = 2000  # studies whose mean is the truth
RNG = np.random.default_rng


# What is simulated ---------------------------------------------------------------------------


class OfClasses:
    """Logits of subjects, higher for their class by a separation."""

    task = Classes(np.arange(2))
    designs = (
        *product(((5, 5), (5, 40), (10, 10), (20, 20), (100, 100), (8, 8, 8)), (0.0, 1.0, 2.5)),
    )

    def __init__(self, sizes, separation):
        self.sizes, self.separation = np.array(sizes), separation
        self.name = {"subjects": "+".join(map(str, sizes)), "setting": separation}

    def subjects(self, rng, sizes=None):
        """Return labels and logits."""
        labels = np.repeat(range(len(self.sizes)), self.sizes if sizes is None else sizes)
        noise = rng.normal(size=(len(labels), len(self.sizes)))
        return labels, self.separation * np.eye(len(self.sizes))[labels] + noise

    def hold_out(self, subjects, share, rng):
        """Return what a new model makes of a share of the subjects."""
        labels, logits = subjects
        counts = np.maximum(1, np.rint(share * self.sizes)).astype(int)
        members = [np.flatnonzero(labels == label) for label in range(len(counts))]
        at = np.concatenate([rng.permutation(m)[:n] for m, n in zip(members, counts, strict=True)])
        return self.outcome(labels[at], logits[at], at, rng)

    def outcome(self, labels, logits, at, rng):
        """Return what a new model makes of some subjects."""
        logits = logits + MODEL_NOISE * rng.normal(size=logits.shape)
        n_classes, log_p = logits.shape[1], log_softmax(logits, axis=1)
        is_class = np.eye(n_classes)[labels]
        squared = ((np.exp(log_p) - is_class) ** 2).sum(axis=1) / (2 if n_classes == 2 else 1)
        right = is_class * (logits.argmax(axis=1) == labels)[:, None]
        sums = np.column_stack([is_class, right, squared, -(log_p * is_class).sum(axis=1)])
        ranks = rankdata(logits - logits[:, ::-1] if n_classes == 2 else log_p, axis=0)
        return Outcome(at, at, sums, is_class, np.exp(log_p), ranks)

    def truths(self, kind):
        """Return the metrics of many subjects in the proportions of the design."""
        rng = RNG(0)
        subjects = self.subjects(rng, self.sizes * 300_000 // self.sizes.sum())
        everybody = self.outcome(*subjects, np.arange(len(subjects[0])), rng)
        return {name: of(everybody)[0] for name, of in self.task.measures.items()}


class Simulated:
    """What other tasks have in common: subjects alike, and the truth by simulation."""

    def hold_out(self, subjects, share, rng):
        """Return what a new model makes of a share of the subjects."""
        n = max(3, round(share * self.n))
        return self.outcome(subjects, np.sort(rng.permutation(self.n)[:n]), rng)

    def truths(self, kind):
        """Return the mean metrics of many studies."""
        (_, share), rng = HOLD_OUTS[kind], RNG(0)
        tests = [self.hold_out(self.subjects(rng), share, rng) for _ in range(MANY)]
        return {
            name: mean_of_defined(np.array([of(test)[0] for test in tests]), axis=0)
            for name, of in self.task.measures.items()
        }


class OfValues(Simulated):
    """Numbers, of which predictions know a part; each subject has one sample or three."""

    task = Values()
    designs = (*product(((8, 1), (12, 1), (20, 1), (20, 3), (60, 1), (300, 1)), (0.0, 1.0, 3.0)),)

    def __init__(self, counts, signal):
        n, each = counts
        self.n, self.each, self.signal = n, each, signal
        self.name = {"subjects": f"{n}, {each} each" if each > 1 else str(n), "setting": signal}

    def subjects(self, rng):
        """Return what there is to know and what models see."""
        own = rng.normal(size=(4, self.n, 1)) * (1 if self.each == 1 else np.sqrt(0.5))
        rest = rng.normal(size=(4, self.n, self.each)) * (0 if self.each == 1 else np.sqrt(0.5))
        known, unknown, *errors = own + rest
        y = self.signal * known + unknown
        # By as much as is best, so that predictions explain what can be explained.
        share = self.signal**2 / (self.signal**2 + MODEL_NOISE**2) if self.signal else 0.3
        return y, share * (self.signal * known + MODEL_NOISE * errors[0])

    def outcome(self, subjects, at, rng):
        """Return what a new model makes of some subjects."""
        y, said = (values[at].ravel() for values in subjects)
        said = said + 0.1 * rng.normal(size=said.shape)
        subject = np.repeat(at, self.each)
        columns = {"label": y, "predicted": said, "centre": np.zeros(1)}
        return self.task.outcome(columns, np.arange(len(y)), subject)


class OfClassMaps(Simulated):
    """Places of two classes, recognised with probabilities that differ between subjects."""

    task = ClassMaps(np.arange(2))
    designs = (*product((6, 10, 20, 60), (0.0, 1.5, 4.0)),)
    n_places = 1000

    def __init__(self, n, quality):
        self.n, self.quality = n, quality
        self.name = {"subjects": str(n), "setting": quality}

    def subjects(self, rng):
        """Return what there is to know and what models see."""
        n_last = rng.binomial(self.n_places, rng.beta(2, 8, size=self.n))
        of_each = np.stack([self.n_places - n_last, n_last], axis=1)
        return of_each, self.quality + 0.8 * rng.normal(size=(self.n, 2))

    def outcome(self, subjects, at, rng):
        """Return what a new model makes of some subjects."""
        of_each, logit = (values[at] for values in subjects)
        right = rng.binomial(of_each, expit(logit + 0.2 * rng.normal(size=logit.shape)))
        wrong = of_each - right
        counts = np.stack([right[:, 0], wrong[:, 0], wrong[:, 1], right[:, 1]], axis=1)
        return self.task.outcome({"counts": counts.reshape(-1, 2, 2)}, at, at)


class OfValueMaps(Simulated):
    """Numbers at 100 places, whose errors are alike within subjects."""

    task = ValueMaps()
    designs = (*product((6, 10, 20, 60), (1.0, 3.0)),)

    def __init__(self, n, signal):
        self.n, self.signal = n, signal
        self.name = {"subjects": str(n), "setting": signal}

    def subjects(self, rng):
        """Return what there is to know and what models see."""
        y = self.signal * (rng.normal(size=(self.n, 1)) + rng.normal(size=(self.n, 100)))
        scale = np.exp(0.4 * rng.normal(size=(self.n, 1)))
        return y, scale * (rng.normal(size=(self.n, 1)) + rng.normal(size=(self.n, 100)))

    def outcome(self, subjects, at, rng):
        """Return what a new model makes of some subjects."""
        y, error = (values[at] for values in subjects)
        error = error + 0.2 * rng.normal(size=error.shape)
        mean = y.mean(axis=1)
        sums = np.square(y - mean[:, None]).sum(axis=1), np.square(error).sum(axis=1)
        columns = dict(
            zip(
                ("n", "label", "spread", "squared_error", "absolute_error"),
                (np.full(len(y), y.shape[1]), mean, *sums, np.abs(error).sum(axis=1)),
                strict=True,
            )
        )
        return self.task.outcome(columns | {"centre": np.zeros(1)}, at, at)


KINDS = {
    "classes": OfClasses,
    "values": OfValues,
    "maps of classes": OfClassMaps,
    "maps of values": OfValueMaps,
}


def means(n_studies):
    """Yield rows of intervals of means over hold-outs."""
    for task, kind in KINDS.items():
        for given in kind.designs:
            simulated = kind(*given)
            for tested, (n_hold_outs, share) in HOLD_OUTS.items():
                truths, rng = simulated.truths(tested), RNG(1)
                found = {name: [] for name, truth in truths.items() if np.isfinite(truth)}
                for _ in range(n_studies):
                    subjects = simulated.subjects(rng)
                    tests = [simulated.hold_out(subjects, share, rng) for _ in range(n_hold_outs)]
                    for name in found:
                        values = pd.Series([simulated.task.measures[name](t)[0] for t in tests])
                        mine = [t for t, known in zip(tests, values.notna(), strict=True) if known]
                        args = simulated.task, name, mine, values, False, CONFIDENCE
                        found[name].append(limits(*args))
                for name, intervals in found.items():
                    design = {"task": task, **simulated.name, "tested": tested, "metric": name}
                    yield design, truths[name], intervals


# Learners, whose training sets vary ----------------------------------------------------------

FEATURES = {"alike": (slice(0, 5), slice(5, 10)), "unlike": (slice(0, 5), slice(5, 7))}
NAMES = "balanced_accuracy", "auc", "log_loss"


def drawn(n, rng):
    """Return ten features of each sample, which are higher by a half for one of two classes."""
    y = np.arange(n) % 2
    return rng.normal(size=(n, 10)) + 0.5 * y[:, None], y


def outcomes(train, test, features):
    """Return what nearest-mean rules on some of the features make of test samples."""
    (x, y), (x_test, y_test) = train, test
    low, high = (x[y == label].mean(axis=0) for label in (0, 1))
    margins = (high - low) * (x_test - (high + low) / 2)
    everyone, task = np.arange(len(y_test)), Classes(np.arange(2))
    for some in features:
        margin = margins[:, some].sum(axis=1)
        proba = expit(np.stack([-margin, margin], axis=1))
        columns = {"label": y_test, "predicted": (margin > 0).astype(int), "probabilities": proba}
        yield task.outcome(columns, everyone, everyone)


def expected(size, features):
    """Return the metrics of rules by name, over many training sets and many test samples."""
    rng = RNG(0)
    tests = [[*outcomes(drawn(size, rng), drawn(2000, rng), features)] for _ in range(MANY)]
    return {
        name: np.mean([[Classes.measures[name](t)[0] for t in pair] for pair in tests], axis=0)
        for name in NAMES
    }


def rule(size, test, rng):
    """Return what a nearest-mean rule on a new training set makes of test samples."""
    return next(outcomes(drawn(size, rng), test, FEATURES["alike"][:1]))


def rule_of_one(size, test, rng):
    """Return the same of a rule on one feature, which may come out inverted: one of two AUCs."""
    return next(outcomes(drawn(size, rng), test, [slice(0, 1)]))


def line(size, test, rng):
    """Return what ridge regression on a new training set makes of the sum of ten features."""
    (x, _), (x_test, _) = drawn(size, rng), test
    y, y_test = (values.sum(axis=1) + 2 * rng.normal(size=len(values)) for values in (x, x_test))
    centre = x.mean(axis=0)
    gram = (x - centre).T @ (x - centre) + np.eye(x.shape[1])
    said = y.mean() + (x_test - centre) @ np.linalg.solve(gram, (x - centre).T @ (y - y.mean()))
    everyone = np.arange(len(y_test))
    return Values().outcome({"label": y_test, "predicted": said}, everyone, everyone)


LEARNERS = (
    ("trained on", Classes(np.arange(2)), rule),
    ("trained on", Values(), line),
    ("one feature, trained on", Classes(np.arange(2)), rule_of_one),
)


def curves(n_studies):
    """Yield rows of intervals of learning curves over draws."""
    for words, task, learn in LEARNERS:
        for size, n_test in product((6, 20, 100), (40, 1000)):
            rng = RNG(0)
            tests = [learn(size, drawn(n_test, rng), rng) for _ in range(MANY)]
            truths = {n: np.mean([of(t)[0] for t in tests]) for n, of in task.measures.items()}
            for n_draws in (3, 5, 10):
                found = {name: [] for name, truth in truths.items() if np.isfinite(truth)}
                for _ in range(n_studies):
                    test = drawn(n_test, rng)
                    tests = [learn(size, test, rng) for _ in range(n_draws)]
                    for name in found:
                        values = pd.Series([task.measures[name](test)[0] for test in tests])
                        found[name].append(limits(task, name, tests, values, True, CONFIDENCE))
                for name, intervals in found.items():
                    setting = {"subjects": n_test, "setting": f"{words} {size}"}
                    design = {"task": task.name, **setting, "tested": f"{n_draws} draws"}
                    yield design | {"metric": name}, truths[name], intervals


def differences(n_studies):
    """Yield rows of intervals of differences between two rules, or two fitted models."""
    for setting, features in FEATURES.items():
        for n in (40, 100):
            yield from on_hold_outs(n, setting, features, n_studies)
            yield from on_draws(n, setting, features, n_studies)
    for task, kind in KINDS.items():
        for given in kind.designs:
            yield from over_subjects(task, kind(*given), n_studies)


def on_hold_outs(n, setting, features, n_studies):
    """Yield rows of the corrected t-test on 20 hold-outs of a quarter."""
    n_test = n // 4
    one, other = np.array([*expected(n - n_test, features).values()]).T
    found, rng = {name: [] for name in NAMES}, RNG(1)
    for _ in range(n_studies):
        x, y = drawn(n, rng)
        tests = []
        for _ in range(20):
            halves = [rng.permutation(np.flatnonzero(y == label)) for label in (0, 1)]
            test = np.concatenate([half[: n_test // 2] for half in halves])
            train = np.setdiff1d(np.arange(n), test)
            tests.append([*outcomes((x[train], y[train]), (x[test], y[test]), features)])
        for name in NAMES:
            d = np.array([np.subtract(*(Classes.measures[name](t)[0] for t in p)) for p in tests])
            t = resampled_t_test(d.mean(), d.std(ddof=1), len(d), n_test / (n - n_test))
            found[name].append((float(t.low), float(t.high)))
    for name, truth in zip(NAMES, one - other, strict=True):
        design = {"task": "classes", "subjects": n, "setting": setting}
        yield design | {"tested": "difference, corrected", "metric": name}, truth, found[name]


def on_draws(size, setting, features, n_studies, n_draws=5, n_test=200):
    """Yield rows of the paired t-test on five draws, for the test set that all of them have."""
    found, rng = {name: [] for name in NAMES}, RNG(1)
    for _ in range(n_studies // 4):
        test = drawn(n_test, rng)
        pairs = [[*outcomes(drawn(size, rng), test, features)] for _ in range(200)]
        for name in NAMES:
            d = np.array([np.subtract(*(Classes.measures[name](t)[0] for t in p)) for p in pairs])
            for some in d[: 4 * n_draws].reshape(4, n_draws):  # four studies on one test set
                t = resampled_t_test(some.mean(), some.std(ddof=1), n_draws)
                found[name].append((float(t.low) - d.mean(), float(t.high) - d.mean()))
    for name in NAMES:
        design = {"task": "classes", "subjects": size, "setting": setting}
        yield design | {"tested": "difference, paired", "metric": name}, 0.0, found[name]


def over_subjects(task, simulated, n_studies):
    """Yield rows of the t-test over subjects between two models on one test set."""
    found, rng = {name: [] for name in simulated.task.measures}, RNG(1)
    for _ in range(n_studies):
        subjects = simulated.subjects(rng)
        pair = [in_order(simulated.hold_out(subjects, 1.0, rng)) for _ in range(2)]
        for name, measure in simulated.task.measures.items():
            mean = measure(pair[0])[0] - measure(pair[1])[0]
            if np.isfinite(mean):
                t = test_over_subjects(measure, pair, mean, CONFIDENCE)
                found[name].append((float(t.low), float(t.high)))
    for name, intervals in found.items():
        design = {"task": task, **simulated.name, "tested": "difference, subjects"}
        yield design | {"metric": name}, 0.0, intervals


def in_order(test):
    """Return an outcome with its samples in order."""
    order = np.argsort(test.sample, kind="stable")
    return Outcome(*(column[order] for column in test))


PARTS = {"means": means, "curves": curves, "differences": differences}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", default="coverage.csv")
    args = parser.parse_args()
    for part in args.parts:
        for design, truth, intervals in PARTS[part](args.studies):
            known = np.array([limits for limits in intervals if np.isfinite(limits).all()])
            if len(known):
                low, high = known.T
                found = {
                    "truth": round(float(truth), 4),
                    "intervals": len(known),
                    "coverage": float(np.mean((low <= truth) & (truth <= high))),
                    "width": float(np.mean(high - low)),
                }
                append_csv(args.out, design | found)


if __name__ == "__main__":
    main()
