"""An invertible network tells digits apart, and gives every one of them back to the bit.

The i-RevNet adds residuals of one half of the channels to the other half, and moves space into
channels where others pool: what it has done can be undone, block by block (Jacobsen, Smeulders and
Oyallon, 2018).  Half-way between two representations lies an image too, and it is not the mean of
the two images.
"""

from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from sklstruct import IRevNetClassifier
from sklstruct.inspection import interpolate


def main(n_train: int = 400, **params: Any) -> None:
    """Print what is known after every stage, and what comes back."""
    X, y = load_digits(return_X_y=True)
    images = (15 * X).astype(np.uint8).reshape(-1, 8, 8)
    params = {"widths": 64, "strides": (1, 2), **params}
    model = IRevNetClassifier(random_state=0, **params).fit(images[:n_train], y[:n_train])
    rest, labels = images[n_train:], y[n_train:]
    print(f"accuracy on {len(rest)} other digits: {100 * model.score(rest, labels):.1f} %")

    features = model.transform(rest)
    back = model.inverse_transform(features)
    print(f"features an image: {features.shape[1]} for {rest[0].size} pixels")
    print(f"all digits back, bit for bit: {np.array_equal(back.round(), rest)}")

    first, second = rest[:5], rest[5:10]
    table, _ = interpolate(model, first, second, n_steps=3)
    middle = table[table["t"] == 0.5]
    away = middle["from_mixture"].mean()
    print(f"the image of a mean of two is {away:.2f} of their distance from the mean of the images")


if __name__ == "__main__":
    main()
