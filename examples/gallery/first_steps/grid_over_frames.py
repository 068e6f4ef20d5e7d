"""
A grid over frames, with a progress bar
=======================================

A frame is data, and so is an architecture: a grid search of scikit-learn reaches into both by the
names of their parameters.  A callback of scikit-learn 1.9 follows the search from candidate to
candidate, and down into the epochs of each network.

What is learned here: how far a filter reaches matters more than how many derivatives it has.
"""

# %%
# ``frame__order`` is the highest order of the derivatives, ``frame__scales`` are the widths of the
# Gaussian in pixels.  Double underscores go as deep as there are objects.
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.model_selection import GridSearchCV
from tqdm import tqdm

from sklstruct import RFNNClassifier
from sklstruct.datasets import load_digits

X, y = load_digits(return_X_y=True)
grid = {"frame__order": [1, 2, 3], "frame__scales": [(0.5,), (1.0,), (1.5,)]}
search = GridSearchCV(RFNNClassifier(widths=(16, 32), max_epochs=12, random_state=0), grid, cv=2)

# %%
# A callback is any object with these four methods.  ``sklearn.callback.ProgressBar()`` is the one
# that comes with scikit-learn, once the package ``rich`` is installed; this one counts the fits.


class Fits:
    """Count the fits of a search that are done."""

    def setup(self, estimator, context):
        """Begin, knowing how much there is to do."""
        self.bar = tqdm(total=context.max_subtasks, unit="fit", ncols=60, mininterval=2)

    def on_fit_task_begin(self, estimator, context):
        """Be told that a part has begun."""

    def on_fit_task_end(self, estimator, context):
        """Be told that a part is done."""
        self.bar.update()

    def teardown(self, estimator, context):
        """Come to the end."""
        self.bar.close()


search.set_callbacks(Fits()).fit(X[:200], y[:200])
