"""A plugin for sklstruct: the frame ``dct`` and the architecture ``tiny``."""

from sklstruct import hookimpl


@hookimpl
def register_frames():
    """Provide the discrete cosine frame."""
    return {"dct": "sklstruct_example.dct:DiscreteCosines"}


@hookimpl
def register_architectures():
    """Provide a small network; the reference keeps torch away until it is used."""
    return {"tiny": "sklstruct_example.tiny:Tiny"}


@hookimpl
def register_estimators():
    """Provide its classifier."""
    return {"tiny": "sklstruct_example.tiny:TinyClassifier"}
