"""Pictures, maps and numbers about frames, kernels, features, networks and studies.

Every display holds its numbers as attributes; ``plot`` draws them and ``save`` writes the
picture.  matplotlib is imported when the first picture is drawn.
"""

import importlib
from typing import Any

_HOMES = {
    "CoefficientDisplay": "coefficient",
    "CohortCalibrationDisplay": "cohort_display",
    "CohortDifferencesDisplay": "cohort_display",
    "CohortRocDisplay": "cohort_display",
    "CohortScoresDisplay": "cohort_display",
    "FrameDisplay": "frame",
    "KernelDisplay": "kernel",
    "MapDisplay": "map_display",
    "ScatteringDisplay": "scattering",
    "Stability": "lipschitz",
    "StabilityDisplay": "stability_display",
    "StudyDisplay": "study",
    "class_activation_map": "attribution",
    "gradient_map": "attribution",
    "occlusion_map": "occlusion",
    "stability": "lipschitz",
    "write_maps": "maps",
    "write_report": "cohort_report",
}


def __getattr__(name: str) -> Any:  # a picture of a frame needs neither torch nor pandas
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
