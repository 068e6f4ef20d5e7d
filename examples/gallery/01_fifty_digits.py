"""
Fifty digits
============

A test.
"""

# %%
from sklearn.datasets import load_digits

from sklstruct import RFNNClassifier

X, y = load_digits(return_X_y=True)
RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X[:50].reshape(-1, 8, 8), y[:50])
