"""A document of tables and figures: one HTML file that needs no network, and the same as Markdown with SVG files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from visard.audit.figures import Drawing
from visard.audit.tables import Table
from visard.errors import MissingExtraError, WriteError
from visard.photo.files import write_whole


@dataclass(frozen=True, slots=True)
class Document:
    """What it says, from the top: `title`, `lead`, `facts` by name, `how_to_read`, `warnings`, the first of `tables`,
    `drawings` by title, the other tables."""

    title: str
    facts: Mapping[str, Any]
    how_to_read: str
    tables: Sequence[Table]
    drawings: Mapping[str, Drawing] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    lead: str = ""

    def write(self, folder: Path, stem: str) -> None:
        """Write STEM.html, STEM.md and figures/ into `folder`, which is made. Raises ``WriteError``."""
        try:
            (folder / "figures").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"The folder {folder} could not be made: {error.strerror}; choose another.") from error
        write_whole(folder / f"{stem}.html", self.to_html().encode())
        for title, drawing in self.drawings.items():
            write_whole(folder / "figures" / f"{_file_name(title)}.svg", drawing.svg.encode())
        write_whole(folder / f"{stem}.md", self.to_markdown().encode())

    def to_html(self) -> str:
        """One file."""
        notes = "".join(f"<li>{escape(text)}</li>" for text in self.warnings)
        pictures = "".join(
            f"<h2>{escape(title)}</h2>\n<p class=note>{escape(d.caption)}</p>\n<figure>{d.svg}</figure>\n"
            for title, d in self.drawings.items()
        )
        style = (resources.files("visard.audit") / "document.css").read_text(encoding="utf-8")
        known = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in self.facts.items())
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>visard: {escape(self.title)}</title>\n<style>{style}</style></head>\n<body>\n"
            f"<h1>{escape(self.title)}</h1>\n"
            + (f"<p>{escape(self.lead)}</p>\n" if self.lead else "")
            + f"<dl>{known}</dl>\n<p class=note>{escape(self.how_to_read)}</p>\n"
            + (f"<h2>Before you believe this</h2>\n<ul>{notes}</ul>\n" if notes else "")
            + self.tables[0].to_html()
            + pictures
            + "".join(table.to_html() for table in self.tables[1:])
            + "</body></html>\n"
        )

    def to_markdown(self) -> str:
        """The text; its figures are the files that ``write`` makes."""
        lead = f"{self.lead}\n\n" if self.lead else ""
        known = "\n".join(f"- {key}: {value}" for key, value in self.facts.items())
        notes = "".join(f"- {text}\n" for text in self.warnings)
        notes = f"## Before you believe this\n\n{notes}\n" if notes else ""
        pictures = "\n".join(
            f"![{title}](figures/{_file_name(title)}.svg)\n\n{d.caption}\n" for title, d in self.drawings.items()
        )
        return f"# {self.title}\n\n{lead}{known}\n\n{self.how_to_read}\n\n{notes}" + "\n".join(
            [self.tables[0].to_markdown(), pictures, *(t.to_markdown() for t in self.tables[1:])]
        )


def check_extras(purpose: str = "The audit of a collection") -> None:
    """Raises ``MissingExtraError`` before the work when the document could not be written after it."""
    if find_spec("pyarrow") is None or find_spec("matplotlib") is None:
        raise MissingExtraError(purpose, "report")


def _file_name(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")
