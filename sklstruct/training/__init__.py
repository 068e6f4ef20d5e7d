"""How a network learns, whatever estimator it belongs to.  No scikit-learn here.

``plan`` (data) and ``objectives`` say how it is trained, ``rows``, ``batches`` and ``augment``
bring the samples, ``net`` is the one place where skorch is spoken to, ``prediction`` applies what
was learned.
"""

from .augment import Augment as Augment
from .batches import Batch as Batch
from .device import limited_threads as limited_threads
from .device import one_blas_thread as one_blas_thread
from .device import resolve_device as resolve_device
from .objectives import Auxiliary as Auxiliary
from .objectives import CrossEntropy as CrossEntropy
from .objectives import NetworkLoss as NetworkLoss
from .objectives import Objective as Objective
from .objectives import Penalised as Penalised
from .objectives import SquaredError as SquaredError
from .plan import Plan as Plan
