#!/usr/bin/env python3
"""Hold the classes of onnxruntime and of timm to those of `creamery eval`, image by image.

MODEL is a trained network for Fashion-MNIST or MNIST, DATA the folder of the test set's IDX files (plain or .gz).
It is exported; the test images are prepared as the ONNX file's metadata say and run in onnxruntime, and as model.json says in
timm's network by the README's code; the classes are compared with those of `creamery eval --predictions`. Exits with 1 if any image
differs.

Needs: pip install numpy onnxruntime torch timm safetensors; cargo build --release.  Example:
  python bench/compare_top1.py runs/retrain-fashion-mnist-1 /usr/share/datasets/fashion-mnist
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
import torch

from compare_timm import built

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
    parser.add_argument("--threads", type=int, default=1, help="of onnxruntime and PyTorch")
    return parser.parse_args()


def creamery(o, *words):
    command = [str(word) for word in (o.creamery, "--json", "-q", *words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"compare_top1.py: failed with exit code {done.returncode}: {' '.join(command)}")
    return json.loads(done.stdout)


def idx(folder, name):
    """An IDX file of bytes."""
    plain, packed = folder / name, folder / f"{name}.gz"
    data = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    shape = numpy.frombuffer(data, ">u4", data[3], 4)
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(shape)


def prepared(images, about):
    """The images as `resolution`, `shorter_side`, `mean` and `std` say."""
    if not about["shorter_side"] == about["resolution"] == images.shape[1] == images.shape[2]:
        sys.exit("compare_top1.py: this network wants the images resized, which this script does not do")
    mean, std = (numpy.array(about[key], numpy.float32)[:, None, None] for key in ("mean", "std"))
    return (images[:, None].astype(numpy.float32) / 255 - mean) / std


def batches(o, pixels):
    return (pixels[at : at + o.batch] for at in range(0, len(pixels), o.batch))


def onnx_classes(o, images, place):
    file = f"{place}/net.onnx"
    creamery(o, "export", o.model, "--format", "onnx", "--opset", o.opset, "--out", file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = o.threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map
    about = {key: json.loads(text[key]) for key in ("shorter_side", "resolution", "mean", "std")}
    logits = [session.run(["logits"], {"images": x})[0] for x in batches(o, prepared(images, about))]
    return numpy.concatenate(logits).argmax(axis=1)


def timm_classes(o, images, place):
    folder = pathlib.Path(place, "timm")
    creamery(o, "export", o.model, "--format", "timm", "--out", folder)
    said = json.loads((folder / "model.json").read_text())["input"]
    about = dict(said, shorter_side=said["resize"], resolution=said["input_size"][1])
    torch.set_num_threads(o.threads)
    net = built(folder)
    with torch.no_grad():
        logits = [net(torch.from_numpy(x)).numpy() for x in batches(o, prepared(images, about))]
    return numpy.concatenate(logits).argmax(axis=1)


def main():
    o = arguments()
    images, labels = idx(o.data, "t10k-images-idx3-ubyte"), idx(o.data, "t10k-labels-idx1-ubyte")
    with tempfile.TemporaryDirectory() as place:
        table = f"{place}/predicted.csv"
        answer = creamery(o, "eval", o.model, "--data", f"{o.source}:{o.data}", "--predictions", table)
        own = numpy.loadtxt(table, delimiter=",", skiprows=1, dtype=int)
        found = {
            "creamery": own[:, 2],
            "onnxruntime": onnx_classes(o, images, place),
            "timm": timm_classes(o, images, place),
        }
    assert (own[:, 0] == numpy.arange(len(labels))).all() and (own[:, 1] == labels).all()
    # eval's own figure is a percentage of the same count.
    assert abs(answer["top1"] - 100 * (own[:, 2] == labels).mean()) < 1e-9, answer["top1"]
    others = 0
    for name, classes in found.items():
        right, other = int((classes == labels).sum()), int((classes != own[:, 2]).sum())
        others += other
        share = 100 * right / len(labels)
        print(f"{name:12} {right} of {len(labels)} right, {share:.2f}% top-1, {other} images get another class than creamery's")
    if others:
        sys.exit(1)


if __name__ == "__main__":
    main()
