# SPDX-License-Identifier: Apache-2.0
"""Pulls into directories that have other files of equal sample, partial files, or copies with a flipped byte. After
exit code 0 the copy has the server's bytes.

Environment: TENSORFERRY_TEST_VARIANTS: number of variants of a test (default 100, 10 with sanitizers)
"""

import dataclasses
import itertools
import os
import pathlib
import re
import shutil
import sys
import unittest
from collections.abc import Iterator

import numpy

import harness
from cutting_proxy import CuttingProxy
from metrics_text import scrape, total
from tensor_files import TensorToWrite, header_bytes

VARIANTS = int(os.environ.get("TENSORFERRY_TEST_VARIANTS", "10" if harness.SANITIZED else "100"))
# Models of one server: they are in memory, and on disk several times.
BATCH = 25
NAME = "m.safetensors"
BLOCK = 1 << 20
ADMIN = ("--admin-listen", "127.0.0.1:0")


def sampled_ranges(size: int) -> list[tuple[int, int]]:
    """Returns the ranges of a tensor that a digest covers: all of a small one, else four evenly spread runs."""
    if size <= 1024:
        return [(0, size)]
    begins = [(size - 256) // 3 * i for i in range(3)] + [size - 256]
    return [(begin, begin + 256) for begin in begins]


def equal_blocks(a: bytes, b: bytes) -> int:
    """Returns the bytes in the whole blocks that `a` and `b` both begin with. The last block of `b` may be shorter."""
    agreeing = 0
    while agreeing < len(b):
        block = b[agreeing:agreeing + BLOCK]
        if a[agreeing:agreeing + len(block)] != block:
            break
        agreeing += len(block)
    return agreeing


def flipped(data: bytes, position: int) -> bytes:
    """Returns the data with a different byte at `position`."""
    return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1:]


@dataclasses.dataclass(frozen=True)
class Variant:
    """Two files with equal samples and different bytes: the model `name` of two servers."""
    name: str
    old: bytes
    new: bytes


