"""Comparisons of estimators on little data.  This room takes estimators and knows none."""

from .cohort_study import CohortResults as CohortResults
from .cohort_study import cohort_study as cohort_study
from .cohort_text import format_cohort_summary as format_cohort_summary
from .curves import calibration as calibration
from .curves import roc_curves as roc_curves
from .inference import compare as compare
from .inference import summarise_cohort as summarise_cohort
from .limited_data import limited_data as limited_data
from .metrics import score_fits as score_fits
from .running import execute as execute
from .splits import subject_splits as subject_splits
from .summary import format_summary as format_summary
from .summary import paired_differences as paired_differences
from .summary import summarise as summarise
from .workers import Failure as Failure
