"""How a network learns, whatever estimator it belongs to.  No scikit-learn here.

``plan`` (data) and ``objectives`` say how it is trained, ``rows``, ``batches`` and ``augment``
bring the samples, ``net`` is the one place where skorch is spoken to, ``prediction`` applies what
was learned.
"""

from ..lazy import attach

__getattr__, __dir__ = attach(__name__, __file__)
