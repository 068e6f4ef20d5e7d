"""Measure how often the intervals of a cohort study hold what they are to hold.

Subjects have logits that are higher for their class, plus normal noise; every hold-out adds noise
of its own, as another model would.  "once" tests all subjects in one hold-out, "hold-outs" tests a
quarter of each class in 20 of them.  The truth is that of 300 000 subjects.  One row a design and
metric; what has no interval does not count.
"""

import argparse

import numpy as np
from common import append_csv
from scipy.special import log_softmax
from scipy.stats import rankdata

from sklstruct.studies.inference import resampled_subjects
from sklstruct.studies.intervals import interval, ones
from sklstruct.studies.metrics import MEASURES, Outcome, mean_of_defined

DESIGNS = (5, 5), (5, 40), (10, 10), (20, 20), (100, 100), (8, 8, 8)
SEPARATIONS = 0.0, 1.0, 2.5
HOLD_OUTS = {"once": (1, 1.0), "hold-outs": (20, 0.25)}
CONFIDENCE, N_BOOTSTRAP, MODEL_NOISE = 0.95, 200, 0.5


def outcome(logits, labels, subject):
    """Return what a hold-out gives whose scores are the softmax of the logits."""
    log_p, is_class = log_softmax(logits, axis=1), np.eye(logits.shape[1])[labels]
    squared = ((np.exp(log_p) - is_class) ** 2).sum(axis=1) / (2 if logits.shape[1] == 2 else 1)
    correct = (logits.argmax(axis=1) == labels).astype(float)
    ranks = rankdata(logits - logits[:, ::-1] if logits.shape[1] == 2 else log_p, axis=0)
    losses = squared, -(log_p * is_class).sum(axis=1)
    return Outcome(subject, subject, is_class, correct, np.exp(log_p), *losses, ranks)


def logits_of(labels, n_classes, separation, rng):
    """Return the logits of subjects, which all models see."""
    return separation * np.eye(n_classes)[labels] + rng.normal(size=(len(labels), n_classes))


def truths(sizes, separation, rng):
    """Return the metrics of many subjects in the proportions of the design."""
    counts = np.array(sizes) * 300_000 // sum(sizes)
    labels = np.repeat(range(len(sizes)), counts)
    logits = logits_of(labels, len(sizes), separation, rng)
    everybody = outcome(
        logits + MODEL_NOISE * rng.normal(size=logits.shape), labels, np.arange(len(labels))
    )
    found = {n: m(everybody, ones(everybody))[0] for n, m in MEASURES.items() if n != "auc"}
    areas = []  # by ranks: pairs of so many are too many
    for column in range(1, 2) if len(sizes) == 2 else range(len(sizes)):
        positive = everybody.is_class[:, column] == 1
        n = positive.sum()
        won = everybody.ranks[positive, column].sum() - n * (n + 1) / 2
        areas.append(won / n / (len(labels) - n))
    return found | {"auc": np.mean(areas)}


def study(sizes, separation, kind, rng):
    """Return the hold-outs of one simulated study."""
    n_hold_outs, share = HOLD_OUTS[kind]
    labels = np.repeat(range(len(sizes)), sizes)
    logits = logits_of(labels, len(sizes), separation, rng)
    counts = np.maximum(1, np.rint(share * np.array(sizes))).astype(int)
    members = [np.flatnonzero(labels == label) for label in range(len(sizes))]
    tests = []
    for _ in range(n_hold_outs):
        at = np.concatenate([rng.permutation(m)[:n] for m, n in zip(members, counts, strict=True)])
        noise = MODEL_NOISE * rng.normal(size=(len(at), len(sizes)))
        tests.append(outcome(logits[at] + noise, labels[at], at))
    return tests, labels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400)
    args = parser.parse_args()
    for sizes in DESIGNS:
        for separation in SEPARATIONS:
            truth = truths(sizes, separation, np.random.default_rng(0))
            for kind in HOLD_OUTS:
                rng = np.random.default_rng(1)
                hits = {name: [] for name in MEASURES if np.isfinite(truth[name])}
                widths = {name: [] for name in hits}
                for _ in range(args.studies):
                    tests, labels = study(sizes, separation, kind, rng)
                    draws = resampled_subjects(labels, N_BOOTSTRAP, rng)
                    for name in hits:
                        values = [MEASURES[name](test, ones(test))[0] for test in tests]
                        mean = float(mean_of_defined(np.array(values), axis=0))
                        low, high = interval(name, tests, mean, CONFIDENCE, draws)
                        if np.isfinite(low):
                            hits[name].append(low <= truth[name] <= high)
                            widths[name].append(high - low)
                design = {"subjects": "+".join(map(str, sizes)), "separation": separation}
                for name in hits:
                    append_csv(
                        "coverage.csv",
                        design
                        | {"tested": kind, "metric": name, "truth": round(truth[name], 4)}
                        | {"intervals": len(hits[name]), "coverage": np.mean(hits[name])}
                        | {"width": np.mean(widths[name])},
                    )


if __name__ == "__main__":
    main()
