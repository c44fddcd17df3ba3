#!/usr/bin/env python3
"""Hold exported networks against timm: the largest difference of logits, network by network.

FOLDER is what the example `random_models` of creamery-export wrote: NAME/model.safetensors, and NAME/check.safetensors with
images and what Creamery says of them. Each network is exported, timm's is built by the very code of the README that the
export has, and must load the weights strictly. With --import each is also imported back, with the
model.json and without, and must be the same weights. Exits with 1 above the tolerance.

Needs: pip install torch timm safetensors; cargo build --release.  Example:
  cargo run --release -p creamery-export --example random_models -- /tmp/models
  python bench/compare_timm.py /tmp/models
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--creamery", default=ROOT / "target/release/creamery", help="the program")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest difference of logits")
    parser.add_argument("--import", dest="back", action="store_true", help="import what was exported, too")
    return parser.parse_args()


def built(folder):
    """The network that the README's code builds in its folder."""
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    before, names = os.getcwd(), {}
    os.chdir(folder)
    try:
        exec(code, names)
    finally:
        os.chdir(before)
    return names["model"]


def same(one, other):
    one, other = load_file(one), load_file(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def imported(o, model, export, folder):
    """Whether the weights come back in the same bits, with the model.json and by their shapes."""
    side = str(load_file(model.parent / "check.safetensors")["images"].shape[-1])
    flags = [[], ["--resolution", side, "--mean", "0.5", "--std", "0.25"]]
    for i, flags in enumerate(flags):
        weights = export / "model.safetensors"
        if i == 1:
            (export / "model.json").unlink()
            if load_file(weights)["conv_stem.weight"].shape[1] == 3:
                flags = flags[:2]
        out = folder / f"back-{i}.safetensors"
        command = [o.creamery, "-q", "import", weights, *flags, "--out", out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        # Skipped blocks are not seen in weights: the names of those behind them move up.
        if i == 0 and not same(model, out):
            return False
        bits = [torch.cat([t.flatten() for _, t in sorted(load_file(f).items())]) for f in (model, out)]
        if not torch.equal(bits[0].sort().values, bits[1].sort().values):
            return False
    return True


def main():
    o = arguments()
    models = sorted(o.folder.glob("*/model.safetensors"))
    if not models:
        sys.exit(f"compare_timm.py: no NAME/model.safetensors in {o.folder}")
    worst, failed = 0.0, []
    print(f"{'network':16}{'largest logit':>14}{'difference':>12}")
    for model in models:
        name = model.parent.name
        check = load_file(model.parent / "check.safetensors")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            export = folder / "an export"
            command = [o.creamery, "-q", "export", model, "--format", "timm", "--out", export]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            with torch.no_grad():
                logits = built(export)(check["images"])
            if o.back and not imported(o, model, export, folder):
                failed.append(name)
        difference = (logits - check["logits"]).abs().max().item()
        worst = max(worst, difference)
        print(f"{name:16}{check['logits'].abs().max().item():>14.3f}{difference:>12.1e}", flush=True)
    print(f"{len(models)} networks, largest difference {worst:.1e}")
    if failed:
        sys.exit(f"compare_timm.py: not the same after an import: {', '.join(failed)}")
    # Also if it is no number.
    if not worst <= o.tolerance:
        sys.exit(f"compare_timm.py: the difference is above {o.tolerance}")


if __name__ == "__main__":
    main()
