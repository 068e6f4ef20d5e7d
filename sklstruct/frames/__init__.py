"""Filter banks as data.  Pure NumPy: this room knows nothing of torch or scikit-learn."""

from typing import Any

from ..hookspecs import hookimpl
from .anisotropic import AnisotropicGaussian as AnisotropicGaussian
from .checks import support_size as support_size
from .frame import Frame as Frame
from .frame import FrameFamily as FrameFamily
from .frame import Steering as Steering
from .frame import build_frame as build_frame
from .framelet import Framelets as Framelets
from .gaussian import FirstGaussianDerivatives as FirstGaussianDerivatives
from .gaussian import GaussianDerivatives as GaussianDerivatives
from .gaussian import Jet as Jet
from .harmonics import CircularHarmonics as CircularHarmonics
from .harmonics import SolidHarmonics as SolidHarmonics
from .jet import exact_jet as exact_jet
from .morlet import Gabor as Gabor
from .morlet import Morlet as Morlet
from .morlet import half_sphere as half_sphere
from .naive import Monomials as Monomials
from .pixel import Pixels as Pixels
from .product import product_jet as product_jet
from .transforms import Band as Band
from .transforms import CurveletTransform as CurveletTransform
from .transforms import FourierTransform as FourierTransform
from .transforms import FrameTransform as FrameTransform
from .transforms import Transform as Transform
from .transforms import WaveletTransform as WaveletTransform
from .transforms import make_transform as make_transform


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
        "anisotropic_gaussian": AnisotropicGaussian,
        "circular_harmonics": CircularHarmonics,
        "solid_harmonics": SolidHarmonics,
    }
