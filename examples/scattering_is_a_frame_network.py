"""First-order scattering is a frame network whose coefficients are fixed.

The layer is FrameConv with the Morlet frame and the identity for coefficients, the nonlinearity
the modulus of each pair of atoms (cosine and sine): what Scattering computes before averaging.
Let the coefficients go, and it is a structured receptive field network that starts as scattering
(Jacobsen, 2018, section 3.3.2).
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from sklstruct import Scattering
from sklstruct.frames import Morlet
from sklstruct.layers import FrameConv


def morlet_layer(j: int, L: int) -> FrameConv:
    """Return a layer whose outputs are the responses to the atoms of scale 2^j."""
    frame = Morlet(n_orientations=L, scales=(0.8 * 2**j,), slant=4 / L, truncate=6.0).build(2)
    layer = FrameConv(1, len(frame), frame, padding=0, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.diag(layer.norms)[:, None])
    return layer


def moduli(x: Tensor, j: int, L: int) -> Tensor:
    """Return the moduli of images (n, 1, H, W) at scale 2^j, one for each of L orientations."""
    layer = morlet_layer(j, L)
    margin = layer.frame.support[0] // 2
    responses = layer(pad(x, (margin,) * 4, mode="circular"))[..., :: 2**j, :: 2**j]
    cosines, sines = responses[:, 1::2], responses[:, 2::2]  # the first atom is the window
    return torch.hypot(cosines, sines)


def same_order(L: int) -> list[int]:
    """Return the orientations of the frame in the order of scattering, for an even L."""
    return [(theta + 1) % L for theta in range(L)]


def main() -> None:
    """Print how far the two are apart."""
    J, L = 2, 4
    x = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    scattering = Scattering(
        J=J, L=L, shape=(32, 32), max_order=1, average=False, padding="periodic"
    )
    wanted = scattering(x)[1:]
    for j in range(J):
        network = moduli(x, j, L)[:, same_order(L)]
        transform = torch.cat(wanted[j * L : (j + 1) * L], dim=1)
        error = (network - transform).norm() / transform.norm()
        print(f"scale {2**j}: relative difference {error.item():.1e}")


if __name__ == "__main__":
    main()
