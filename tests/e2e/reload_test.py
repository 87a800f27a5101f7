# SPDX-License-Identifier: Apache-2.0
"""A server follows what happens under its root: nobody gets a mixture, nothing good goes away, nothing leaks."""

import os
import pathlib
import re
import shutil
import signal
import threading
import time
import unittest
from collections.abc import Callable

import grpc
import numpy

import harness
import stock_client
from stock_client import pb
from tensor_files import TensorToWrite, data_offset, make_tensor, write_big_file, write_index, write_safetensors

MIB = 1 << 20

# Nothing is found by time within a test.
BY_HINT = ("--rescan-interval", "3600")


def replace(path: pathlib.Path, write: Callable[[pathlib.Path], object]) -> None:
    """Publishes a file as it should be done: `write` makes it beside its place, then it is renamed."""
    beside = path.with_name(f".{path.name}.new")
    write(beside)
    os.replace(beside, path)


def swap_link(link: pathlib.Path, target: str) -> None:
    """Points a link elsewhere in one step."""
    beside = link.with_name(f".{link.name}.new")
    beside.symlink_to(target)
    os.replace(beside, link)


def constant(version: int, size: int = 3 * MIB) -> list[TensorToWrite]:
    """A tensor every byte of which is the version."""
    return [TensorToWrite("t", "U8", (size,), bytes([version]) * size)]


