"""Cohorts of simulated heads whose ground truth is known."""

import gzip
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import __version__
from ..io.atomic import new_folder, write_json
from ..io.cohort import Cohort
from ..io.nifti.estimator import SHAPE
from ..params import Rule, check, integer, one_of, real
from . import phantom
from .phantom import Field

GREY, WHITE, FLUID = 600, 1000, 200  # intensities
VARIATION = 2.5  # mm by which heads differ, on average along every axis
ATROPHY_AT = np.array([-55.0, -20.0, -10.0])  # left temporal
ATROPHY_RADIUS = 18.0  # mm from the middle to half of the loss
AGES = 50.0, 80.0
CONTROL, PATIENT = "control", "patient"
DESCRIPTIONS = {
    "participant_id": {"Description": "Number of the simulated subject"},
    "age": {"Description": "Age", "Units": "year"},
    "site": {"Description": "Simulated scanner"},
    "diagnosis": {
        "Description": "Whether grey matter was taken away",
        "Levels": {CONTROL: "all grey matter is there", PATIENT: "local atrophy"},
    },
}
README = """\
Simulated heads, written by sklstruct {version}.

All parameters are in derivatives/truth/simulation.json.  Patients have lost grey matter around
the places in derivatives/truth/atrophy.tsv, in millimetres;
derivatives/truth/label-atrophy_mask.nii.gz is 1 where the average loss of the patients is at
least half of its maximum.
"""


SHARE = real(least=0, most=1)


