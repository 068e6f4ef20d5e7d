"""What every structured network has to beat: classical learners on raw pixels."""

from sklstruct import hookimpl


@hookimpl
def register_estimators():
    """Provide the kernel SVM on pixels."""
    return {"svm": "sklstruct_baselines.svm:PixelSVC"}
