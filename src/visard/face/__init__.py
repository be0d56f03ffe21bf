"""Faces in photos: detectors, landmarks, templates, the warp photo -> aligned face, patches."""

from visard.face.blend import FACE, blend, membrane
from visard.face.crop import after, fitting, from_template, to_template
from visard.face.detect import (
    aligned_crop,
    box_landmarks,
    dlib_hog,
    find_again,
    read_faces,
    write_faces,
    yunet,
)
from visard.face.patch import HEAD, FacePatches, Shape, cut, face_mask, hull_mask, paste
from visard.face.template import ARCFACE_112, DLIB_150, Template, similarity
from visard.face.types import Box, Detector, Face, Pixels, overlap
from visard.face.warp import warp, warp_adjoint

__all__ = [
    "ARCFACE_112",
    "DLIB_150",
    "FACE",
    "HEAD",
    "Box",
    "Detector",
    "Face",
    "FacePatches",
    "Pixels",
    "Shape",
    "Template",
    "after",
    "aligned_crop",
    "blend",
    "box_landmarks",
    "cut",
    "dlib_hog",
    "face_mask",
    "find_again",
    "fitting",
    "from_template",
    "hull_mask",
    "membrane",
    "overlap",
    "paste",
    "read_faces",
    "similarity",
    "to_template",
    "warp",
    "warp_adjoint",
    "write_faces",
    "yunet",
]
