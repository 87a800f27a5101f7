# SPDX-License-Identifier: Apache-2.0
"""Replacing files never removes a good model, never breaks a stream in flight, and never leaks."""

import os
import pathlib
import re
import signal
import time
import unittest

import grpc

import harness
import stock_client
from changing_root import ADMIN, BY_HINT, MIB, ChangingRootTest, constant, replace
from stock_client import pb
from tensor_files import TensorToWrite, data_offset, make_tensor, write_big_file, write_index, write_safetensors


class ReloadBrokenTest(ChangingRootTest):
    """Invalid replacements of good models, and streams in flight."""

    # Invalid replacements

    def test_invalid_replacement_keeps_the_previous_version_and_is_logged_once(self) -> None:
        path = self.root / "m/x.safetensors"
        write_safetensors(path, constant(1, 1000))
        write_safetensors(self.root / "other/x.safetensors", constant(9, 1000))
        server = self.start("--scan-interval", "1", *ADMIN)
        generation = self.generation("m")
        whole = path.read_bytes()
        for broken, reason in ((whole[:-1], "exceed"), (b"garbage", "too short"), (b"\xff" * 64, "the limit is")):
            replace(path, lambda temporary, b=broken: temporary.write_bytes(b))
            harness.wait_until(lambda r=reason: r in self.models()["m"].replacement_error, f"a reason with {reason}")
            model = self.models()["m"]
            self.assertEqual((model.state, model.generation), (pb.MODEL_STATE_READY, generation))
            self.assertIn("m/x.safetensors", model.replacement_error)
            self.assertEqual(model.error, "")
            self.assertEqual(set(self.fetch("m", generation=generation)), {1})
            self.assertEqual(set(self.fetch("other")), {9})
        [listed] = [model for model in self.cli_json("ls", server=server) if model["name"] == "m"]
        self.assertTrue(listed["ready"] and "the limit is" in listed["replacement_error"], listed)
        self.assertNotIn("error", listed)
        self.assertIn(b"ready, its replacement failed: ", self.cli_succeeds("ls", server=server))
        self.wait_for_scans(2)
        logged = [line for line in server.stderr().splitlines() if " error " in line]
        self.assertEqual(len(logged), 3, logged)
        self.write_and_wait(path, constant(2, 1000), "m")
        self.assertEqual(self.models()["m"].replacement_error, "")
        self.assertEqual(set(self.fetch("m")), {2})
        self.assertIn(f'model replaced model=m generation={self.generation("m")} tensors=1', server.stderr())

    def test_missing_shard_keeps_the_previous_version(self) -> None:
        for shard in (1, 2):
            write_safetensors(self.root / f"m/{shard}.safetensors",
                              [TensorToWrite(f"t{shard}", "U8", (9,), bytes([shard]) * 9)])
        write_index(self.root / "m/model.safetensors.index.json", {"t1": "1.safetensors", "t2": "2.safetensors"})
        self.start(*BY_HINT)
        (self.root / "m/2.safetensors").unlink()
        harness.wait_until(lambda: self.models()["m"].replacement_error, "the reason")
        self.assertIn("m/2.safetensors", self.models()["m"].replacement_error)
        self.assertEqual(self.fetch("m", "t2"), b"\2" * 9)

    def test_file_truncated_in_place_is_no_longer_served(self) -> None:
        path = self.root / "m.safetensors"
        write_safetensors(path, constant(1, 5000))
        self.start("--scan-interval", "1")
        os.truncate(path, 100)
        harness.wait_until(lambda: self.models()["m.safetensors"].state == pb.MODEL_STATE_FAILED, "it to fail")
        model = self.models()["m.safetensors"]
        self.assertTrue(model.error)
        self.assertEqual(model.replacement_error, "")
        with self.assertRaises(grpc.RpcError) as raised:
            self.fetch("m.safetensors")
        self.assertEqual(raised.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        write_safetensors(path, constant(2, 5000))
        harness.wait_until(lambda: self.models()["m.safetensors"].state == pb.MODEL_STATE_READY, "it to be ready")
        self.assertEqual(set(self.fetch("m.safetensors")), {2})

    def test_models_of_a_missing_root_are_still_served(self) -> None:
        write_safetensors(self.root / "m/x.safetensors", constant(1, 1000))
        server = self.start("--scan-interval", "1", *ADMIN)
        away = self.directory / "away"
        os.rename(self.root, away)
        harness.wait_until(lambda: "cannot be scanned" in server.stderr(), "the error")
        self.wait_for_scans(2)
        self.assertEqual(server.stderr().count("cannot be scanned"), 1, server.stderr())
        self.assertEqual(set(self.fetch("m")), {1})
        os.rename(away, self.root)
        harness.wait_until(lambda: "can be scanned again" in server.stderr(), "the scan to succeed again")
        self.assertEqual(set(self.fetch("m")), {1})

    # Streams in flight

    def test_stream_in_flight_finishes_with_the_old_bytes(self) -> None:
        path = self.root / "big.safetensors"
        write_big_file(path, "big", 64 * MIB, self.generator)
        with open(path, "rb") as file:
            file.seek(data_offset(path))
            old = file.read()
        self.start(*BY_HINT)
        for change in ("replaced", "deleted"):
            # The reader takes one message and waits: flow control keeps the rest in the server.
            messages = self.stub.GetTensor(pb.GetTensorRequest(model="big.safetensors", read=pb.Read(tensor="big")))
            received = [next(messages)]
            if change == "replaced":
                before = self.generation("big.safetensors")
                self.write_and_wait(path, [make_tensor("big", "U8", (64 * MIB,), self.generator)], "big.safetensors")
                self.assertEqual(received[0].chunk.header.generation, before)
            else:
                path.unlink()
                self.wait_for_models()
            received += messages
            self.assertTrue(bytes(stock_client.read_stream(received).data[0]) == old, change)
            if change == "replaced":
                old = self.fetch("big.safetensors", "big")

    def test_pages_of_two_generations_do_not_mix(self) -> None:
        path = self.root / "m/x.safetensors"

        def tensors(version: int) -> list[TensorToWrite]:
            return [TensorToWrite(name, "U8", (1,), bytes([version])) for name in ("a", "b", "c", "d:e")]

        write_safetensors(path, tensors(1))
        (self.root / "m/config.json").write_text("{}")
        self.start(*BY_HINT)
        page = self.stub.ListTensors(pb.ListTensorsRequest(model="m", page_size=2))
        next_tensors = pb.ListTensorsRequest(model="m", page_size=2, page_token=page.next_page_token)
        self.assertEqual([tensor.name for tensor in self.stub.ListTensors(next_tensors).tensors], ["c", "d:e"])
        page = self.stub.GetMetadata(pb.GetMetadataRequest(model="m", page_size=1))
        self.assertEqual([file.name for file in page.files], ["config.json"])
        next_files = pb.GetMetadataRequest(model="m", page_size=1, page_token=page.next_page_token)
        self.assertEqual([file.name for file in self.stub.GetMetadata(next_files).files], ["x.safetensors"])
        self.write_and_wait(path, tensors(2), "m")
        for call, request in ((self.stub.ListTensors, next_tensors), (self.stub.GetMetadata, next_files)):
            with self.assertRaises(grpc.RpcError) as raised:
                call(request)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.ABORTED)
            self.assertIn("first page", raised.exception.details())

    def test_descriptors_and_mappings_return_to_the_baseline(self) -> None:
        path = self.root / "m.safetensors"
        write_safetensors(path, constant(0, 2 * MIB))
        self.start(*BY_HINT)
        process = pathlib.Path(f"/proc/{self.server.pid}")

        def held() -> tuple[list[str], list[str]]:
            links = [os.readlink(link) for link in (process / "fd").iterdir() if os.path.lexists(link)]
            files = sorted(re.sub(r" \(deleted\)$", "", link) for link in links if not link.startswith("socket:"))
            maps = re.findall(r"\S*\.safetensors.*$", (process / "maps").read_text(), re.MULTILINE)
            return files, [re.sub(r" \(deleted\)$", "", mapped) for mapped in maps]

        self.assertEqual(set(self.fetch("m.safetensors")), {0})
        harness.wait_until(lambda: len(held()[1]) == 1, "one mapping")
        time.sleep(0.5)
        baseline = held()
        for replacement in range(1, 101):
            before = self.generation("m.safetensors")
            replace(path, lambda temporary, r=replacement: write_safetensors(temporary, constant(r, 2 * MIB)))
            # Some are replaced while they are read.
            messages = self.stub.GetTensor(pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t")))
            received = [next(messages)]
            self.server.process.send_signal(signal.SIGHUP)
            harness.wait_until(lambda b=before: self.generation("m.safetensors") != b, "another generation")
            received += messages
            self.assertEqual(len(set(stock_client.read_stream(received).data[0])), 1)
        self.assertEqual(set(self.fetch("m.safetensors")), {100})
        harness.wait_until(lambda: held() == baseline, f"{baseline}, not {held()}")


if __name__ == "__main__":
    unittest.main()
