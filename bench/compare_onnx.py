#!/usr/bin/env python3
"""Hold exported networks to ONNX's own checker and to onnxruntime.

For every folder of FOLDER that has a model.safetensors and a check.safetensors (made by the example
`random_models` of creamery-export): exports it, checks the file, runs its images, one at a time and all at once,
and compares the logits. Exits with 1 if any differ by more than --most, or by more than a hundredth of what lies
between the logits of two images: such a file would not tell images apart as the network does.

Needs: pip install numpy onnx onnxruntime safetensors; cargo build --release.  Example:
  cargo run --release -p creamery-export --example random_models -- random-models
  python bench/compare_onnx.py random-models
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--creamery", default=ROOT / "target/release/creamery", help="the program")
    parser.add_argument("--opset", type=int, default=17)
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime")
    parser.add_argument("--most", type=float, default=1e-4, help="difference that is allowed")
    return parser.parse_args()


def difference(o, folder, file):
    """The largest difference of logits, the largest logit, and the least that lies between those of two images."""
    command = [o.creamery, "export", folder / "model.safetensors", "--format", "onnx"]
    command += ["--opset", o.opset, "--out", file, "-q"]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    onnx.checker.check_model(onnx.load(file), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = o.threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    check = load_file(folder / "check.safetensors")
    images, expected = check["images"], check["logits"]
    (together,) = session.run(["logits"], {"images": images})
    alone = [session.run(["logits"], {"images": image[None]})[0][0] for image in images]
    assert together.shape == expected.shape, f"{folder}: {together.shape}, not {expected.shape}"
    found = numpy.stack([together, numpy.stack(alone)])
    between = numpy.abs(expected[1:] - expected[0]).max(axis=1).min()
    return numpy.abs(found - expected).max(), numpy.abs(expected).max(), between


def main():
    o = arguments()
    folders = sorted(path.parent for path in o.folder.glob("*/check.safetensors"))
    if not folders:
        sys.exit(f"compare_onnx.py: `{o.folder}` has no folder with a check.safetensors")
    print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, opset {o.opset}")
    print(f"{'network':16}{'difference':>12}{'largest logit':>15}{'between images':>16}{'diff./between':>15}")
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for folder in folders:
            most, scale, between = difference(o, folder, str(pathlib.Path(place) / "net.onnx"))
            rows.append((most, most / between, folder.name))
            print(f"{folder.name:16}{most:>12.2e}{scale:>15.3f}{between:>16.2e}{most / between:>15.2e}", flush=True)
    most, _, name = max(rows)
    relative = max(relative for _, relative, _ in rows)
    print(f"{len(rows)} networks; largest difference {most:.2e} ({name}), largest part of what lies between images {relative:.2e}")
    # Not `most > o.most`, which a NaN would pass.
    if not all(most <= o.most and relative <= 0.01 for most, relative, _ in rows):
        sys.exit(f"compare_onnx.py: more than {o.most}, or than a hundredth of what lies between images")


if __name__ == "__main__":
    main()
