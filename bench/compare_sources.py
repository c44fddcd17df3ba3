#!/usr/bin/env python3
"""Images a second from every source of Creamery beside torchvision's ImageFolder, on one core.

FOLDER is a data set in ImageNet's layout, such as bench/photographs.py makes. It is packed into files of WORK, and with --tar and
--parquet other copies of it can be named. All do the same work: decode, random-resized crop to 224 px from 8% of the area, flip,
normalise to floats. Rounds alternate, each source in its own process pinned to one core with no loading threads of its own; the
median of the rounds' rates counts. With --threads 1,2 the packed file is also loaded by so many threads on so many cores.

Needs: pip install torch torchvision; cargo build --release -p creamery -p creamery-data --example load.  Example:
  python bench/photographs.py /tmp/photos
  python bench/compare_sources.py /tmp/photos --work /tmp/packed
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="a folder for packed files")
    parser.add_argument("--tar", help="the same images as tar shards: what follows tar:")
    parser.add_argument("--parquet", help="the same images in Parquet files: what follows parquet:")
    parser.add_argument("--target", type=pathlib.Path, default=ROOT / "target/release", help="where cargo has built")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=512, help="images of a round")
    parser.add_argument("--threads", default="1,2", help="loading threads to compare, such as 1,2")
    parser.add_argument("--torchvision-round", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def torchvision_round(folder, images):
    """One round in this process: the median is taken by the one that started it."""
    import torch
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    transform = transforms.Compose([
        transforms.RandomResizedCrop(224, scale=(0.08, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    data = datasets.ImageFolder(folder / "train", transform)
    loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
    batches = iter(loader)
    next(batches)
    start, loaded = time.perf_counter(), 0
    while loaded < images:
        loaded += len(next(batches)[0])
    print(f"{loaded / (time.perf_counter() - start):.1f} a second")


def rate(command, cores):
    """Runs a command on the first `cores` cores; the last rate that it prints."""
    pinned = lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    done = subprocess.run(command, preexec_fn=pinned, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(re.findall(r"([\d.]+) a second", done.stdout)[-1])


def main():
    options = arguments()
    if options.torchvision_round:
        return torchvision_round(options.folder, options.images)
    options.work.mkdir(parents=True, exist_ok=True)
    creamery, load = options.target / "creamery", options.target / "examples/load"
    packed = {name: options.work / f"{name}.pack" for name in ("raw", "jpeg")}
    for name, path in packed.items():
        if not path.exists():
            command = [creamery, "-q", "data", "pack", f"folder:{options.folder}", "--format", name, "--out", path]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    sources = {f"folder:{options.folder}": "folder"}
    sources |= {f"tar:{options.tar}": "tar shards"} if options.tar else {}
    sources |= {f"parquet:{options.parquet}": "parquet"} if options.parquet else {}
    sources |= {f"packed:{path}": f"packed, {name}" for name, path in packed.items()}
    images = ["--images", str(options.images)]
    contenders = {"torchvision ImageFolder, PIL": ([sys.executable, __file__, options.folder, "--work", options.work, *images, "--torchvision-round"], 1)}
    for source, name in sources.items():
        contenders[name] = ([load, source, "--threads", "0", "--rounds", "1", *images], 1)
    for threads in map(int, options.threads.split(",")):
        for name in packed:
            command = [load, f"packed:{packed[name]}", "--threads", str(threads), "--rounds", "1", *images]
            contenders[f"packed, {name}, {threads} loading"] = (command, threads)
    rates = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, (command, cores) in contenders.items():
            rates[name].append(rate(command, cores))
    base = statistics.median(rates["torchvision ImageFolder, PIL"])
    print("| source | images/s (median) | least to most | x torchvision |\n|---|---|---|---|")
    for name, found in rates.items():
        middle = statistics.median(found)
        print(f"| {name} | {middle:,.0f} | {min(found):,.0f} to {max(found):,.0f} | {middle / base:.1f} |")


if __name__ == "__main__":
    main()
