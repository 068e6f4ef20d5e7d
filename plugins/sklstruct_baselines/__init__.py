"""What every structured network has to beat: classical learners on raw pixels."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide the kernel SVM on pixels."""
    return {"svm": "sklstruct_baselines.svm:PixelSVC"}
