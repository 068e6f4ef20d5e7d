"""Pictures and numbers about frames, kernels, coefficients, stability and studies.

Every display holds its numbers as attributes; ``plot`` draws them and ``save`` writes the
picture.  matplotlib is imported when the first picture is drawn.
"""

from .coefficient import CoefficientDisplay as CoefficientDisplay
from .frame import FrameDisplay as FrameDisplay
from .kernel import KernelDisplay as KernelDisplay
from .scattering import ScatteringDisplay as ScatteringDisplay
from .stability import Stability as Stability
from .stability import stability as stability
from .stability_display import StabilityDisplay as StabilityDisplay
from .study import StudyDisplay as StudyDisplay
