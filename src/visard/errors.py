"""Every exception that visard raises on purpose.

    VisardError
    ├── PhotoError
    │   ├── UnreadablePhotoError      the file is corrupt, truncated, empty or not a photo
    │   ├── UnsupportedPhotoError     a valid file of a kind that visard refuses
    │   └── WriteError                the output exists already, or could not be written
    ├── FaceError
    │   ├── NoFaceError               no face was found, or none is left after --only / --except
    │   └── LandmarkError             boxes or landmarks are missing or malformed
    ├── RecognizerError
    │   ├── UnknownRecognizerError    no recognizer of that name is installed
    │   ├── CardError                 a card is malformed or contradicts its file
    │   ├── WeightsError              a weights file is damaged or has another sha256
    │   ├── UnsupportedOperatorError  an ONNX graph holds an operator that visard lacks
    │   └── CalibrationError          too few comparisons for the false match rate asked for
    ├── CloakError
    │   ├── MaskError                 the file holds no person's mask, or is damaged
    │   ├── UnknownMethodError        no method of that name is registered
    │   └── SettingError              a setting is unknown, unused or out of range
    ├── HardeningError                a recognizer could not be hardened with what was given
    ├── AuditError                    the folders of an audit do not fit each other, or hold too little
    ├── MeasureError                  a measure was given what it is not defined on (also a ValueError)
    ├── MissingExtraError             an optional dependency is not installed
    └── Interrupted                   the user stopped a command; the message says what is kept

The message is one sentence that says what to do instead; the command line prints it as it stands.
"""

__all__ = [
    "AuditError",
    "CalibrationError",
    "CardError",
    "CloakError",
    "FaceError",
    "HardeningError",
    "Interrupted",
    "LandmarkError",
    "MaskError",
    "MeasureError",
    "MissingExtraError",
    "NoFaceError",
    "PhotoError",
    "RecognizerError",
    "SettingError",
    "UnknownMethodError",
    "UnknownRecognizerError",
    "UnreadablePhotoError",
    "UnsupportedOperatorError",
    "UnsupportedPhotoError",
    "VisardError",
    "WeightsError",
    "WriteError",
]


class VisardError(Exception):
    """The root: catch this one to catch everything that visard raises on purpose."""


class PhotoError(VisardError):
    """A photo file could not be read or written."""


class UnreadablePhotoError(PhotoError):
    """The file is corrupt, truncated, empty or not a photo."""


class UnsupportedPhotoError(PhotoError):
    """A valid file of a kind that visard refuses: animated, several pages, 16 bits per channel."""


class WriteError(PhotoError):
    """The output exists already, or could not be written."""


class FaceError(VisardError):
    """Faces could not be found or described."""


class NoFaceError(FaceError):
    """No face was found, or none is left after a selection."""


class LandmarkError(FaceError):
    """Boxes or landmarks are missing or malformed."""


class RecognizerError(VisardError):
    """A recognizer could not be found, loaded or calibrated."""


class UnknownRecognizerError(RecognizerError):
    """No recognizer of that name is installed."""


class CardError(RecognizerError):
    """A card is malformed or contradicts its file."""


class WeightsError(RecognizerError):
    """A weights file is damaged or has another sha256 than its card says."""


class UnsupportedOperatorError(RecognizerError):
    """An ONNX graph holds an operator, or a form of one, that visard lacks."""


class CalibrationError(RecognizerError):
    """Too few comparisons for the false match rate asked for (rule of 30)."""


class CloakError(VisardError):
    """A cloak could not be made."""


class MaskError(CloakError):
    """A file holds no person's mask, or is damaged."""


class UnknownMethodError(CloakError):
    """No method of that name is registered."""


class SettingError(CloakError):
    """A setting is unknown, unused or out of range."""


class HardeningError(VisardError):
    """A recognizer could not be hardened with what was given."""


class AuditError(VisardError):
    """The folders of an audit do not fit each other, or hold too little to say anything."""


class MeasureError(VisardError, ValueError):
    """A measure was given what it is not defined on: nothing, NaN, arrays that do not fit each other."""


class MissingExtraError(VisardError):
    """An optional dependency is not installed; the message names the extra."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional part: pip install 'visard[{extra}]'.")
        self.extra = extra


class Interrupted(VisardError):
    """The user stopped a command; the message says what is kept, and how to go on."""
