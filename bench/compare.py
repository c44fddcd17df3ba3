#!/usr/bin/env python3
"""Compare supernet steps of Creamery with a PyTorch script that does the same work, in alternation.

Both programs are run in turn, several times, on the same paths: random ones of the `cream-224` space, which are
drawn here. Times are medians over the turns; a ratio is PyTorch's time by Creamery's, so 3 means three times
as fast. The PyTorch script is any that takes --batch, --size, --classes, --threads, --rounds, --board, --modes,
--paths and --json and prints one JSON object of `MODE_ms` and `peak_mib`; bench/torch_step.py is one.

Needs: pip install torch numpy; cargo build --release.  Example:
  python bench/compare.py --size 32 --batch 64 --out small.json
  python bench/compare.py --size 224 --batch 8 --modes spos,cream
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPTHS = [4, 4, 5, 4, 4]  # blocks of each stage in torch_step.py
BOARD, SLICE = 10, 4  # entries of the board, and images that torch_step.py stores for each


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--creamery", default=ROOT / "target/release/creamery", help="the program")
    parser.add_argument("--peer", default=ROOT / "bench/torch_step.py", help="the PyTorch script")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--modes", default="spos,cream,meta", help="of both programs")
    parser.add_argument("--turns", type=int, default=3, help="of each program")
    parser.add_argument("--rounds", type=int, default=2, help="steps of each path in a turn")
    parser.add_argument("--paths", type=int, default=8, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the paths")
    parser.add_argument("--out", help="where the times of all turns go, as JSON")
    return parser.parse_args()


def run(command):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"compare.py: failed with exit code {done.returncode}: {' '.join(map(str, command))}")
    return json.loads(done.stdout)


def main():
    o = arguments()
    draw = random.Random(o.seed)
    paths = [[[draw.randrange(6) for _ in range(n)] for n in DEPTHS] for _ in range(o.paths)]
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "paths.json"
        file.write_text(json.dumps(paths))
        shared = ["--batch", o.batch, "--size", o.size, "--classes", o.classes, "--board", BOARD]
        shared += ["--threads", o.threads, "--rounds", o.rounds, "--modes", o.modes]
        shared += ["--paths", file, "--json"]
        programs = {
            "creamery": [o.creamery, "bench", "step", "-q", "--anchors", BOARD * SLICE, *shared],
            "torch": [o.python, o.peer, "--slice", SLICE, *shared],
        }
        turns = {name: [] for name in programs}
        for turn in range(o.turns):
            for name, command in programs.items():
                turns[name].append(run(command))
                print(f"turn {turn + 1} {name}: {turns[name][-1]}", file=sys.stderr, flush=True)
    median = {
        name: {key: statistics.median(t[key] for t in done) for key in done[0] if key.endswith(("_ms", "_mib"))}
        for name, done in turns.items()
    }
    print(f"{o.batch} images of {o.size} px, {o.threads} threads, {o.turns} turns, {o.paths} paths")
    print(f"{'':10}{'creamery':>12}{'torch':>12}{'ratio':>8}")
    for key, own in median["creamery"].items():
        if key in median["torch"]:
            other = median["torch"][key]
            print(f"{key:10}{own:>12.1f}{other:>12.1f}{other / own:>8.2f}")
    own = median["creamery"]
    for mode in ("cream", "meta"):
        if f"{mode}_ms" in own and "spos_ms" in own:
            print(f"creamery's {mode} is {own[f'{mode}_ms'] / own['spos_ms']:.2f} of its spos")
    if o.out:
        pathlib.Path(o.out).write_text(json.dumps(turns, indent=1) + "\n")


if __name__ == "__main__":
    main()
