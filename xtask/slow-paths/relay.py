"""A path between two TUN devices: rate, queue, delay and loss, both ways.

    relay.py --devices A B --rate BYTES_PER_SECOND --delay SECONDS --queue BYTES --loss SHARE

`--delay` is the round trip's; half of it is added each way, behind the bottleneck. The devices go
away with the process. It prints `ready` when they are there; the caller moves each into the network
namespace of an end. What a device sends has left the kernel of its end, as with a router on the way:
a qdisc such as tbf on the sender's own device would hold it there, within TCP's small queues.
"""

import argparse
import collections
import fcntl
import os
import random
import select
import struct
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
PACKET = 65536


def device(name):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


class Direction:
    def __init__(self, source, sink, options):
        self.source, self.sink, self.options = source, sink, options
        self.idle_from = 0.0  # when the bottleneck has sent all that it holds
        self.due = collections.deque()  # (when, packet)

    def take(self, now):
        """Queues what lies at the source."""
        while True:
            try:
                packet = os.read(self.source, PACKET)
            except BlockingIOError:
                return
            except OSError:
                return  # the device is not up
            if self.options.loss and random.random() < self.options.loss:
                continue
            start = max(now, self.idle_from)
            if (start - now) * self.options.rate > self.options.queue:
                continue
            self.idle_from = start + len(packet) / self.options.rate
            self.due.append((self.idle_from + self.options.delay / 2, packet))

    def give(self, now):
        """Delivers what is due."""
        while self.due and self.due[0][0] <= now:
            packet = self.due.popleft()[1]
            try:
                os.write(self.sink, packet)
            except OSError:
                pass  # lost: the device is not up, or its queue is full


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", nargs=2, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--delay", type=float, required=True)
    parser.add_argument("--queue", type=float, required=True)
    parser.add_argument("--loss", type=float, default=0.0)
    options = parser.parse_args()
    one, other = map(device, options.devices)
    directions = [Direction(one, other, options), Direction(other, one, options)]
    print("ready", flush=True)
    while True:
        times = [direction.due[0][0] for direction in directions if direction.due]
        wait = max(0.0, min(times) - time.monotonic()) if times else None
        select.select([one, other], [], [], wait)
        now = time.monotonic()
        for direction in directions:
            direction.take(now)
            direction.give(now)


main()
