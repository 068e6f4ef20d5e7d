"""Pictures, maps and numbers about frames, kernels, features, networks and studies.

Every display holds its numbers as attributes; ``plot`` draws them and ``save`` writes the
picture.  matplotlib is imported when the first picture is drawn.
"""

from ..lazy import attach

__getattr__, __dir__ = attach(__name__, __file__)
