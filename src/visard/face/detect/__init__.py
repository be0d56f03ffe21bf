"""Detectors: each is a function from a photo's pixels to its faces, largest first."""

from visard.face.detect.aligned import aligned_crop
from visard.face.detect.boxes import read_faces, write_faces
from visard.face.detect.hog import box_landmarks, dlib_hog
from visard.face.detect.near import find_again
from visard.face.detect.yunet import yunet

__all__ = ["aligned_crop", "box_landmarks", "dlib_hog", "find_again", "read_faces", "write_faces", "yunet"]
