#!/usr/bin/env python3
"""A folder of photographs of the size ImageNet's usually have, for timing and trying data sources.

    python bench/photographs.py OUT [--train 4000] [--val 500] [--debs FOLDER]

Writes OUT/train/CLASS/*.jpg and OUT/val/CLASS/*.jpg: pieces of the photographs in three Debian packages of wallpapers,
fetched by `apt-get download` and unpacked by `dpkg -x` (nothing is installed), scaled down by a random factor to 500x375
(three of four) or 375x500, and stored as JPEG of quality 94 to 98 with halved colour: about the bytes that ImageNet's have. There are ten classes, each of three
or four photographs, so that a network can learn to tell them; validation images are other pieces of the same photographs,
which makes them fit to show that learning works and unfit to compare networks. The same arguments give the same pieces.

Needs Pillow, apt-get and dpkg.
"""

import argparse
import pathlib
import random
import subprocess
import tempfile

from PIL import Image

PACKAGES = {
    "lomiri-wallpapers-16.04": "usr/share/backgrounds",
    "lomiri-wallpapers-20.04": "usr/share/backgrounds",
    "mate-backgrounds": "usr/share/backgrounds/mate/nature",
}
CLASSES = 10


def fetch(folder):
    """Unpacks the packages into `folder` and returns the paths of the photographs, sorted by name."""
    photographs = []
    for package, inside in PACKAGES.items():
        if not list(folder.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
        (deb,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg", "-x", deb, folder / package], check=True)
        photographs += [path for path in (folder / package / inside).glob("*.jpg") if not path.is_symlink()]
    return sorted(photographs, key=lambda path: path.name)


def piece(photograph, rng):
    """A random piece of `photograph` as an image of 500x375 or 375x500 pixels."""
    width, height = (500, 375) if rng.random() < 0.75 else (375, 500)
    most = min(photograph.width / width, photograph.height / height)
    scale = rng.uniform(most / 3, most)
    w, h = int(width * scale), int(height * scale)
    x, y = rng.randint(0, photograph.width - w), rng.randint(0, photograph.height - h)
    return photograph.resize((width, height), Image.BICUBIC, box=(x, y, x + w, y + h), reducing_gap=3.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path, help="folder to write train/ and val/ into")
    parser.add_argument("--train", type=int, default=4000, help="training images in all (default 4000)")
    parser.add_argument("--val", type=int, default=500, help="validation images in all (default 500)")
    parser.add_argument("--debs", type=pathlib.Path, help="folder that has, or keeps, the packages")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        debs = arguments.debs or pathlib.Path(temporary)
        debs.mkdir(parents=True, exist_ok=True)
        photographs = fetch(debs.absolute())
        written = 0
        for number, path in enumerate(photographs):
            photograph = Image.open(path).convert("RGB")
            rng = random.Random(f"creamery {number}")
            for split, images in [("train", arguments.train), ("val", arguments.val)]:
                folder = arguments.out / split / f"class_{number % CLASSES}"
                folder.mkdir(parents=True, exist_ok=True)
                # Spread so that all photographs together give exactly as many as were asked for.
                first, last = (images * n // len(photographs) for n in (number, number + 1))
                for i in range(first, last):
                    quality = rng.randint(94, 98)
                    piece(photograph, rng).save(folder / f"{i:06}.jpg", quality=quality, subsampling="4:2:0")
                    written += 1
    print(f"{written} images of {len(photographs)} photographs in {arguments.out}")


if __name__ == "__main__":
    main()
