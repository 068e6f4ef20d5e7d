"""The report of a study, for the reviewers of a paper: what was done, and how."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..io.cohort import counted
from ..io.scans import in_words
from ..studies.text import has_subjects, n_repeats, sample_word, span, unit_of
from .page import (
    TEXT,
    Html,
    element,
    facts,
    joined,
    listing,
    note,
    paragraph,
    section,
    sentence,
    table,
)

if TYPE_CHECKING:
    from ..studies.results import Results
    from .report import Findings

MANY = 12  # classes, of which more are not told one by one
CHOICES = 3  # that are told of a search
ARROW = " \N{RIGHTWARDS ARROW} "
STACKED = re.compile("Stack|Voting")  # in the names of classes


def study_section(found: Findings) -> Html:
    """Say what was studied, and what was held out."""
    results, data = found.results, found.results.description["data"]
    twins = counted(data["n_twins"], sample_word(results)) if data["n_twins"] else ""
    pairs = [
        ("Data", data_in_words(results)),
        ("Tested", tested_in_words(results)),
        (f"{sentence(unit_of(results))}s", design_in_words(results)),
        ("Training part", sizes(found, "train")),
        ("Test part", sizes(found, "test")),
        ("Seed", str(results.description["random_state"])),
        ("Fingerprint", f"SHA-256 {data['sha256']}"),
    ]
    return section(
        "The study",
        facts((name, value) for name, value in pairs if value),
        *[note(TEXT["twins"].format(twins))] * bool(twins),
    )


def data_in_words(results: Results) -> str:
    """Return what was studied, such as "60 scans of 30 subjects"."""
    data = results.description["data"]
    of_subjects = f" of {counted(data['n_subjects'], 'subject')}" if has_subjects(results) else ""
    at_sites = f" at {counted(data['n_sites'], 'site')}" if data["n_sites"] else ""
    given = f", and a test set of {data['n_test']:,}" if data["n_test"] else ""
    name = f"{results.description.get('name') or ''}: ".removeprefix(": ")
    return f"{name}{data['n_samples']:,} {sample_word(results)}s{of_subjects}{at_sites}{given}"


def tested_in_words(results: Results) -> str:
    """Return how many samples and subjects of each class were tested, "" without classes."""
    if results.task != "classes":
        return ""
    word = sample_word(results)
    of_label = results.predictions.groupby("label")[["subject", "sample"]].nunique()
    counts = of_label.reindex(results.classes, fill_value=0)
    if len(counts) > MANY:
        return f"{span(counts['sample'], str)} {word}s of each of {len(counts)} classes"
    if not has_subjects(results):
        return in_words(f"{n} of {label}" for label, n in counts["sample"].items())
    return in_words(
        f"{counted(subjects, 'subject')} ({counted(samples, word)}) of {label}"
        for label, subjects, samples in counts.itertuples(name=None)
    )


def design_in_words(results: Results) -> str:
    """Return how data were split."""
    design = results.description["design"]
    words = {
        **design,
        "n": n_repeats(results),
        "whole": " of whole subjects" * has_subjects(results),
        "sites": in_words(sorted(results["held_out_site"].unique())),
        "sizes": in_words(f"{size:,}" for size in design.get("sizes", [0])),
        "stratified": ", stratified by class" * (results.task == "classes"),
    }
    return TEXT["designs"][design["kind"]].format(**words)


def sizes(found: Findings, part: str) -> str:
    """Return the size of the training or test parts."""
    fits, word = found.results.fits, sample_word(found.results)
    samples = f"{span(fits[f'n_{part}'], '{:,}'.format)} {word}s"
    if not has_subjects(found.results):
        return samples
    return f"{span(fits[f'n_{part}_subjects'], '{:,}'.format)} subjects, {samples}"


def left_out_section(found: Findings) -> Html:
    """Say who was left out, and why."""
    left_out = found.results.left_out
    if left_out.empty:
        return section("Left out", paragraph(f"No {sample_word(found.results)} was left out."))
    rows = left_out[["subject", "file", "problem"]].to_numpy().tolist()
    return section(
        "Left out",
        paragraph(TEXT["left_out"]),
        table(["subject", "file", "problem"], rows, "text"),
    )


def search_section(found: Findings) -> Html:
    """Say what searches could spend, and what they chose; nothing if there were none."""
    fits = found.last.fits
    searched = fits[fits["chosen"] != ""]
    if searched.empty:
        return Html()
    rows = []
    for label, part in searched.groupby("estimator", sort=False):
        told = Counter(part["chosen"]).most_common()
        chosen = [f"{settings(json.loads(text))} ({times} of {len(part)})" for text, times in told]
        others = [f"{counted(len(told) - CHOICES, 'other choice')}"] * (len(told) > CHOICES)
        rows.append([label, span(part["search_fits"], str), "; ".join(chosen[:CHOICES] + others)])
    budget = found.results.description["budget"]
    n_fits, seconds = budget["fits"], budget["seconds"]
    most = f"{seconds:g} seconds" if n_fits is None else counted(n_fits, "fit")
    unit = unit_of(found.results)
    return section(
        "Searches",
        paragraph(TEXT["search"].format(most, budget["n_splits"])),
        table(["", "fits of a search", f"chosen, in {unit}s"], rows, "text"),
    )


def settings(values: dict[str, Any]) -> str:
    """Return "C = 1, kernel = rbf"."""
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def estimators_section(found: Findings) -> Html:
    """Say what each estimator consists of, and what structure saves it."""
    description = found.results.description
    parts, joint = [], []
    for label in found.estimators:
        texts = description["estimators"][label].items()
        parameters = {name: " ".join(text.split()) for name, text in texts}
        kind = parameters.pop("class").rpartition(".")[2]
        all_of_it = element("details", element("summary", "parameters"), described(parameters))
        parts.append((label, joined([composition(kind, parameters), all_of_it])))
        joint += [label] * bool(STACKED.search(kind))
    weights = description.get("weights_by_structure") or {}
    return section(
        "The estimators",
        facts(parts),
        note(TEXT["settings"]),
        *(note(TEXT["stacks"].format(in_words(labels))) for labels in [joint] if labels),
        *structures(
            {label: steps for label, steps in weights.items() if label in found.estimators}
        ),
    )


def composition(kind: str, parameters: dict[str, str]) -> str:
    """Return what an estimator consists of, by the names of its parameters.

    Parameters
    ----------
    kind : str
        Its class.
    parameters : dict from str to str
        Its parameters as text, those of its parts after two underscores.
    """
    inner = {name.partition("__")[0] for name in parameters if "__" in name} & {*parameters}
    names = sorted(inner, key=lambda name: (place_of(name, parameters), name))
    parts = [
        composition(
            parameters[name].partition("(")[0],
            {
                own.removeprefix(f"{name}__"): text
                for own, text in parameters.items()
                if own.startswith(f"{name}__")
            },
        )
        for name in names
    ]
    if kind == "Pipeline" and parts:
        return ARROW.join(parts)
    if STACKED.search(kind):
        return f"{kind}, a stack of {in_words(parts or ['its default parts'])}"
    return f"{kind} with {in_words(parts)}" if parts else kind


def place_of(name: str, parameters: dict[str, str]) -> int:
    """Return where a part is named among the steps or estimators."""
    return max(parameters.get(key, "").find(f"({name!r}, ") for key in ("steps", "estimators"))


def described(parameters: dict[str, str]) -> str:
    """Return the steps of a pipeline one after another, or the parameters of an estimator."""
    if "steps" not in parameters:
        return "; ".join(f"{name} = {value}" for name, value in parameters.items())
    # Each by its repr, which leaves out defaults.
    steps = [name for name in parameters if place_of(name, parameters) >= 0]
    return ARROW.join(
        parameters[name] for name in sorted(steps, key=lambda name: place_of(name, parameters))
    )


def structures(weights: dict[str, dict[str, int]]) -> list[Html]:
    """Return a table of the weights that networks would have with less structure, if any."""
    if not weights:
        return []
    rows = [[label, *map("{:,}".format, steps.values())] for label, steps in weights.items()]
    return [table(["weights", *next(iter(weights.values()))], rows), note(TEXT["structures"])]


def methods_section(found: Findings) -> Html:
    """Say what the numbers are."""
    kinds = ["all", found.results.task, found.results.description["design"]["kind"]]
    kinds += ["subjects"] * has_subjects(found.results)
    methods = [text for kind in kinds for text in TEXT["methods"].get(kind, [])]
    references = [text for kind in kinds for text in TEXT["references"].get(kind, [])]
    return section(
        "How it was done", listing(methods), paragraph("References"), listing(references)
    )


def software_section(found: Findings) -> Html:
    """Say with which versions, where and when fits were made."""
    results = found.results
    environments = [("Run with", in_short(each)) for each in results.description["environments"]]
    return section("Software", facts([*environments, *made(results)]), note(TEXT["software"]))


def made(results: Results) -> list[tuple[str, str]]:
    """Return when and where fits were made, as far as it is known."""
    table = results.provenance
    if table.empty:
        return []
    days = span(table["started"].str[:10], str)
    memory = table["peak_memory_mb"].dropna()
    return [
        ("Fitted", f"{days}, on {counted(table['host'].nunique(), 'machine')}"),
        ("Devices", in_words(sorted(results["device"].unique()))),
        *[("Memory", f"{memory.max():,.0f} MB at most, in one fit")] * bool(len(memory)),
    ]


def in_short(environment: dict[str, Any]) -> str:
    """Return the versions of the libraries, and the machine."""
    versions = [f"{name} {version}" for name, version in environment["versions"].items()]
    machine = f"{environment['platform']}, {environment['processor']}, {environment['n_cpus']} CPUs"
    git = f"; revision {environment['git']}" if environment.get("git") else ""
    return f"Python {environment['python']}, {', '.join(versions)}; {machine}{git}"


METHODS = (
    *(study_section, left_out_section, search_section, estimators_section),
    *(methods_section, software_section),
)
