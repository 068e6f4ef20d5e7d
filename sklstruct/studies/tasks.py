"""STUB."""

from typing import Any
import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import accuracy_score, log_loss, recall_score, r2_score


class Task:
    name = "classes"

    def check(self, label, estimator): ...


class ClassesTask(Task):
    name = "classes"

    def predict(self, model, X, y, classes):
        predicted = np.asarray(model.predict(X))
        out = {
            "label": np.searchsorted(classes, y).astype(np.int16),
            "predicted": np.searchsorted(classes, predicted).astype(np.int16),
        }
        if hasattr(model, "predict_proba"):
            out["scores"] = model.predict_proba(X)
        elif hasattr(model, "decision_function"):
            d = np.asarray(model.decision_function(X))
            out["scores"] = np.column_stack([-d, d]) if d.ndim == 1 else d
        return out

    def score(self, c):
        t = np.unique(c["label"])
        return {
            "accuracy": accuracy_score(c["label"], c["predicted"]),
            "balanced_accuracy": recall_score(
                c["label"], c["predicted"], labels=t, average="macro", zero_division=0
            ),
        }

    def frame(self, c, classes):
        out = {"label": classes[c["label"]], "predicted": classes[c["predicted"]]}
        for n, l in enumerate(classes.tolist()):
            out[f"score:{l}"] = (
                c["scores"][:, n] if "scores" in c else np.full(len(c["label"]), np.nan)
            )
        return out


class ValuesTask(Task):
    name = "values"

    def predict(self, model, X, y, classes):
        return {"label": y, "predicted": np.ravel(model.predict(X))}

    def score(self, c):
        return {"r2": r2_score(c["label"], c["predicted"])}

    def frame(self, c, classes):
        return c


TASKS = {"classes": ClassesTask(), "values": ValuesTask()}


def task_of(y, estimators):
    return TASKS["values" if all(map(is_regressor, estimators.values())) else "classes"]
