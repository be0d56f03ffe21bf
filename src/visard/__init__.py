"""visard: protect faces in photos from face recognizers, and say honestly how well it holds."""

__version__ = "0.1.0"
