"""The verdict on real photos: every face of ten photos of the assets, each judged in the saved file.

python benchmarks/verdicts.py --surrogates dlib-resnet,mobilefacenet-ms1m --jury reid-retail-0095,edgeface-xs
"""

import argparse
import tempfile
from pathlib import Path

from common import ASSETS, install_assets, recognizers, table
from visard.cloak import find
from visard.face import dlib_hog
from visard.pipeline import Plan, protect

PHOTOS = (
    "compreface_010_2.jpg",
    "compreface_011_3.jpg",
    "couple.jpg",
    "dlib_2007_007763.jpg",
    "dlib_2008_001009.jpg",
    "dlib_Tom_Cruise_avp_2014_4.jpg",
    "facenet_multiface.jpg",
    "insightface_t1.jpg",
    "vlad_sample2.jpg",
    "vlad_sample3.jpg",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surrogates", default="dlib-resnet,mobilefacenet-ms1m,mobilefacenet-casia")
    parser.add_argument("--jury", default="reid-retail-0095,edgeface-xs,mobileface-v2")
    args = parser.parse_args()
    install_assets()
    plan = Plan(find("visard"), recognizers(args.surrogates), recognizers(args.jury), dlib_hog())
    rows, protected = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for name in PHOTOS:
            outcome = protect(ASSETS / "data/photos" / name, Path(folder) / name, plan)
            for face in outcome.faces:
                cells = []
                for juror in plan.jury:
                    verdicts = [v for v in face.jurors if v.juror == juror.name]
                    cells.append(" ".join(f"{v.after:.2f}" for v in verdicts) + f" < {verdicts[0].threshold:.2f}")
                protected += bool(face.protected)
                verdict = "protected" if face.protected else "NOT protected"
                rows.append([name, str(face.number), f"{face.ssim:.3f}", *cells, verdict])
    table(["photo", "face", "SSIM", *args.jury.split(","), "verdict"], rows)
    print(
        f"{protected} of {len(rows)} faces protected. Similarity to the original itself after (as saved, JPEG 75, half"
    )
    print("size), to be below the threshold at FMR 1e-3 of every juror under every condition.")


if __name__ == "__main__":
    main()
