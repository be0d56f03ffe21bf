"""Hardening: recognizers that are not fooled by cloaks, what they cost, and whether they hold when cloaks adapt."""

from visard.hardening.defence import Defence, defence_names, find_defence
from visard.hardening.material import Material, cloaked_faces, embed_faces

__all__ = ["Defence", "Material", "cloaked_faces", "defence_names", "embed_faces", "find_defence"]
