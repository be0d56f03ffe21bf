"""The pipeline: photo in, faces, cloak, photo out, verdict; one photo or many."""

from visard.pipeline.batch import LEDGER, Row, jobs, protect_all, records
from visard.pipeline.plan import Plan, Selection, choose_jury, choose_recognizers, uncalibrated
from visard.pipeline.protect import Outcome, cloak_faces, faces_of, protect, read_reference, status_of

__all__ = [
    "LEDGER",
    "Outcome",
    "Plan",
    "Row",
    "Selection",
    "choose_jury",
    "choose_recognizers",
    "cloak_faces",
    "faces_of",
    "jobs",
    "protect",
    "protect_all",
    "read_reference",
    "records",
    "status_of",
    "uncalibrated",
]
