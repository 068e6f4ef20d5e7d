"""Torch modules that several architectures share.  No scikit-learn here."""

from .dropout import Dropout as Dropout
from .dropout import adopt_dropout as adopt_dropout
from .frame_conv import FrameConv as FrameConv
from .frame_conv import to_dense as to_dense
from .network import DenseNetwork as DenseNetwork
from .network import Linear as Linear
from .network import MeanNetwork as MeanNetwork
from .network import Network as Network
