#!/usr/bin/env python3
"""Run the examples of docs/timm.md and docs/onnx.md as they stand there, with a trained network.

The fine-tuning script tunes on a small folder of images, and what it saves is imported and evaluated; the Python and the
Rust that classify with an ONNX file must say what `creamery predict` says, but where two classes are nearly as likely: images are
resized within a level of Pillow. The Rust is compiled as a package of its own, with the
dependencies that the page names.

The network must be one of colour images. Needs: pip install torch torchvision timm safetensors onnxruntime numpy pillow;
cargo build --release.  Example:
  python bench/run_docs.py runs/retrain-fashion-mnist-1
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a run's folder or a model.safetensors")
    parser.add_argument("--creamery", type=pathlib.Path, default=ROOT / "target/release/creamery", help="the program")
    parser.add_argument("--steps", type=int, default=20, help="of fine-tuning")
    parser.add_argument("--rust-target", help="build folder of the Rust example")
    return parser.parse_args()


def block(page, language):
    """The only block of a language on a page."""
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert len(found) == 1, f"{page} has {len(found)} blocks of {language}"
    return found[0]


def run(*command, cwd, env=None):
    command = [str(word) for word in command]
    done = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"run_docs.py: failed with exit code {done.returncode}: {' '.join(command)}")
    return done.stdout


def pictures(folder, side, mode):
    """Noise on bright and on dark ground, of many sizes; and one image of exactly the network's."""
    rng = numpy.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        for name, level in (("bright", 160), ("dark", 20)):
            place = folder / split / name
            place.mkdir(parents=True)
            for i in range(count):
                size = rng.integers(side, 3 * side, 2)
                pixels = rng.integers(level, level + 90, (*size, 3), dtype=numpy.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png")
    exact = rng.integers(0, 256, (side, side, 3), dtype=numpy.uint8)
    Image.fromarray(exact).convert(mode).save(folder / "exact.png")


def tuned(o, place, images):
    """Fine-tunes an export by the page's script, imports the result by the line that it prints, and evaluates it."""
    export = place / "a timm export"
    run(o.creamery, "-q", "export", o.model, "--format", "timm", "--out", export, cwd=place)
    (export / "finetune.py").write_text(block("timm.md", "python"))
    said = run(sys.executable, "finetune.py", images, o.steps, cwd=export).splitlines()
    losses = [float(line.split()[-1]) for line in said[:-1]]
    line = said[-1].split()
    assert line[:2] == ["creamery", "import"], said[-1]
    run(o.creamery, "-q", *line[1:], cwd=export)
    answer = run(o.creamery, "--json", "-q", "eval", "tuned-model.safetensors", "--data", f"folder:{images}", cwd=export)
    return losses, json.loads(answer)["top1"]


def main():
    o = arguments()
    o.creamery = o.creamery.resolve()
    o.model = pathlib.Path(o.model).resolve()
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        net = place / "net.onnx"
        about = json.loads(run(o.creamery, "--json", "-q", "export", o.model, "--format", "onnx", "--out", net, cwd=place))
        _, channels, side, _ = about["input"]["shape"]
        images = place / "some images"
        pictures(images, side, "L" if channels == 1 else "RGB")
        files = sorted(images.glob("*/*/*.png")) + [images / "exact.png"]
        predicted = json.loads(run(o.creamery, "--json", "-q", "predict", o.model, *files, cwd=place))
        own = [prediction["classes"] for prediction in predicted["predictions"]]

        (place / "classify.py").write_text(block("onnx.md", "python"))
        said = [run(sys.executable, "classify.py", net, file, cwd=place) for file in files]
        other = [(text, classes) for text, classes in zip(said, own) if text.split(" (logit")[0] != classes[0]["class"]]
        for text, (first, second, *_) in other:
            assert first["probability"] - second["probability"] < 0.1, (text, first, second)
        print(f"docs/onnx.md in Python: {len(files)} images, all but {len(other)} with the class of creamery predict")

        package = place / "classify"
        (package / "src").mkdir(parents=True)
        (package / "src/main.rs").write_text(block("onnx.md", "rust"))
        wanted = re.search(r"^With (`tract-onnx = .*`);", (ROOT / "docs/onnx.md").read_text(), re.MULTILINE)
        needs = "\n".join(re.findall(r"`([^`]*)`", wanted.group(1)))
        (package / "Cargo.toml").write_text(f'[package]\nname = "classify"\nedition = "2024"\n[dependencies]\n{needs}\n')
        env = dict(os.environ, CARGO_TARGET_DIR=o.rust_target or str(place / "target"))
        rust = run("cargo", "run", "-q", "--release", "--", net, images / "exact.png", cwd=package, env=env)
        assert rust == said[-1], (rust, said[-1])
        print(f"docs/onnx.md in Rust: {rust.strip()}, as in Python")

        losses, top1 = tuned(o, place, images)
        print(f"docs/timm.md: loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps; {top1:.2f}% of the images after the import")


if __name__ == "__main__":
    main()
