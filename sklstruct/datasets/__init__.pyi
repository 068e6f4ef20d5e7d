from .blobs import make_textured_blobs as make_textured_blobs
from .images import fetch_cifar10 as fetch_cifar10
from .images import fetch_fashion_mnist as fetch_fashion_mnist
from .images import fetch_gtsrb as fetch_gtsrb
from .images import fetch_mnist as fetch_mnist
from .images import load_digits as load_digits
from .simulate import simulate_cohort as simulate_cohort
