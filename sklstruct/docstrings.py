"""Docstrings that are written once: a class inherits the description of what it inherits."""

from __future__ import annotations

import inspect
import re

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
ENTRY = re.compile(r"^(?=\S)", re.MULTILINE)  # an entry begins at the margin
INHERITED = ("Parameters", "Attributes")


def inherit_sections(cls: type) -> None:
    """Add to the docstring of a class the parameters and attributes that its bases describe.

    What a class describes itself comes first, and is not repeated.  A parameter that a base
    describes is added if the class has it as a field.
    """
    own = cls.__dict__.get("__doc__")
    if not own:  # python -OO has no docstrings, and a dataclass writes one of its own
        return
    sections = split_sections(inspect.cleandoc(own))
    for title in INHERITED:
        written = entries(sections.get(title, ""))
        for base in cls.__mro__[1:]:
            for names, text in entries(
                split_sections(inspect.cleandoc(base.__doc__ or "")).get(title, "")
            ).items():
                # A base may say of several parameters at once what a class says of one.
                new = set(names.split(", ")) - {n for known in written for n in known.split(", ")}
                if new and (title == "Attributes" or new <= set(cls.__dataclass_fields__)):  # type: ignore[attr-defined]
                    written[names] = text
        if written:
            sections[title] = "\n".join(written.values())
    cls.__doc__ = join_sections(sections)


def split_sections(doc: str) -> dict[str, str]:
    """Return the sections of a numpydoc docstring by their titles; what comes first has none."""
    first, *rest = SECTION.split(doc)
    return {
        "": first.strip(),
        **{k: v.rstrip() for k, v in zip(rest[::2], rest[1::2], strict=True)},
    }


def join_sections(sections: dict[str, str]) -> str:
    """Return a docstring, with parameters and attributes where numpydoc wants them."""
    order = ["", *INHERITED, *(title for title in sections if title not in ("", *INHERITED))]
    return "\n\n".join(
        f"{title}\n{'-' * len(title)}\n{sections[title]}" if title else sections[title]
        for title in order
        if title in sections
    )


def entries(section: str) -> dict[str, str]:
    """Return the entries of a section by the names in front of the colon."""
    parts = [part.rstrip() for part in ENTRY.split(section) if part.strip()]
    return {part.partition("\n")[0].partition(" : ")[0].strip(): part for part in parts}
