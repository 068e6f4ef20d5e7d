"""The names of scikit-learn that are private or new there: all that may be missing in a version."""

from typing import Any

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _num_samples as num_samples

CALLBACKS_SET = "_skl_callbacks"  # the attribute in which an estimator has its callbacks

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for what is not there: no callback can be set."""

    def with_callbacks(method: Any) -> Any:
        """Return a method as it is."""
        return method


__all__ = [
    "CALLBACKS_SET",
    "BaseEstimator",
    "BaseSearchCV",
    "CallbackSupportMixin",
    "ClassifierMixin",
    "RegressorMixin",
    "TransformerMixin",
    "check_feature_names_in",
    "check_sample_weight",
    "num_samples",
    "safe_indexing",
    "with_callbacks",
]
