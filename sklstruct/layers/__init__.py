"""Torch modules that several architectures share.  No scikit-learn here."""

from .coarse import CoarseFrameConv as CoarseFrameConv
from .dimensions import BATCH_NORM as BATCH_NORM
from .dimensions import CONV as CONV
from .dimensions import MAX_POOL as MAX_POOL
from .dimensions import Pointwise as Pointwise
from .dimensions import channels_last as channels_last
from .dimensions import convolve as convolve
from .dropout import Dropout as Dropout
from .dropout import adopt_dropout as adopt_dropout
from .filtering import is_traced as is_traced
from .frame_conv import FrameConv as FrameConv
from .frame_conv import to_dense as to_dense
from .fused import KERNELS as KERNELS
from .kept import KeptTensors as KeptTensors
from .network import DenseNetwork as DenseNetwork
from .network import Linear as Linear
from .network import MeanNetwork as MeanNetwork
from .network import MeanOverPlaces as MeanOverPlaces
from .network import Network as Network
from .recomputing import Replay as Replay
from .recomputing import frozen_statistics as frozen_statistics
from .reversible import Coupling as Coupling
from .reversible import InjectivePad as InjectivePad
from .reversible import Reversible as Reversible
from .reversible import ReversibleSequential as ReversibleSequential
from .reversible import SpaceToChannels as SpaceToChannels
