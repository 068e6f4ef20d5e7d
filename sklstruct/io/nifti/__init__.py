"""NIfTI volumes: files, grids in millimetres, and the transformer from paths to volumes."""

from .file import check_volume as check_volume
from .file import read_grid as read_grid
from .file import read_volume as read_volume
from .file import write_volume as write_volume
from .grid import Grid as Grid
from .paths import find_volumes as find_volumes
