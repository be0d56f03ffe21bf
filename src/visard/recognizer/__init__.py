"""Recognizers: the contract, the formats they come in, the store, thresholds."""

from visard.recognizer.base import Recognizer
from visard.recognizer.calibration import calibrate, people_photos
from visard.recognizer.card import Card, Threshold, parse_card
from visard.recognizer.store import add, cards, find, load, ready, store_thresholds

__all__ = [
    "Card",
    "Recognizer",
    "Threshold",
    "add",
    "calibrate",
    "cards",
    "find",
    "load",
    "parse_card",
    "people_photos",
    "ready",
    "store_thresholds",
]
