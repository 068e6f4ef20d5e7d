"""Comparisons of estimators on little data.  This room takes estimators and knows none."""

from .limited_data import limited_data as limited_data
from .splits import subject_splits as subject_splits
from .summary import format_summary as format_summary
from .summary import paired_differences as paired_differences
from .summary import summarise as summarise
