from sklstruct_baselines.pca import PCASVC as PCASVC
from sklstruct_baselines.regions import RegionSVC as RegionSVC
from sklstruct_baselines.svm import PixelSVC as PixelSVC
from sklstruct_baselines.voxels import VoxelRidge as VoxelRidge
from sklstruct_baselines.voxels import VoxelSVC as VoxelSVC
from sklstruct_boundaries.detector import BoundaryDetector as BoundaryDetector
from sklstruct_boundaries.scores import boundary_scores as boundary_scores
from sklstruct_frame_resnet.estimators import FrameDenseNetClassifier as FrameDenseNetClassifier
from sklstruct_frame_resnet.estimators import FrameDenseNetRegressor as FrameDenseNetRegressor
from sklstruct_frame_resnet.estimators import FrameResNetClassifier as FrameResNetClassifier
from sklstruct_frame_resnet.estimators import FrameResNetRegressor as FrameResNetRegressor
from sklstruct_hierarchical.estimators import (
    HierarchicalCNNClassifier as HierarchicalCNNClassifier,
)
from sklstruct_hierarchical.estimators import HierarchicalCNNRegressor as HierarchicalCNNRegressor
from sklstruct_irevnet.estimators import IRevNetClassifier as IRevNetClassifier
from sklstruct_irevnet.estimators import IRevNetRegressor as IRevNetRegressor
from sklstruct_multiscale.estimators import MultiscaleClassifier as MultiscaleClassifier
from sklstruct_multiscale.estimators import MultiscaleRegressor as MultiscaleRegressor
from sklstruct_rfnin.estimators import RFNiNClassifier as RFNiNClassifier
from sklstruct_rfnin.estimators import RFNiNRegressor as RFNiNRegressor
from sklstruct_rfnn.estimators import RFNNClassifier as RFNNClassifier
from sklstruct_rfnn.estimators import RFNNRegressor as RFNNRegressor
from sklstruct_scattering.fourier import WindowedFourier as WindowedFourier
from sklstruct_scattering.fourier import WindowedFourierTransformer as WindowedFourierTransformer
from sklstruct_scattering.harmonic import HarmonicScattering as HarmonicScattering
from sklstruct_scattering.linear import ScatteringLinear as ScatteringLinear
from sklstruct_scattering.net import ScatteringNetClassifier as ScatteringNetClassifier
from sklstruct_scattering.pca import ScatteringPCAClassifier as ScatteringPCAClassifier
from sklstruct_scattering.roto import RotoTranslationScattering as RotoTranslationScattering
from sklstruct_scattering.roto_transformer import (
    RotoTranslationTransformer as RotoTranslationTransformer,
)
from sklstruct_scattering.scattering import Scattering as Scattering
from sklstruct_scattering.svc import ScatteringSVC as ScatteringSVC
from sklstruct_scattering.transformer import ScatteringTransformer as ScatteringTransformer
from sklstruct_scattering.wavelet_modulus import WaveletModulus as WaveletModulus
from sklstruct_scattering.wavelet_modulus import (
    WaveletModulusTransformer as WaveletModulusTransformer,
)
from sklstruct_sparse.classifier import (
    ConvolutionalSparseClassifier as ConvolutionalSparseClassifier,
)
from sklstruct_sparse.classifier import SparseFrameClassifier as SparseFrameClassifier
from sklstruct_sparse.coder import ConvolutionalSparseCoder as ConvolutionalSparseCoder
from sklstruct_sparse.thresholds import Threshold as Threshold
from sklstruct_steerable.estimators import SteerableResNetClassifier as SteerableResNetClassifier
from sklstruct_steerable.estimators import SteerableResNetRegressor as SteerableResNetRegressor

from . import datasets as datasets
from . import estimators as estimators
from . import frames as frames
from . import inspection as inspection
from . import io as io
from . import layers as layers
from . import params as params
from . import plugins as plugins
from . import studies as studies
from . import testing as testing
from . import training as training
from .architecture import Architecture as Architecture
from .estimators import DifferentialInvariants as DifferentialInvariants
from .estimators import FrameTransformer as FrameTransformer
from .estimators import LinearStackClassifier as LinearStackClassifier
from .estimators import LinearStackRegressor as LinearStackRegressor
from .estimators import StructuredClassifier as StructuredClassifier
from .estimators import StructuredMapClassifier as StructuredMapClassifier
from .estimators import StructuredMapRegressor as StructuredMapRegressor
from .estimators import StructuredRegressor as StructuredRegressor
from .hookspecs import hookimpl as hookimpl
from .io import NiftiVolumes as NiftiVolumes
from .io import RegionMeans as RegionMeans
from .layers import Pyramid as Pyramid

__version__: str
