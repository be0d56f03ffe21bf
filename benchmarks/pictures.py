"""What the default does to a picture: the original beside its strengths, at 100 %.

    python benchmarks/pictures.py [PHOTO ...] --out strengths.png
    python benchmarks/pictures.py [PHOTO ...] --styles --out styles.png    # those of visard anonymize

One row per photo, its largest face; without photos, the astronaut (NASA, public domain) in color and in gray.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from visard import photo
from visard.cloak import find
from visard.face import Face, Pixels, cut, dlib_hog, paste
from visard.pipeline import STYLES, Plan, choose_recognizers, cloak, find_style
from visard.pipeline.protect import replaced

SIDE, GAP = 240, 6
SHOWN = ("blur", "pixelate", "box", "person")


def crop(pixels: Pixels, face: Face) -> Pixels:
    """The square of `SIDE` px around the face, as it is; smaller at the photo's edge."""
    height, width = pixels.shape[:2]
    x, y = ((a + b) / 2 for a, b in zip(face.box[:2], face.box[2:], strict=True))
    left, top = (max(0, min(int(c - SIDE / 2), end - SIDE)) for c, end in ((x, width), (y, height)))
    return np.broadcast_to(pixels[top : top + SIDE, left : left + SIDE], (SIDE, SIDE, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--styles", action="store_true", help="of visard anonymize, in place of strengths")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    astronaut = np.ascontiguousarray(data.astronaut())
    gray = np.asarray(Image.fromarray(astronaut).convert("L"))[..., None]
    given = [photo.read(path).pixels for path in args.photos] or [astronaut, gray]
    method, detect = find("visard"), dlib_hog()
    surrogates, _ = choose_recognizers()
    rows = []
    for pixels in given:
        face = max(detect(pixels), key=lambda found: found.size)
        patches, shown = cut(pixels, [face]), [crop(pixels, face)]
        for style in SHOWN if args.styles else ():
            plan = Plan(find_style(style), (), (), detect, "dlib", settings=STYLES.get(style, {}), replaces=True)
            shown.append(crop(replaced(pixels, [face], plan), face))
        for strength in () if args.styles else method.strengths:
            plan = Plan(method, surrogates, (), detect, "dlib", settings=method.at(strength))
            shown.append(crop(paste(pixels, patches, cloak([patches], plan)[0]), face))
        gap = np.full((SIDE, GAP, 3), 255, np.uint8)
        rows.append(np.hstack([shown[0], *(part for picture in shown[1:] for part in (gap, picture))]))
    rule = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    whole = np.vstack([rows[0], *(part for row in rows[1:] for part in (rule, row))])
    Image.fromarray(whole).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
