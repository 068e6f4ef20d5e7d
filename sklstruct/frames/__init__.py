"""Filter banks as data.  Pure NumPy: this room knows nothing of torch or scikit-learn."""

from typing import Any

from ..hookspecs import hookimpl
from .checks import support_size as support_size
from .frame import Frame as Frame
from .frame import FrameFamily as FrameFamily
from .frame import Steering as Steering
from .frame import build_frame as build_frame
from .framelet import Framelets as Framelets
from .gaussian import FirstGaussianDerivatives as FirstGaussianDerivatives
from .gaussian import GaussianDerivatives as GaussianDerivatives
from .gaussian import Jet as Jet
from .morlet import Gabor as Gabor
from .morlet import Morlet as Morlet
from .morlet import half_sphere as half_sphere
from .naive import Monomials as Monomials
from .pixel import Pixels as Pixels
from .product import product_jet as product_jet


@hookimpl
def register_frames() -> dict[str, Any]:
    """Provide the frames of the suite."""
    return {
        "gaussian": GaussianDerivatives,
        "gaussian_first": FirstGaussianDerivatives,
        "pixel": Pixels,
        "framelet": Framelets,
        "naive": Monomials,
        "gabor": Gabor,
        "morlet": Morlet,
    }
