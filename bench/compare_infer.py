#!/usr/bin/env python3
"""Compare the time of inference with onnxruntime: one image, alternating rounds, medians.

Needs: pip install numpy onnxruntime; cargo build --release.  Example:
  cargo run --release -p creamery-export --example random_models -- random-models 1
  python bench/compare_infer.py random-models/cream-287/model.safetensors
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model.safetensors")
    parser.add_argument("--creamery", default=ROOT / "target/release/creamery", help="the program")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=40, help="of each in a round")
    return parser.parse_args()


def creamery(o, *words):
    command = [o.creamery, "--threads", o.threads, "--json", *words]
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return json.loads(done.stdout)


def main():
    o = arguments()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = o.threads
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/net.onnx"
        exported = creamery(o, "export", o.model, "--format", "onnx", "--out", file)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        architecture = pathlib.Path(folder, "arch.json")
        architecture.write_text(json.dumps(exported["architecture"]))
        _, channels, side, _ = exported["input"]["shape"]
        classes = exported["output"]["shape"][1]
        image = numpy.random.default_rng(0).standard_normal((1, channels, side, side), numpy.float32)
        pairs = []
        for turn in range(o.rounds):
            sizes = ["--classes", classes, "--channels", channels, "--rounds", o.runs]
            own = creamery(o, "bench", "infer", architecture, *sizes)["infer_ms"]
            times = []
            for run in range(o.runs + 3):
                start = time.perf_counter()
                session.run(None, {"images": image})
                times.append(time.perf_counter() - start)
            pairs.append((own, 1e3 * statistics.median(times[3:])))
            print(f"round {turn + 1}: creamery {pairs[-1][0]:.2f} ms, onnxruntime {pairs[-1][1]:.2f} ms", file=sys.stderr)
    own, other = (statistics.median(side) for side in zip(*pairs))
    ratios = sorted(b / a for a, b in pairs)
    print(
        f"creamery {own:.2f} ms, onnxruntime {onnxruntime.__version__} {other:.2f} ms: "
        f"{statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()
