from ..datasets.simulate import simulate_cohort as simulate_cohort  # its name before datasets
from .atomic import atomic_write as atomic_write
from .cohort import Cohort as Cohort
from .cohort import UnsoundCohort as UnsoundCohort
from .dataset import Dataset as Dataset
from .image_folder import read_image_folder as read_image_folder
from .leakage import check_leakage as check_leakage
from .loading import load_dataset as load_dataset
from .nifti import check_volume as check_volume
from .nifti import find_volumes as find_volumes
from .nifti.estimator import NiftiVolumes as NiftiVolumes
from .nifti.regions import OfRegions as OfRegions
from .nifti.regions import RegionMeans as RegionMeans
from .npz import read_npz as read_npz
from .samples import Samples as Samples
from .samples import read_data as read_data
