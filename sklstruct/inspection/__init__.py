"""Pictures and numbers about frames, kernels, coefficients, stability and studies.

Every display holds its numbers as attributes; ``plot`` draws them and ``save`` writes the
picture.  matplotlib is imported when the first picture is drawn.
"""

from .coefficient import CoefficientDisplay as CoefficientDisplay
from .cohort_display import CohortCalibrationDisplay as CohortCalibrationDisplay
from .cohort_display import CohortDifferencesDisplay as CohortDifferencesDisplay
from .cohort_display import CohortRocDisplay as CohortRocDisplay
from .cohort_display import CohortScoresDisplay as CohortScoresDisplay
from .cohort_report import write_report as write_report
from .frame import FrameDisplay as FrameDisplay
from .kernel import KernelDisplay as KernelDisplay
from .map_display import MapDisplay as MapDisplay
from .maps import write_maps as write_maps
from .occlusion import occlusion_map as occlusion_map
from .scattering import ScatteringDisplay as ScatteringDisplay
from .stability import Stability as Stability
from .stability import stability as stability
from .stability_display import StabilityDisplay as StabilityDisplay
from .study import StudyDisplay as StudyDisplay
