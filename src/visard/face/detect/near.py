"""Finding a known face again in a copy of its photo, as a stranger's program would find it there."""

import numpy as np
from PIL import Image

from visard.face.types import Detector, Face, Pixels, overlap

_SEARCH_FACE = 160  # px: the side at which the face's surroundings are searched, whatever the photo's size
_SURROUNDINGS = 1.0  # sides of the face, on each side of it
_SAME_FACE = 0.25


def find_again(pixels: Pixels, face: Face, detector: Detector) -> Face | None:
    """`face` as `detector` finds it in `pixels` (H, W, C), or None when it does not.

    Only the face's surroundings are searched, reduced so that the cost does not follow the photo's size.
    """
    height, width = pixels.shape[:2]
    side = face.size
    center = (np.array(face.box[:2]) + np.array(face.box[2:])) / 2
    reach = side * (0.5 + _SURROUNDINGS)
    x0, y0 = np.maximum(np.floor(center - reach), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(center + reach), (width, height)).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    region = pixels[y0:y1, x0:x1]
    scale = min(1.0, _SEARCH_FACE / side)
    if scale < 1.0:
        size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
        picture = Image.fromarray(region[..., 0] if region.shape[-1] == 1 else region)
        region = np.asarray(picture.resize(size, Image.Resampling.BOX)).reshape(size[1], size[0], -1)
        scale = size[0] / (x1 - x0)
    found = [f.moved(1 / scale, (float(x0), float(y0))) for f in detector(region)]
    best = max(found, key=lambda f: overlap(f.box, face.box), default=None)
    return best if best is not None and overlap(best.box, face.box) >= _SAME_FACE else None
