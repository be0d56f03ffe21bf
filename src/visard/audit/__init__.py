"""The audit: what recognizers that had no part in a cloak make of the saved file."""

from visard.audit.verdict import VERDICT_CONDITIONS, AdaptiveVerdict, FaceVerdict, JurorVerdict, judge

__all__ = ["VERDICT_CONDITIONS", "AdaptiveVerdict", "FaceVerdict", "JurorVerdict", "judge"]
