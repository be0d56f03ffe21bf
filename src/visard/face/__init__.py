"""Faces in photos: detectors, landmarks, templates, the warp photo -> aligned face, patches."""

from visard.face.detect import (
    aligned_crop,
    box_landmarks,
    dlib_hog,
    find_again,
    read_faces,
    write_faces,
    yunet,
)
from visard.face.patch import FacePatches, cut, paste
from visard.face.template import ARCFACE_112, DLIB_150, Template, similarity
from visard.face.types import Box, Detector, Face, Pixels, overlap
from visard.face.warp import warp, warp_adjoint

__all__ = [
    "ARCFACE_112",
    "DLIB_150",
    "Box",
    "Detector",
    "Face",
    "FacePatches",
    "Pixels",
    "Template",
    "aligned_crop",
    "box_landmarks",
    "cut",
    "dlib_hog",
    "find_again",
    "overlap",
    "paste",
    "read_faces",
    "similarity",
    "warp",
    "warp_adjoint",
    "write_faces",
    "yunet",
]