def ruled(rule: Rule) -> Any:
    """Return a field that must be given, and that a rule must hold for."""
    return field(metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The parameters of ``simulate_cohort``, checked."""

    n_subjects: int = ruled(integer(2))
    shape: tuple[int, ...] = ruled(SHAPE)
    spacing: float = ruled(real(least=0.1, most=100))
    effect_size: float = ruled(SHARE)
    jitter: float = ruled(real(least=0, most=100))
    noise: float = ruled(SHARE)
    age_effect: float = ruled(SHARE)
    site_effect: float = ruled(SHARE)
    sites: int = ruled(integer(1))
    template: str | None = ruled(one_of("MNI152") | None)
    random_state: int = ruled(integer(0))

    def __post_init__(self) -> None:
        for one in fields(self):
            check(one.name, getattr(self, one.name), one.metadata["rule"])
        covered = np.array(self.shape) * self.spacing
        if (covered < phantom.EXTENT).any():
            wanted, got = (" x ".join(f"{mm:g}" for mm in e) for e in (phantom.EXTENT, covered))
            raise ValueError(f"shape times spacing must cover a head, {wanted} mm, got {got} mm.")


def simulate_cohort(
    out: str | os.PathLike[str],
    *,
    n_subjects: int = 40,
    shape: tuple[int, ...] = (32, 32, 32),
    spacing: float = 6.0,
    effect_size: float = 0.5,
    jitter: float = 0.0,
    noise: float = 0.05,
    age_effect: float = 0.03,
    site_effect: float = 0.05,
    sites: int = 2,
    template: str | None = None,
    random_state: int = 0,
) -> Cohort:
    r"""Write a BIDS folder of simulated T1 images of patients and controls.

    A head is made of a folded cortex, deep nuclei, ventricles, brain stem and cerebellum,
    deformed smoothly and at random for every subject.  Patients have lost the share
    :math:`e\, 2^{-|p - c|^2 / r^2}` of the grey matter at a point p, where e is ``effect_size``,
    c a place in the left temporal cortex and r = 18 mm; fluid takes its place.  Half of
    the subjects are patients; ages are uniform from 50 to 80 in both groups, and both groups
    are spread evenly over the sites.  The image of a subject depends on ``random_state`` and its
    own number alone, and is the same bit for bit whenever it is written.

    Parameters
    ----------
    out : path-like
        Folder to write, which must be absent or empty.  It is there as a whole or not at all.
    n_subjects : int, default=40
    shape : tuple of 3 int, default=(32, 32, 32)
        Voxels.
    spacing : float, default=6.0
        Edge of a voxel in millimetres.
    effect_size : float, default=0.5
        Share of the grey matter that is lost in the middle of the atrophy, 0 to 1.
    jitter : float, default=0.0
        Standard deviation in millimetres of the way by which the atrophy of a patient is
        displaced along the cortex, in both directions.
    noise : float, default=0.05
        Standard deviation of white noise, relative to the intensity of white matter.
    age_effect : float, default=0.03
        Share of the thickness of the cortex that is lost in ten years.
    site_effect : float, default=0.05
        By how much the brightness differs between sites at most, and how much it varies
        across the head.
    sites : int, default=2
        Number of scanners.
    template : {"MNI152"}, default=None
        Start from the MNI152 tissue maps that come with nilearn instead of a phantom.
    random_state : int, default=0

    Returns
    -------
    cohort : Cohort
        What was written, with the target ``diagnosis`` ("control" or "patient").  The truth is
        in ``derivatives/truth``.

    Raises
    ------
    ValueError
        If a parameter is out of its range or the grid does not cover the head.
    OSError
        If the folder is not empty or cannot be written.
    ImportError
        If a template is asked for and nilearn is not installed.

    See Also
    --------
    Cohort.from_bids : A folder of one's own.

    Examples
    --------
    >>> from sklstruct.datasets import simulate_cohort
    >>> cohort = simulate_cohort("study", n_subjects=8, random_state=0)
    >>> cohort
    Cohort('study', 8 scans of 8 subjects; diagnosis: control (4), patient (4); 2 sites)
    """
    # The parameters, as long as there is nothing else.
    recipe = Recipe(**{name: given for name, given in locals().items() if name != "out"})
    anatomy = phantom.choose_anatomy(template, spacing)
    with new_folder(Path(out)) as folder:
        write_cohort(folder, recipe, anatomy)
    return Cohort.from_bids(out, target="diagnosis")


def simulate(
    recipe: Recipe, anatomy: phantom.Anatomy, number: int
) -> tuple[dict[str, Any], NDArray[np.int16], Field, Field]:
    """Return the row and the image of a subject, the place of its loss, and its lost grey matter.

    They depend on the seed and the number of the subject only.
    """
    # Not one generator for all: a subject must stay the same when a cohort grows.
    rng = np.random.default_rng([recipe.random_state, number])
    # Sick, well, sick, well, and two by two to the sites: so neither says anything of the other.
    sick, site = number % 2 == 1, number // 2 % recipe.sites
    age = round(rng.uniform(*AGES), 1)
    place = phantom.onto_cortex(ATROPHY_AT + recipe.jitter * rng.standard_normal(3))
    points = phantom.grid_points(recipe.shape, recipe.spacing)
    head = phantom.warp(points, VARIATION, rng)
    # About the middle of the ages, so that the mean head does not depend on the effect.
    ageing = recipe.age_effect * (age - np.mean(AGES)) / 10
    tissues = anatomy(head, float(ageing))
    nearness = 0.5 ** (((head - phantom.column(place)) ** 2).sum(axis=0) / ATROPHY_RADIUS**2)
    lost = sick * recipe.effect_size * nearness * tissues.grey
    tissues = phantom.Tissues(tissues.grey - lost, tissues.white, tissues.fluid + lost)
    clean = GREY * tissues.grey + WHITE * tissues.white + FLUID * tissues.fluid
    noise = WHITE * recipe.noise * sum(tissues) * rng.standard_normal(recipe.shape)
    image = (clean * shading(recipe, points, site) + noise).clip(min=0)
    row = {
        "participant_id": f"sub-{number + 1:04d}",
        "age": age,
        "site": f"site{site + 1}",
        "diagnosis": PATIENT if sick else CONTROL,
    }
    return row, np.rint(image).astype(np.int16), place, lost


def shading(recipe: Recipe, points: Field, site: int) -> Field:
    """Return the brightness that a scanner gives to every point, about 1."""
    seed = np.random.SeedSequence(recipe.random_state, spawn_key=(site,))  # that of no subject
    direction = np.random.default_rng(seed).standard_normal(3)
    slope = np.tensordot(direction / np.linalg.norm(direction), points / max(phantom.EXTENT), 1)
    gain = (site + 0.5) / recipe.sites - 0.5
    return 1 + recipe.site_effect * (gain + slope)


def write_cohort(folder: Path, recipe: Recipe, anatomy: phantom.Anatomy) -> None:
    """Write images, tables and descriptions, and the truth about them."""
    rows, places, total = [], [], np.zeros(recipe.shape)
    affine = phantom.grid_affine(recipe.shape, recipe.spacing)
    for number in range(recipe.n_subjects):
        row, image, place, lost = simulate(recipe, anatomy, number)
        name = row["participant_id"]
        rows.append(row)
        total += lost
        if row["diagnosis"] == PATIENT:
            places.append((name, *np.round(place, 2)))
        write_image(folder / name / "anat" / f"{name}_T1w.nii.gz", image, affine)
    write_table(folder / "participants.tsv", pd.DataFrame(rows))
    write_json(folder / "participants.json", DESCRIPTIONS)
    write_json(folder / "dataset_description.json", description("raw", "Simulated heads"))
    (folder / "README").write_text(README.format(version=__version__), encoding="utf-8")
    truth = folder / "derivatives" / "truth"
    mask = (total > 0) & (total >= total.max() / 2)
    write_image(truth / "label-atrophy_mask.nii.gz", mask.astype(np.uint8), affine)
    write_table(truth / "atrophy.tsv", pd.DataFrame(places, columns=["participant_id", *"xyz"]))
    write_json(truth / "simulation.json", asdict(recipe))
    write_json(truth / "dataset_description.json", description("derivative", "Ground truth"))


def description(kind: str, name: str) -> dict[str, Any]:
    """Return what BIDS wants to know about a data set."""
    made_by = {"Name": "sklstruct", "Version": __version__}
    return {"Name": name, "BIDSVersion": "1.9.0", "DatasetType": kind, "GeneratedBy": [made_by]}


def write_image(path: Path, voxels: NDArray[Any], affine: Field) -> None:
    """Write a compressed NIfTI file without a time stamp."""
    image = nibabel.Nifti1Image(voxels, affine)  # integers, as scanners store them
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as BIDS has them."""
    table.to_csv(path, sep="\t", index=False, lineterminator="\n")
