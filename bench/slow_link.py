#!/usr/bin/env python3
"""A slow link between two network namespaces: what goes in at one end comes out at the other, no faster than --mbit and --delay-ms later.

    python3 bench/slow_link.py --mbit 100 --delay-ms 5 creamery-a=10.231.0.1 creamery-b=10.231.0.2

Needs root and /dev/net/tun, but no queueing discipline of the kernel, which small kernels lack. Prints `ready` when both ends are up, and the
bytes of each direction when it is ended. Packets wait in a queue of any length, as TCP sees a switch with large buffers.
"""

import argparse
import ctypes
import fcntl
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
MTU = 9000


def end_of(namespace, address):
    """A TUN device in a namespace: the file of its packets."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter namespace {namespace}")
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"link0", IFF_TUN | IFF_NO_PI))
    for command in (f"address add {address}/24 dev link0", f"link set link0 mtu {MTU} up"):
        subprocess.run(["ip", *command.split()], check=True)
    return tun


class Way(threading.Thread):
    """One direction: reads, and hands over what is due."""

    def __init__(self, source, sink, bytes_per_second, delay):
        super().__init__(daemon=True)
        self.source, self.sink = source, sink
        self.rate, self.delay = bytes_per_second, delay
        self.sent, self.due = 0, queue.SimpleQueue()
        threading.Thread(target=self.deliver, daemon=True).start()

    def run(self):
        free = 0.0
        while True:
            packet = os.read(self.source, 65536)
            self.sent += len(packet)
            free = max(free, time.monotonic()) + len(packet) / self.rate
            self.due.put((free + self.delay, packet))

    def deliver(self):
        while True:
            when, packet = self.due.get()
            wait = when - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            try:
                os.write(self.sink, packet)
            except OSError:
                pass  # the namespace is going


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbit", type=float, default=100.0)
    parser.add_argument("--delay-ms", type=float, default=5.0)
    parser.add_argument("ends", nargs=2, metavar="NAMESPACE=ADDRESS")
    args = parser.parse_args()
    tuns = [end_of(*end.split("=")) for end in args.ends]
    rate, delay = args.mbit * 1e6 / 8, args.delay_ms / 1e3
    ways = [Way(tuns[0], tuns[1], rate, delay), Way(tuns[1], tuns[0], rate, delay)]
    for way in ways:
        way.start()
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    print(f"bytes over the link: {ways[0].sent} one way, {ways[1].sent} the other", file=sys.stderr)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
