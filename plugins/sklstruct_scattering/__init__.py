"""Wavelet scattering and other fixed features, and the classifiers that stand on them."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_layers() -> dict[str, Any]:
    """Provide the transforms as torch modules."""
    return {
        "scattering": "sklstruct_scattering.scattering:Scattering",
        "roto_translation_scattering": "sklstruct_scattering.roto:RotoTranslationScattering",
        "harmonic_scattering": "sklstruct_scattering.harmonic:HarmonicScattering",
        "windowed_fourier": "sklstruct_scattering.fourier:WindowedFourier",
        "wavelet_modulus": "sklstruct_scattering.wavelet_modulus:WaveletModulus",
    }


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network on scattering."""
    return {"scattering_net": "sklstruct_scattering.net:ScatteringNet"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide the transformers and the classifiers."""
    return {
        "scattering_svc": "sklstruct_scattering.svc:ScatteringSVC",
        "scattering_linear": "sklstruct_scattering.linear:ScatteringLinear",
        "scattering_pca": "sklstruct_scattering.pca:ScatteringPCAClassifier",
        "scattering_net": "sklstruct_scattering.net:ScatteringNetClassifier",
        "scattering_features": "sklstruct_scattering.transformer:ScatteringTransformer",
        "roto_translation_features": (
            "sklstruct_scattering.roto_transformer:RotoTranslationTransformer"
        ),
        "fourier_features": "sklstruct_scattering.fourier:WindowedFourierTransformer",
        "wavelet_features": "sklstruct_scattering.wavelet_modulus:WaveletModulusTransformer",
    }
