#!/usr/bin/env python3
"""Loads the same photographs with Creamery and with torchvision or timm, and compares images per second.

    cargo build --release -p creamery-data --example load
    python bench/compare_data.py DIR [--data D]... [--rounds 5] [--seconds 4] [--load target/release/examples/load]

DIR has train/CLASS/*; `--data` names what Creamery reads, `folder:DIR` unless given, such as `packed:FILE` of the same images.
Everything ends in batches of 64 images of 224 pixels, normalised. Compared are

- crop: a random resized crop and flips; torchvision's `ImageFolder` with Pillow, `RandomResizedCrop(224)`,
  `RandomHorizontalFlip`, `ToTensor` and `Normalize` behind a `DataLoader`, all in one process and one thread;
- rand: the same and `rand-m9-mstd0.5`, timm's `rand_augment_transform` between the flips and `ToTensor`;
- threads: Creamery's crop with two loading threads against one.

Rounds alternate between all of them; ratios are of neighbours in the same round, and their median is told with their range.
Only one process works at a time. Creamery's keeps freed memory as its program does (`GLIBC_TUNABLES` stands for that here).
"""

import argparse
import os
import re
import statistics
import subprocess
import time

import timm.data
import torch
from torchvision import datasets, transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
POLICY = "rand-m9-mstd0.5"
KEEP_MEMORY = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=2147483647"


class Peer:
    """A `DataLoader` that never ends, timed for a while."""

    def __init__(self, folder, transform):
        self.data = datasets.ImageFolder(os.path.join(folder, "train"), transform)
        self.batches = iter(())

    def batch(self):
        try:
            return next(self.batches)
        except StopIteration:
            loader = torch.utils.data.DataLoader(self.data, batch_size=64, shuffle=True, drop_last=True)
            self.batches = iter(loader)
            return next(self.batches)

    def rate(self, seconds):
        self.batch()
        start, images = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            images += len(self.batch()[1])
        return images / (time.perf_counter() - start)


def ours(arguments, data, images, threads, *flags):
    command = [arguments.load, data, "--rounds", "1", "--images", str(images), "--threads", str(threads), *flags]
    environment = dict(os.environ, GLIBC_TUNABLES=KEEP_MEMORY)
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"([\d.]+) a second", said).group(1))


def told(ratios):
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder with train/CLASS/*")
    parser.add_argument("--data", action="append", help="what Creamery reads (default folder:DIR); may be repeated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each measurement (default 4)")
    parser.add_argument("--load", default="target/release/examples/load")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    crop = transforms.Compose([
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])
    # Places between pixels by two or four of each row, at random, as timm's training has it and Creamery too; crops are bilinear in both.
    policy = timm.data.auto_augment.rand_augment_transform(POLICY, {"translate_const": 100, "img_mean": (124, 116, 104)})
    rand = transforms.Compose([*crop.transforms[:2], policy, *crop.transforms[2:]])
    peers = {"crop": Peer(arguments.folder, crop), "rand": Peer(arguments.folder, rand)}
    flags = {"crop": [], "rand": ["--augment", POLICY]}
    sources = arguments.data or [f"folder:{arguments.folder}"]
    files = len(peers["crop"].data)
    rates, ratios = {}, {}

    def note(name, value, base=None):
        rates.setdefault(name, []).append(value)
        if base is not None:
            ratios.setdefault(name, []).append(value / base)
        return value

    for _ in range(arguments.rounds):
        for kind, peer in peers.items():
            base = note(f"{kind}, Pillow", peer.rate(arguments.seconds))
            images = int(4 * base * arguments.seconds)
            for data in sources:
                note(f"{kind}, {data.split(':')[0]}", ours(arguments, data, images, 1, *flags[kind]), base)
        for data in sources:
            one = ours(arguments, data, images, 1)
            note(f"two threads against one, {data.split(':')[0]}", ours(arguments, data, 2 * images, 2), one)
    print(f"{files} files of {arguments.folder}, {arguments.rounds} rounds; images a second (median), ratio (median, range)")
    for name, values in rates.items():
        print(f"{name:40} {statistics.median(values):8.0f}   {told(ratios[name]) if name in ratios else ''}")


if __name__ == "__main__":
    main()
