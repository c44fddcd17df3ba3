#!/usr/bin/env python3
"""The cost model of docs/cluster.md: what a step takes on n ranks.

    python3 bench/cluster_cost.py --fixed 2 --image 0.6 --latency 0.02 --bandwidth 1200 --floats 250000 --batch 1024 --ranks 1,16,64,512

`--fixed` and `--image` are milliseconds of a rank's step at no image and for each image (two runs of different batch give them), `--latency` (ms)
and `--bandwidth` (MB/s) what `creamery bench ranks --mpi` says, `--floats` what a step sums: parameters and running statistics of a path.
"""

import argparse
import math

BUCKET = 1 << 20  # bytes, creamery_train::collective::BUCKET
BACKWARD = 2 / 3  # share of a step's computing


def sum_ms(size, ranks, latency, bandwidth):
    """One sum of `size` bytes: reduce-scatter and all-gather, each log2(n) exchanges."""
    exchanges = math.ceil(math.log2(ranks))
    return 2 * exchanges * latency + 2 * (ranks - 1) / ranks * size / (bandwidth * 1e3)


def step_ms(ranks, batch, fixed, image, latency, bandwidth, floats):
    """Computing, and what is left of the sums when it is done."""
    compute = fixed + image * batch / ranks
    if ranks == 1:
        return compute, 0.0
    size = 4 * floats
    buckets = [BUCKET] * (size // BUCKET) + [size % BUCKET]
    done, filled = 0.0, 0
    for bucket in buckets:
        filled += bucket
        # A bucket begins when the backward pass has found its gradients; the last at the end.
        begins = compute * (1 - BACKWARD) + compute * BACKWARD * filled / size
        done = max(done, begins) + sum_ms(bucket, ranks, latency, bandwidth)
    return compute, done - compute


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in [("fixed", 0.0), ("image", 1.0), ("latency", 0.05), ("bandwidth", 1000.0)]:
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--floats", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True, help="images of a step on all ranks; with --each, on each")
    parser.add_argument("--each", action="store_true", help="the batch grows with the ranks")
    parser.add_argument("--ranks", default="1,16,64,512")
    args = parser.parse_args()
    print("ranks  compute ms  sums ms  step ms  images/s  efficiency")
    first = None
    for ranks in map(int, args.ranks.split(",")):
        batch = args.batch * ranks if args.each else args.batch
        compute, sums = step_ms(ranks, batch, args.fixed, args.image, args.latency, args.bandwidth, args.floats)
        step = compute + sums
        rate = batch / step * 1e3
        first = first or rate / ranks
        print(f"{ranks:5}  {compute:10.1f}  {sums:7.1f}  {step:7.1f}  {rate:8.0f}  {rate / ranks / first:9.0%}")


if __name__ == "__main__":
    main()
