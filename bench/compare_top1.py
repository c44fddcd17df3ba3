#!/usr/bin/env python3
"""Hold onnxruntime's classes to those of `creamery eval`, image by image.

MODEL is a trained network for Fashion-MNIST or MNIST, DATA the folder of the test set's IDX files (plain or .gz).
It is exported; the test images are prepared as the ONNX file's metadata say and run in onnxruntime; the classes are
compared with those of `creamery eval --predictions`. Exits with 1 if any image differs.

Needs: pip install numpy onnxruntime; cargo build --release.  Example:
  python bench/top1_onnx.py runs/retrain-fashion-mnist-1 /usr/share/datasets/fashion-mnist
"""
import argparse
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--source", default="fashion-mnist", help="the data's name for creamery: fashion-mnist, mnist")
    parser.add_argument("--creamery", default=ROOT / "target/release/creamery", help="the program")
    parser.add_argument("--opset", type=int, default=17)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime")
    return parser.parse_args()


def creamery(o, *words):
    command = [str(word) for word in (o.creamery, "--json", "-q", *words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"top1_onnx.py: failed with exit code {done.returncode}: {' '.join(command)}")
    return json.loads(done.stdout)


def idx(folder, name):
    """An IDX file of bytes."""
    plain, packed = folder / name, folder / f"{name}.gz"
    data = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    shape = numpy.frombuffer(data, ">u4", data[3], 4)
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(shape)


def main():
    o = arguments()
    images, labels = idx(o.data, "t10k-images-idx3-ubyte"), idx(o.data, "t10k-labels-idx1-ubyte")
    with tempfile.TemporaryDirectory() as place:
        file, table = f"{place}/net.onnx", f"{place}/predicted.csv"
        creamery(o, "export", o.model, "--format", "onnx", "--opset", o.opset, "--out", file)
        source = f"{o.source}:{o.data}"
        answer = creamery(o, "eval", o.model, "--data", source, "--predictions", table)
        own = numpy.loadtxt(table, delimiter=",", skiprows=1, dtype=int)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = o.threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    if not int(about["shorter_side"]) == int(about["resolution"]) == images.shape[1] == images.shape[2]:
        sys.exit("top1_onnx.py: this network wants the images resized, which this script does not do")
    mean, std = (numpy.array(json.loads(about[key]), numpy.float32) for key in ("mean", "std"))
    pixels = (images[:, None].astype(numpy.float32) / 255 - mean[:, None, None]) / std[:, None, None]
    logits = [
        session.run(["logits"], {"images": pixels[at : at + o.batch]})[0]
        for at in range(0, len(pixels), o.batch)
    ]
    found = numpy.concatenate(logits).argmax(axis=1)
    assert (own[:, 0] == numpy.arange(len(labels))).all() and (own[:, 1] == labels).all()
    right = {"onnxruntime": int((found == labels).sum()), "creamery": int((own[:, 2] == labels).sum())}
    # eval's own figure is a percentage of the same count.
    assert abs(answer["top1"] - 100 * right["creamery"] / len(labels)) < 1e-9, answer["top1"]
    for name, count in right.items():
        print(f"{name:12} {count} of {len(labels)} right, {100 * count / len(labels):.2f}% top-1")
    others = int((found != own[:, 2]).sum())
    print(f"{others} images get another class")
    if others:
        sys.exit(1)


if __name__ == "__main__":
    main()
