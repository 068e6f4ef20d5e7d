"""Comparisons of estimators on little data.  This room takes estimators and knows none."""

from .cohort_study import cohort_study as cohort_study
from .designs import Design as Design
from .designs import Draws as Draws
from .designs import FixedSplit as FixedSplit
from .designs import HoldOuts as HoldOuts
from .designs import KFold as KFold
from .designs import LeaveSiteOut as LeaveSiteOut
from .limited_data import limited_data as limited_data
from .results import Results as Results
from .search import Budget as Budget
from .splits import subject_splits as subject_splits
from .study import Study as Study
