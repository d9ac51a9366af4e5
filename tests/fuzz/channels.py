"""Feeds hostile bytes to both roles of Channel and Relay: `python -m tests.fuzz.channels --count 1000000`.

A piece is random bytes, or a frame of a real peer, as it was sealed or changed, repeated, cut, swapped, or
given to the wrong role. Anything but frames or ChannelError out of Channel, and any exception at all out of
Relay, is a crash. Prints its count; exits with 1 if there was a crash.
"""

import argparse
import random
import sys
import time
import traceback
from collections import Counter

from tfd.protocol.channel import MAX_FRAME, Channel, ChannelError, FrameType, Role, opening
from tfd.protocol.relay import Relay, State

CIPHER = "chacha20poly1305"
TICKET = bytes(16)


class Fuzz:
    """One run. `results` counts outcomes; `crashes` keeps tracebacks, the first ten."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a run must be repeatable
        self.results: Counter[str] = Counter()
        self.crashes: list[str] = []
        self.fed = 0

    def run(self, count: int) -> None:
        """Feed `count` pieces."""
        while self.fed < count:
            key = self.random.randbytes(32)
            sender = self.random.choice(list(Role))
            pieces = self.pieces(sender, key)[: count - self.fed]
            # Mostly the other end, so that the pieces get far; now and then the wrong one.
            role = sender.peer if self.random.random() < 0.9 else sender
            try:
                if self.random.random() < 0.5:
                    self.feed_channel(role, key, pieces)
                else:
                    self.feed_relay(role, key, pieces)
            except Exception:  # noqa: BLE001 - finding these is the purpose
                self.results["crash"] += 1
                if len(self.crashes) < 10:
                    self.crashes.append(traceback.format_exc())

    def pieces(self, sender: Role, key: bytes) -> list[bytes]:
        """Give what one hostile peer sends."""
        frames = self.real_frames(sender, key)
        return [self.mutated(frames) for _ in range(self.random.randrange(1, 12))]

    def real_frames(self, role: Role, key: bytes) -> list[bytes]:
        """Give some frames as a real peer of this role seals them."""
        peer = Channel(role, key, CIPHER)
        types = [FrameType.DATA] * self.random.randrange(4)
        first = [FrameType.OPENED] if role is Role.LOCATION else []
        last = self.random.choice([[], [FrameType.END], [FrameType.RESET], [FrameType.END, FrameType.RESET]])
        return [
            peer.seal(frame, self.random.randbytes(20) if frame is FrameType.DATA else b"")
            for frame in [*first, *types, *last]
        ] or [peer.seal(FrameType.REFUSED if role is Role.LOCATION else FrameType.END)]

    def mutated(self, frames: list[bytes]) -> bytes:
        """Give the next frame, or something like it."""
        dice = self.random.random()
        frame = frames.pop(0) if dice < 0.85 and len(frames) > 1 else self.random.choice(frames)
        if dice < 0.85:
            return frame
        if dice < 0.88:
            return frame[: self.random.randrange(len(frame))]
        if dice < 0.91:
            changed = bytearray(frame)
            changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
            return bytes(changed)
        if dice < 0.94:
            return self.random.randbytes(self.random.randrange(60))
        if dice < 0.97:
            length = self.random.choice([0, 15, 16, 17, 65552, 65553, 2**24 - 1])
            return bytes([self.random.randrange(7)]) + length.to_bytes(3, "big") + self.random.randbytes(20)
        return opening(self.random.randbytes(16)) + b"".join(frames)

    def feed_channel(self, role: Role, key: bytes, pieces: list[bytes]) -> None:
        """Give the pieces to a channel, until it refuses."""
        channel = Channel(role, key, CIPHER)
        for piece in pieces:
            self.fed += 1
            try:
                frames = channel.receive(piece)
            except ChannelError:
                self.results["channel refused"] += 1
                return
            self.results["channel opened frames" if frames else "channel waited"] += 1

    def feed_relay(self, role: Role, key: bytes, pieces: list[bytes]) -> None:
        """Give the pieces to a relay, with its own side doing something in between."""
        relay = Relay.open(TICKET, key, CIPHER) if role is Role.OPENER else Relay.answer(key, CIPHER)
        for piece in pieces:
            self.fed += 1
            relay.channel_received(piece)
            self.act(relay, role)
            held = sum(len(chunk) for chunk in [*relay.to_plain, *relay.to_channel])
            assert held < 4 * MAX_FRAME, f"{held} bytes are held"
            assert relay.state in State
            self.results[f"relay {relay.state.name}"] += 1
            if relay.done and self.random.random() < 0.5:
                return

    def act(self, relay: Relay, role: Role) -> None:
        """Do one thing that a driver may do now."""
        action = self.random.randrange(8)
        if action == 0 and relay.wants_plain:
            relay.plain_received(self.random.randbytes(self.random.randrange(1, 50)))
        elif action == 1 and relay.wants_plain:
            relay.plain_ended()
        elif action == 2 and relay.plain_is_open:
            relay.plain_reset()
        elif action == 3 and relay.is_opening and role is Role.LOCATION:
            relay.refused("no") if self.random.random() < 0.2 else relay.opened()
        elif action >= 4:
            relay.plain_sent(sum(len(chunk) for chunk in relay.to_plain))
            relay.channel_sent(sum(len(chunk) for chunk in relay.to_channel))


def main(arguments: list[str] | None = None) -> int:
    """Run, print the counts, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="number of pieces to feed")
    parser.add_argument("--seed", type=int, default=None, help="repeats a run")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    fuzz = Fuzz(seed)
    began = time.monotonic()
    fuzz.run(options.count)
    print(f"channels: {fuzz.fed} pieces in {time.monotonic() - began:.0f} s, seed {seed}")
    for name, number in sorted(fuzz.results.items()):
        print(f"  {number:>9} {name}")
    print(f"crashes: {fuzz.results['crash']}")
    for crash in fuzz.crashes:
        print(crash)
    return 1 if fuzz.crashes else 0


if __name__ == "__main__":
    sys.exit(main())