class ReloadTest(harness.EndToEndTest):
    """Every test serves a root of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.root = self.directory / "root"
        self.root.mkdir()
        self.generator = numpy.random.default_rng(harness.SEED)

    def start(self, *options: str) -> harness.Server:
        self.server = self.serve(self.root, *options)
        self.stub = stock_client.connect(self.server.address)
        return self.server

    def models(self) -> dict[str, "pb.Model"]:
        return {model.name: model for model in self.stub.ListModels(pb.ListModelsRequest()).models}

    def wait_for_models(self, *names: str) -> None:
        harness.wait_until(lambda: set(self.models()) == set(names), f"the models to be {names}, not {self.models()}")

    def generation(self, model: str) -> str:
        return self.stub.GetMetadata(pb.GetMetadataRequest(model=model)).model.generation

    def fetch(self, model: str, tensor: str = "t", generation: str = "") -> bytes:
        request = pb.GetTensorRequest(model=model, tensor=tensor, generation=generation)
        return bytes(stock_client.read_stream(self.stub.GetTensor(request)).data[0])

    def write_and_wait(self, path: pathlib.Path, tensors: list[TensorToWrite], model: str) -> None:
        """Replaces a file and waits until the model has another generation."""
        before = self.generation(model)
        replace(path, lambda beside: write_safetensors(beside, tensors))
        harness.wait_until(lambda: self.generation(model) != before, f"another generation of {model}")

    # Publishing

    def test_fetches_during_replacements_are_of_one_version(self) -> None:
        path = self.root / "m.safetensors"
        write_safetensors(path, constant(0))
        self.start("--rescan-interval", "1")
        replaced = threading.Event()
        failures: list[str] = []
        versions: set[int] = set()
        fetches = [0] * 8
        aborted = [0] * 8

        def fetch_until_done(number: int) -> None:
            stub = stock_client.connect(self.server.address)
            generation = ""
            while not replaced.is_set() and not failures:
                request = pb.GetTensorRequest(model="m.safetensors", tensor="t", generation=generation)
                try:
                    stream = stock_client.read_stream(stub.GetTensor(request))
                except grpc.RpcError as error:
                    aborted[number] += 1
                    if error.code() != grpc.StatusCode.ABORTED or not generation:
                        failures.append(f"{error.code()}: {error.details()}")
                    generation = ""
                    continue
                found = set(stream.data[0])
                if len(found) != 1:
                    failures.append(f"a mixture of {found}")
                versions.update(found)
                fetches[number] += 1
                # Half of the clients demand what they had, as one does that resumes.
                generation = stream.header.generation if number % 2 else ""

        clients = [threading.Thread(target=fetch_until_done, args=(number,)) for number in range(8)]
        for client in clients:
            client.start()
        try:
            for version in range(1, 9):
                self.write_and_wait(path, constant(version), "m.safetensors")
                done = list(fetches)
                harness.wait_until(lambda d=done: failures or all(map(lambda a, b: a > b, fetches, d)),
                                   "every client to fetch once more")
        finally:
            replaced.set()
            for client in clients:
                client.join()
        self.assertEqual(failures, [])
        self.assertGreater(len(versions), 4)
        print(f"{sum(fetches)} fetches of {len(versions)} versions, {sum(aborted)} aborted")

    def test_link_is_swapped_as_kubernetes_does_it(self) -> None:
        names = ("1.safetensors", "2.safetensors", "model.safetensors.index.json")

        def write_version(version: int) -> str:
            folder = self.root / f"..v{version}"
            for shard in (1, 2):
                data = bytes([version]) * 1000
                write_safetensors(folder / f"{shard}.safetensors", [TensorToWrite(f"t{shard}", "U8", (1000,), data)])
            write_index(folder / names[2], {"t1": names[0], "t2": names[1]})
            return folder.name

        (self.root / "..data").symlink_to(write_version(1))
        for name in names:
            (self.root / name).symlink_to(f"..data/{name}")
        self.start(*BY_HINT)
        for version in range(2, 6):
            before = self.generation(".")
            swap_link(self.root / "..data", write_version(version))
            harness.wait_until(lambda b=before: self.generation(".") != b, "another generation")
            shutil.rmtree(self.root / f"..v{version - 1}")
            for tensor in ("t1", "t2"):
                self.assertEqual(self.fetch(".", tensor), bytes([version]) * 1000)
        self.assertEqual({name: model.state for name, model in self.models().items()}, {".": pb.MODEL_STATE_READY})

    def test_links_into_blobs_as_in_the_cache_of_hugging_face(self) -> None:
        repository = self.root / "models--org--name"

        def publish(revision: str, version: int) -> None:
            write_safetensors(repository / f"blobs/blob{version}", constant(version, 1000))
            snapshot = repository / "snapshots" / revision
            snapshot.mkdir(parents=True, exist_ok=True)
            link = snapshot / "model.safetensors"
            (swap_link if link.is_symlink() else lambda l, t: l.symlink_to(t))(link, f"../../blobs/blob{version}")
            (repository / "refs").mkdir(exist_ok=True)
            replace(repository / "refs/main", lambda beside: beside.write_text(revision))

        publish("aaaa", 1)
        self.start(*BY_HINT)
        first, second = (f"models--org--name/snapshots/{revision}" for revision in ("aaaa", "bbbb"))
        self.assertEqual(set(self.fetch(first)), {1})
        publish("bbbb", 2)
        self.wait_for_models(first, second)
        self.assertEqual((set(self.fetch(first)), set(self.fetch(second))), ({1}, {2}))
        before = self.generation(first)
        publish("aaaa", 3)
        harness.wait_until(lambda: self.generation(first) != before, "another generation")
        self.assertEqual((set(self.fetch(first)), set(self.fetch(second))), ({3}, {2}))
        shutil.rmtree(repository / "snapshots/aaaa")
        self.wait_for_models(second)

    def test_directories_are_renamed(self) -> None:
        for version in (1, 2):
            write_safetensors(self.root / f"v{version}/x.safetensors", constant(version, 100))
        self.start(*BY_HINT)
        os.rename(self.root / "v1", self.root / "old")
        self.wait_for_models("old", "v2")
        os.rename(self.root / "v2", self.root / "v1")
        self.wait_for_models("old", "v1")
        self.assertEqual((set(self.fetch("old")), set(self.fetch("v1"))), ({1}, {2}))

    def test_root_that_is_a_link_is_swapped(self) -> None:
        for version in (1, 2):
            write_safetensors(self.directory / f"release{version}/m.safetensors", constant(version, 100))
        self.root = self.directory / "current"
        self.root.symlink_to("release1")
        self.start(*BY_HINT)
        before = self.generation("m.safetensors")
        swap_link(self.root, "release2")
        harness.wait_until(lambda: self.generation("m.safetensors") != before, "another generation")
        self.assertEqual(set(self.fetch("m.safetensors")), {2})

    # What makes the server look

    def add_and_delete(self, look: Callable[[], object], seconds: float) -> None:
        write_safetensors(self.root / "a/x.safetensors", constant(1, 100))
        look()
        begin = time.monotonic()
        self.wait_for_models("a")
        self.assertEqual(set(self.fetch("a")), {1})
        # A directory that was not there when the server began is watched, too.
        write_safetensors(self.root / "new/deep/y.safetensors", constant(2, 100))
        look()
        self.wait_for_models("a", "new/deep")
        write_safetensors(self.root / "new/deep/z.safetensors", [TensorToWrite("u", "U8", (1,), b"x")])
        look()
        self.wait_for_models("a", "new/deep", "new/deep/y.safetensors", "new/deep/z.safetensors")
        shutil.rmtree(self.root / "new")
        look()
        self.wait_for_models("a")
        with self.assertRaises(grpc.RpcError) as raised:
            self.fetch("new/deep")
        self.assertEqual(raised.exception.code(), grpc.StatusCode.NOT_FOUND)
        shutil.rmtree(self.root / "a")
        look()
        self.wait_for_models()
        self.assertLess(time.monotonic() - begin, seconds)

    def test_new_and_deleted_models_are_found_by_hints(self) -> None:
        self.start(*BY_HINT)
        self.add_and_delete(lambda: None, harness.PATIENCE_SECONDS)

    def test_new_and_deleted_models_are_found_by_time(self) -> None:
        self.start("--rescan-interval", "1")
        self.add_and_delete(lambda: None, harness.PATIENCE_SECONDS)

    def test_sighup_makes_it_look(self) -> None:
        # What is written into a file that stays open gives no hint; neither does time.
        path = self.root / "m.safetensors"
        write_safetensors(path, constant(1, 100))
        server = self.start("--rescan-interval", "0")
        before = self.generation("m.safetensors")
        time.sleep(1)  # Until it has looked at what happened before it began to watch.
        with open(path, "r+b", buffering=0) as file:
            file.seek(data_offset(path))
            file.write(b"\2" * 100)
            time.sleep(1)
            self.assertEqual(self.generation("m.safetensors"), before)
            server.process.send_signal(signal.SIGHUP)
            harness.wait_until(lambda: self.generation("m.safetensors") != before, "another generation")
            self.assertEqual(set(self.fetch("m.safetensors")), {2})
        self.assertIn("SIGHUP", server.stderr())

    def test_sighup_while_it_drains_does_not_end_it(self) -> None:
        write_big_file(self.root / "big.safetensors", "big", 64 * MIB, self.generator)
        server = self.start()
        messages = self.stub.GetTensor(pb.GetTensorRequest(model="big.safetensors", tensor="big"))
        received = [next(messages)]
        server.terminate()
        harness.wait_until(lambda: "SIGTERM" in server.stderr(), "the server to say that it got SIGTERM")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        received += messages
        self.assertEqual(len(stock_client.read_stream(received).data[0]), 64 * MIB)
        server.stop()
        self.assertNotIn("cut off", server.stderr_at_end)

    # What is broken

    def test_broken_replacement_leaves_the_old_model_and_is_told_once(self) -> None:
        path = self.root / "m/x.safetensors"
        write_safetensors(path, constant(1, 1000))
        write_safetensors(self.root / "other/x.safetensors", constant(9, 1000))
        server = self.start("--rescan-interval", "1")
        generation = self.generation("m")
        whole = path.read_bytes()
        for broken, reason in ((whole[:-1], "exceed"), (b"garbage", "too few"), (b"\xff" * 64, "the limit is")):
            replace(path, lambda beside, b=broken: beside.write_bytes(b))
            harness.wait_until(lambda r=reason: r in self.models()["m"].state_reason, f"a reason with {reason}")
            model = self.models()["m"]
            self.assertEqual((model.state, model.generation), (pb.MODEL_STATE_READY, generation))
            self.assertIn("m/x.safetensors", model.state_reason)
            self.assertEqual(set(self.fetch("m", generation=generation)), {1})
            self.assertEqual(set(self.fetch("other")), {9})
        [listed] = [model for model in self.cli_json("ls", server=server) if model["name"] == "m"]
        self.assertTrue(listed["ready"] and "the limit is" in listed["reason"], listed)
        self.assertIn(b"ready, its replacement failed: ", self.cli_succeeds("ls", server=server))
        time.sleep(2.5)  # some scans, which have nothing new to say
        told = [line for line in server.stderr().splitlines() if " error " in line]
        self.assertEqual(len(told), 3, told)
        self.write_and_wait(path, constant(2, 1000), "m")
        self.assertEqual(self.models()["m"].state_reason, "")
        self.assertEqual(set(self.fetch("m")), {2})
        self.assertIn(f'model "m" replaced, generation {self.generation("m")}', server.stderr())

    def test_missing_shard_leaves_the_old_model(self) -> None:
        for shard in (1, 2):
            write_safetensors(self.root / f"m/{shard}.safetensors",
                              [TensorToWrite(f"t{shard}", "U8", (9,), bytes([shard]) * 9)])
        write_index(self.root / "m/model.safetensors.index.json", {"t1": "1.safetensors", "t2": "2.safetensors"})
        self.start(*BY_HINT)
        (self.root / "m/2.safetensors").unlink()
        harness.wait_until(lambda: self.models()["m"].state_reason, "the reason")
        self.assertIn("m/2.safetensors", self.models()["m"].state_reason)
        self.assertEqual(self.fetch("m", "t2"), b"\2" * 9)

    def test_file_truncated_in_place_is_not_served_any_more(self) -> None:
        path = self.root / "m.safetensors"
        write_safetensors(path, constant(1, 5000))
        self.start("--rescan-interval", "1")
        os.truncate(path, 100)
        harness.wait_until(lambda: self.models()["m.safetensors"].state == pb.MODEL_STATE_FAILED, "it to fail")
        with self.assertRaises(grpc.RpcError) as raised:
            self.fetch("m.safetensors")
        self.assertEqual(raised.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        write_safetensors(path, constant(2, 5000))
        harness.wait_until(lambda: self.models()["m.safetensors"].state == pb.MODEL_STATE_READY, "it to be ready")
        self.assertEqual(set(self.fetch("m.safetensors")), {2})

    def test_root_that_vanishes_leaves_all_as_it_was(self) -> None:
        write_safetensors(self.root / "m/x.safetensors", constant(1, 1000))
        server = self.start("--rescan-interval", "1")
        away = self.directory / "away"
        os.rename(self.root, away)
        harness.wait_until(lambda: "cannot be scanned" in server.stderr(), "the error")
        time.sleep(2.5)
        self.assertEqual(server.stderr().count("cannot be scanned"), 1, server.stderr())
        self.assertEqual(set(self.fetch("m")), {1})
        os.rename(away, self.root)
        harness.wait_until(lambda: "can be scanned again" in server.stderr(), "the good news")
        self.assertEqual(set(self.fetch("m")), {1})

    # What is in flight

    def test_stream_in_flight_finishes_with_the_old_bytes(self) -> None:
        path = self.root / "big.safetensors"
        write_big_file(path, "big", 64 * MIB, self.generator)
        with open(path, "rb") as file:
            file.seek(data_offset(path))
            old = file.read()
        self.start(*BY_HINT)
        for change in ("replaced", "deleted"):
            # The reader takes one message and waits: flow control holds the rest back in the server.
            messages = self.stub.GetTensor(pb.GetTensorRequest(model="big.safetensors", tensor="big"))
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

    def test_pages_of_two_generations_are_not_put_together(self) -> None:
        path = self.root / "m.safetensors"

        def tensors(version: int) -> list[TensorToWrite]:
            return [TensorToWrite(name, "U8", (1,), bytes([version])) for name in ("a", "b", "c", "d:e")]

        write_safetensors(path, tensors(1))
        self.start(*BY_HINT)
        page = self.stub.ListTensors(pb.ListTensorsRequest(model="m.safetensors", page_size=2))
        request = pb.ListTensorsRequest(model="m.safetensors", page_size=2, page_token=page.next_page_token)
        self.assertEqual([tensor.name for tensor in self.stub.ListTensors(request).tensors], ["c", "d:e"])
        self.write_and_wait(path, tensors(2), "m.safetensors")
        with self.assertRaises(grpc.RpcError) as raised:
            self.stub.ListTensors(request)
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
            replace(path, lambda beside, r=replacement: write_safetensors(beside, constant(r, 2 * MIB)))
            # Some of them while they are read.
            messages = self.stub.GetTensor(pb.GetTensorRequest(model="m.safetensors", tensor="t"))
            received = [next(messages)]
            self.server.process.send_signal(signal.SIGHUP)
            harness.wait_until(lambda b=before: self.generation("m.safetensors") != b, "another generation")
            received += messages
            self.assertEqual(len(set(stock_client.read_stream(received).data[0])), 1)
        self.assertEqual(set(self.fetch("m.safetensors")), {100})
        harness.wait_until(lambda: held() == baseline, f"{baseline}, not {held()}")


if __name__ == "__main__":
    unittest.main()