class PullIdentityTest(harness.EndToEndTest):

    def setUp(self) -> None:
        super().setUp()
        self.random = harness.random_source(self.id())
        self.generator = numpy.random.default_rng(self.random.randrange(1 << 32))
        self.targets = itertools.count()

    # Files

    def make_variant(self, name: str) -> Variant:
        """Returns files of 3 to 5 MiB with large and small tensors. No tensor begins at a block."""
        sizes = [self.random.randrange(2 << 20, 4 << 20), 1000, self.random.randrange(1025, 1 << 19), 1, 1 << 19]
        tensors = [TensorToWrite(f"t{i}", "U8", (size,), self.generator.bytes(size)) for i, size in enumerate(sizes)]
        self.random.shuffle(tensors)
        header = header_bytes(tensors)
        old = header + b"".join(tensor.data for tensor in tensors)
        sampled = numpy.zeros(len(old), bool)
        sampled[:len(header)] = True
        begin = len(header)
        for tensor in tensors:
            for first, last in sampled_ranges(len(tensor.data)):
                sampled[begin + first:begin + last] = True
            begin += len(tensor.data)
        free = numpy.flatnonzero(~sampled)
        new = numpy.frombuffer(old, numpy.uint8).copy()
        count = 1 << self.random.randrange(11)
        if self.random.randrange(3):
            changed = self.generator.choice(free, count, replace=False)
        else:  # one edited row
            begin = self.random.randrange(len(free) - count)
            changed = free[begin:begin + count]
        new[changed] ^= self.generator.integers(1, 256, len(changed), numpy.uint8)
        return Variant(name, old, new.tobytes())

    def batches(self) -> Iterator[tuple[list[Variant], harness.Server, harness.Server]]:
        """Yields variants with the servers of their old and new files, whose generations are equal."""
        for first in range(0, VARIANTS, BATCH):
            variants = [self.make_variant(f"v{i}") for i in range(first, min(first + BATCH, VARIANTS))]
            roots = [self.temporary_directory(), self.temporary_directory()]
            for variant in variants:
                for root, data in zip(roots, (variant.old, variant.new), strict=True):
                    (root / variant.name).mkdir()
                    (root / variant.name / NAME).write_bytes(data)
            with harness.Server(roots[0]) as old_server, harness.Server(roots[1]) as new_server:
                generations = [{model["name"]: model["generation"] for model in self.cli_json("ls", server=server)}
                               for server in (old_server, new_server)]
                self.assertEqual(*generations)
                self.assertLessEqual({variant.name for variant in variants}, set(generations[0]))
                yield variants, old_server, new_server
            for root in roots:
                shutil.rmtree(root)

    def make_target(self) -> pathlib.Path:
        target = self.directory / f"target{next(self.targets)}"
        (target / ".tensorferry").mkdir(parents=True)
        return target

    @staticmethod
    def part(target: pathlib.Path) -> pathlib.Path:
        return target / f".tensorferry/{NAME}.part"

    # Pulls

    def pull(self, server: harness.Server, model: str, target: pathlib.Path) -> str:
        """Pulls successfully, and returns the line of the file."""
        lines = self.cli_succeeds("pull", model, target, server=server).decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith(f"{NAME}: "), lines)
        return lines[0].removeprefix(f"{NAME}: ")

    def resumed_at(self, said: str) -> int:
        """Returns the offset at which a pull began to fetch."""
        if said.startswith("fetched ("):
            return 0
        match = re.match(r"resumed at (\d+), fetched \(", said)
        self.assertIsNotNone(match, said)
        return int(match[1])

    def assert_copy(self, target: pathlib.Path, expected: bytes, what: object) -> None:
        self.assertTrue((target / NAME).read_bytes() == expected, f"{what}: other bytes than the server's")
        self.assertFalse(self.part(target).exists(), what)

    def test_old_copy_of_equal_sample_is_replaced(self) -> None:
        for variants, old_server, new_server in self.batches():
            for i, variant in enumerate(variants):
                target = self.make_target()
                if i % 2:
                    self.assertEqual(self.resumed_at(self.pull(old_server, variant.name, target)), 0)
                    self.assert_copy(target, variant.old, variant.name)
                else:
                    (target / NAME).write_bytes(variant.old)
                said = self.pull(new_server, variant.name, target)
                self.assertEqual(self.resumed_at(said), 0)
                self.assert_copy(target, variant.new, variant.name)
                self.assertEqual(self.pull(new_server, variant.name, target), "up to date")
                shutil.rmtree(target)

    def test_partial_file_of_another_file_of_equal_sample_is_kept_as_far_as_they_agree(self) -> None:
        kept = 0
        cut = 0
        for variants, _, new_server in self.batches():
            for variant in variants:
                target = self.make_target()
                size = self.random.choice([len(variant.old), self.random.randrange(1, len(variant.old)),
                                           self.random.randrange(1, len(variant.old))])
                self.part(target).write_bytes(variant.old[:size])
                if self.random.randrange(2):
                    (target / NAME).write_bytes(variant.old)
                expected = equal_blocks(variant.old[:size], variant.new)
                said = self.pull(new_server, variant.name, target)
                self.assertEqual(self.resumed_at(said), expected, (variant.name, size))
                self.assert_copy(target, variant.new, (variant.name, size))
                kept += expected > 0
                cut += expected < size // BLOCK * BLOCK
                shutil.rmtree(target)
        print(f"{VARIANTS} parts: something was kept of {kept}, something that was whole was dropped of {cut}",
              file=sys.stderr)
        if VARIANTS >= 20:
            self.assertGreater(kept, 0)
            self.assertGreater(cut, 0)

    def test_part_is_never_continued_with_bytes_of_another_replica(self) -> None:
        """The manifest is from one server, the data from another one whose file has an equal sample."""
        outcomes = {"failed": 0, "fetched": 0}
        for variants, old_server, new_server in self.batches():
            for variant in variants:
                target = self.make_target()
                self.part(target).write_bytes(variant.old[:self.random.randrange(BLOCK, 3 * BLOCK)])
                # The answers before the data are a few KiB.
                with CuttingProxy(old_server.address, [self.random.choice([20_000, 500_000, 1_200_000])]) as proxy:
                    result = self.run_cli("pull", variant.name, target, "--server",
                                          f"{proxy.address},{new_server.address}")
                if result.returncode == 0:
                    outcomes["fetched"] += 1
                    self.assertIn((target / NAME).read_bytes(), (variant.old, variant.new), variant.name)
                else:
                    outcomes["failed"] += 1
                    reason = result.stderr.splitlines()[-1]  # the last line follows the retries
                    self.assertRegex(reason, r"\Atensorferry: cannot pull .*(other bytes|differs)", result.stderr)
                    self.assertEqual(result.returncode, 1)
                    self.assertFalse((target / NAME).exists(), variant.name)
                    # The next pull succeeds.
                    self.pull(new_server, variant.name, target)
                    self.assert_copy(target, variant.new, variant.name)
                shutil.rmtree(target)
        print(f"{VARIANTS} pulls that changed servers: {outcomes}", file=sys.stderr)
        if VARIANTS >= 20:
            self.assertGreater(outcomes["failed"], 0)

    def serve_one(self) -> tuple[bytes, harness.Server]:
        """Starts a server with one file, the model "m", and an admin port."""
        data = self.make_variant("m").old
        root = self.temporary_directory()
        (root / "m").mkdir()
        (root / "m" / NAME).write_bytes(data)
        return data, self.serve(root, *ADMIN)

    def test_part_of_the_same_file_is_resumed(self) -> None:
        data, server = self.serve_one()
        sizes = [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, len(data) - 1, len(data)]
        sizes += [self.random.randrange(1, len(data)) for _ in range(5)]
        for size in sizes:
            with self.subTest(size=size):
                target = self.make_target()
                self.part(target).write_bytes(data[:size])
                before = self.sent_bytes(server)
                kept = len(data) if size == len(data) else size // BLOCK * BLOCK
                self.assertEqual(self.resumed_at(self.pull(server, "m", target)), kept)
                self.assert_copy(target, data, size)
                harness.wait_until(lambda sent=before + len(data) - kept: self.sent_bytes(server) == sent,
                                   "all to be counted")

    def test_part_that_is_longer_than_the_file_is_resumed(self) -> None:
        data, server = self.serve_one()
        target = self.make_target()
        self.part(target).write_bytes(data + b"more")
        self.assertEqual(self.resumed_at(self.pull(server, "m", target)), len(data))
        self.assert_copy(target, data, "longer")

    def test_part_with_a_flipped_byte_keeps_the_blocks_before_it(self) -> None:
        data, server = self.serve_one()
        positions = [0, BLOCK - 1, BLOCK, 2 * BLOCK, len(data) - 1]
        positions += [self.random.randrange(len(data)) for _ in range(10)]
        for position in positions:
            with self.subTest(position=position):
                target = self.make_target()
                self.part(target).write_bytes(flipped(data, position))
                kept = position // BLOCK * BLOCK
                self.assertEqual(self.resumed_at(self.pull(server, "m", target)), kept)
                self.assert_copy(target, data, position)

    def sent_bytes(self, server: harness.Server) -> float:
        return total(scrape(server), "tensorferry_sent_bytes_total")

    def test_equal_copy_is_up_to_date_whatever_its_times_and_no_data_is_sent(self) -> None:
        data, server = self.serve_one()
        pulled = self.make_target()
        self.pull(server, "m", pulled)
        self.assert_copy(pulled, data, "pulled")
        harness.wait_until(lambda: self.sent_bytes(server) == len(data), "all to be counted")

        written = self.make_target()
        (written / NAME).write_bytes(data)
        os.utime(written / NAME, ns=(1, 1))
        replaced = self.make_target()
        shutil.copy(pulled / NAME, replaced / "other")
        os.replace(replaced / "other", replaced / NAME)
        os.utime(pulled / NAME, ns=(10**18, 10**18))
        for target in (pulled, written, replaced):
            status = (target / NAME).stat()
            self.assertEqual(self.pull(server, "m", target), "up to date")
            self.assert_copy(target, data, target)
            after = (target / NAME).stat()
            self.assertEqual((after.st_ino, after.st_mtime_ns), (status.st_ino, status.st_mtime_ns))
        # The bytes of a call are counted at the latest when it ends.
        self.pull(server, "m", self.make_target())
        harness.wait_until(lambda: self.sent_bytes(server) >= 2 * len(data), "all to be counted")
        self.assertEqual(self.sent_bytes(server), 2 * len(data))

    def test_manifest_is_requested_once_for_a_copy_and_a_partial_file(self) -> None:
        data, server = self.serve_one()
        target = self.make_target()
        (target / NAME).write_bytes(flipped(data, len(data) - 1))
        self.part(target).write_bytes(data[:BLOCK])
        self.assertEqual(self.resumed_at(self.pull(server, "m", target)), BLOCK)
        self.assert_copy(target, data, "copy and partial file")
        # One call for the manifest, one for the data.
        self.assertEqual(total(scrape(server), "grpc_server_started_total", grpc_method="GetFile"), 2)

    def test_copy_with_a_flipped_byte_is_fetched_again(self) -> None:
        data, server = self.serve_one()
        for position in [0, len(data) - 1, *(self.random.randrange(len(data)) for _ in range(10))]:
            with self.subTest(position=position):
                target = self.make_target()
                self.pull(server, "m", target)
                status = (target / NAME).stat()
                with open(target / NAME, "r+b") as file:
                    file.seek(position)
                    file.write(flipped(data, position)[position:position + 1])
                os.utime(target / NAME, ns=(status.st_atime_ns, status.st_mtime_ns))
                self.assertEqual(self.resumed_at(self.pull(server, "m", target)), 0)
                self.assert_copy(target, data, position)


if __name__ == "__main__":
    unittest.main()
