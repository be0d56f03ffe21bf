"""The pipeline: photo in, faces, cloak, photo out, verdict; one photo or many."""

from visard.pipeline.anonymize import PERSON, STYLES, Make, Swapped, find_style, swap
from visard.pipeline.batch import LEDGER, Row, jobs, protect_all, records
from visard.pipeline.memory import batch_for
from visard.pipeline.person import PHOTOS, Lesson, learn_person
from visard.pipeline.plan import (
    Plan,
    Selection,
    choose_adaptive,
    choose_judges,
    choose_jury,
    choose_recognizers,
    uncalibrated,
)
from visard.pipeline.protect import Outcome, cloak, faces_of, protect, read_reference, status_of

__all__ = [
    "LEDGER",
    "PERSON",
    "PHOTOS",
    "STYLES",
    "Lesson",
    "Make",
    "Outcome",
    "Plan",
    "Row",
    "Selection",
    "Swapped",
    "batch_for",
    "choose_adaptive",
    "choose_judges",
    "choose_jury",
    "choose_recognizers",
    "cloak",
    "faces_of",
    "find_style",
    "jobs",
    "learn_person",
    "protect",
    "protect_all",
    "read_reference",
    "records",
    "status_of",
    "swap",
    "uncalibrated",
]
