"""
Scattering is a frame network
=============================

First-order scattering, before it averages, is a layer with kernels in the span of a Morlet frame,
whose coefficients are the identity, and the modulus of each pair of a cosine and a sine.  Let the
coefficients go, and it is a structured receptive field network that starts as scattering (Jacobsen,
2018, section 3.3.2).

What is learned: what looks like two methods is one, with coefficients that are fixed or learned.
"""

# %%
# The layer is ``FrameConv`` on Morlet wavelets of one scale.
import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_sample_image
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


# %%
# Both see the same piece of a photograph.
J, L = 2, 4
grey = load_sample_image("china.jpg")[130:258, 240:368].mean(axis=2) / 255
x = torch.from_numpy(grey)[None, None]
scattering = Scattering(J=J, L=L, shape=x.shape[2:], max_order=1, average=False, padding="periodic")
wanted = scattering(x)[1:]
for j in range(J):
    network = moduli(x, j, L)[:, same_order(L)].detach()
    transform = torch.cat(wanted[j * L : (j + 1) * L], dim=1)
    error = (network - transform).norm() / transform.norm()
    print(f"scale {2**j}: relative difference {error.item():.1e}")

# %%
# What is left is the wavelets' 3.1415, with which Kymatio and the suite scale them.  The moduli of
# the second scale, of the network above and of scattering below:

maps_of = {"network": network, "scattering": transform}
# sphinx_gallery_alt = "A piece of a temple, and its responses in four directions, by a network on"
# sphinx_gallery_alt = "a Morlet frame above and by scattering below: the two rows look the same."
figure, axes = plt.subplots(2, L + 1, figsize=(8, 3.3), layout="constrained")
for row, (name, maps) in zip(axes, maps_of.items(), strict=True):
    row[0].imshow(grey, cmap="gray")
    row[0].set_ylabel(name)
    for theta, (ax, values) in enumerate(zip(row[1:], maps[0].numpy(), strict=True)):
        ax.imshow(values, cmap="magma", vmin=0, vmax=np.percentile(maps, 99.5))
        if name == "network":
            ax.set_title(f"{180 * theta // L}°")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
