"""Comparisons of estimators on little data.  This room takes estimators and knows none."""

from .cohort_study import cohort_study as cohort_study
from .curves import calibration as calibration
from .curves import roc_curves as roc_curves
from .designs import Design as Design
from .designs import Draws as Draws
from .designs import FixedSplit as FixedSplit
from .designs import HoldOuts as HoldOuts
from .designs import KFold as KFold
from .designs import LeaveSiteOut as LeaveSiteOut
from .inference import compare as compare
from .inference import summarise as summarise
from .leaks import find_leaks as find_leaks
from .limited_data import limited_data as limited_data
from .outcomes import score_fits as score_fits
from .ranks import CriticalDifference as CriticalDifference
from .ranks import critical_difference as critical_difference
from .ranks import rank_table as rank_table
from .results import Results as Results
from .running import execute as execute
from .scoring import score_model as score_model
from .search import Budget as Budget
from .search import BudgetSearchCV as BudgetSearchCV
from .splits import subject_splits as subject_splits
from .study import Study as Study
from .text import format_summary as format_summary
from .workers import Failure as Failure
