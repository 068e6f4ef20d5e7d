"""Plain networks that structured ones are compared with, their parameters counted."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the networks, which ``StructuredClassifier`` and its regressor train."""
    return {
        "all_cnn": "sklstruct_reference_nets.all_cnn:AllCNN",
        "alexnet_small": "sklstruct_reference_nets.alexnet:AlexNetSmall",
        "lenet5": "sklstruct_reference_nets.lenet:LeNet5",
        "mlp": "sklstruct_reference_nets.mlp:MLP",
        "nin": "sklstruct_reference_nets.nin:NiN",
        "vgg_small": "sklstruct_reference_nets.vgg:VGGSmall",
    }
