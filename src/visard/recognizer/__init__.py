"""Recognizers: the contract, the formats they come in, the store, thresholds."""

from visard.recognizer.base import Recognizer
from visard.recognizer.calibration import calibrate, people_photos
from visard.recognizer.card import Accuracy, Card, Threshold, parse_card
from visard.recognizer.derived import derived
from visard.recognizer.fetching import fetch, fetch_new
from visard.recognizer.install import add, remove, store_derived, store_thresholds
from visard.recognizer.outsiders import RecognizerWarning, Registration
from visard.recognizer.store import cards, find, load, owner, ready, verify, weights

__all__ = [
    "Accuracy",
    "Card",
    "Recognizer",
    "RecognizerWarning",
    "Registration",
    "Threshold",
    "add",
    "calibrate",
    "cards",
    "derived",
    "fetch",
    "fetch_new",
    "find",
    "load",
    "owner",
    "parse_card",
    "people_photos",
    "ready",
    "remove",
    "store_derived",
    "store_thresholds",
    "verify",
    "weights",
]
