"""Parameters as text: equal for equal values in every process, and for no others."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.stats import loguniform, rv_histogram
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklstruct.studies.parameters import describe_estimator, describe_value

FACTOR = 2


class Times:
    """Holds a number that its repr does not show."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, X):
        return X * self.factor


class Holder(BaseEstimator):
    def __init__(self, value=None):
        self.value = value


def array(at=0.0):
    """More than repr prints."""
    values = np.zeros(2000)
    values[1000] = at
    return values


def fitted(shift):
    return GaussianNB().fit(np.arange(8.0)[:, None] + shift, np.arange(8) % 2)


def closure(factor):
    return lambda X: X * factor


def outside(factor):
    """A function that takes a number from its module."""
    scope = {"FACTOR": factor}
    exec("def times(X):\n    return X * FACTOR", scope)
    return scope["times"]


@pytest.mark.parametrize(
    "make",
    [
        array,
        lambda x=1.0: np.array([x + 1e-12]),
        lambda x=0.0: [array(x)],
        lambda x=0: {"a": (array(x),)},
        lambda x=0: pd.DataFrame({"a": array(x)}),
        lambda x=1: csr_array(np.array([[0.0, x]])),
        lambda x=1: closure(x),
        lambda x=1: outside(x),
        lambda x=1: Times(x),
        lambda x=1: Times(x).__call__,
        lambda x=1: partial(np.clip, max=array(x)),
        lambda x=1: FunctionTransformer(Times(x)),
        lambda x=1: make_pipeline(FunctionTransformer(closure(x)), GaussianNB()),
        lambda x=1: make_pipeline(FrozenEstimator(fitted(x))),
        lambda x=1: GridSearchCV(GaussianNB(), {"priors": [None, np.array([0.5, x / 3])]}),
        lambda x=1: {"C": loguniform(1e-9, x + 1.0)},
        lambda x=1: {"C": rv_histogram(np.histogram([1, 2, 3 + x]))},
        lambda x=1: {"svc": [GaussianNB(var_smoothing=x)]},
        lambda x=1.0: np.nextafter(x, 2),
    ],
)
def test_only_equal_parameters_have_equal_texts(make):
    first, same, other = (
        describe_estimator(value if hasattr(value, "get_params") else Holder(value))
        for value in (make(), make(), make(0.5))
    )
    assert first == same
    assert first != other


def test_what_no_result_depends_on_is_left_out():
    forest = RandomForestClassifier()
    machine = RandomForestClassifier(n_jobs=4, verbose=2, random_state=3)
    assert describe_estimator(forest) == describe_estimator(machine)
    one, other = make_pipeline(forest), make_pipeline(machine, memory="cache", verbose=True)
    assert describe_estimator(one) == describe_estimator(other)
    assert describe_value({"a": 1, "b": 2}) == describe_value({"b": 2, "a": 1})
    assert describe_value(np.float64(0.1)) == describe_value(0.1) == "0.1"


def test_texts_are_the_same_in_another_process():
    code = (
        "from test_parameters import *\n"
        "value = {'sets': {*'stuvwxyz'}, 'calls': [closure(2), Times(3), array(1)]}\n"
        "print(describe_value(value))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=os.path.dirname(__file__),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(texts) == 1


def test_what_contains_itself_has_an_end():
    times = Times(1)
    times.itself = times
    assert describe_value(times).endswith(describe_value(times).split()[-1])
