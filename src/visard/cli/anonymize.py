"""visard anonymize"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visard.cli import protect
from visard.errors import SettingError
from visard.generator.latent import load_disentangled
from visard.pipeline import PERSON, STYLES, find_style, records


def run(
    photos: Sequence[Path],
    output: Path | None,
    report: Path | None,
    style: str,
    disentangled: Path | None,
    settings: Mapping[str, Any],
    seed: int | None,
    **rest: Any,
) -> None:
    """Replace the faces of the photos, print the verdict, exit with its code."""
    if disentangled is not None and style != PERSON:
        raise SettingError(f"--disentangled is for --style {PERSON}; leave it out with {style}.")
    method = find_style(style, None if disentangled is None else load_disentangled(disentangled))
    settings = {**STYLES.get(style, {}), **settings}
    method.check(settings)
    seed = _seed(output) if seed is None else seed
    plan = protect.ready_plan(method, settings=settings, replaces=True, seed=seed, **rest)
    protect.run(photos, output, report, plan)


def _seed(output: Path | None) -> int:
    """A new one, but for a run that goes on in a folder: that of the last run there."""
    before = [record["seed"] for record in records(output) if record.get("replaces")] if output is not None else []
    return int(before[-1]) if before else secrets.randbits(32)
