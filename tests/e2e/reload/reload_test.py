# SPDX-License-Identifier: Apache-2.0
"""A server follows the changes under its root, and no client gets a mixture of two versions."""

import os
import shutil
import signal
import threading
import unittest

import grpc

import harness
import stock_client
from changing_root import ADMIN, BY_HINT, MIB, ChangingRootTest, constant, replace, swap_link
from stock_client import pb
from tensor_files import TensorToWrite, data_offset, write_big_file, write_index, write_safetensors


class ReloadTest(ChangingRootTest):
    """Ways to publish models, and triggers of a scan."""

    # Publishing

    def test_fetches_during_replacements_are_of_one_version(self) -> None:
        path = self.root / "m.safetensors"
        write_safetensors(path, constant(0))
        self.start("--scan-interval", "1")
        replaced = threading.Event()
        failures: list[str] = []
        versions: set[int] = set()
        fetches = [0] * 8
        aborted = [0] * 8

        def fetch_until_done(number: int) -> None:
            stub = stock_client.connect(self.server.address)
            generation = ""
            while not replaced.is_set() and not failures:
                request = pb.GetTensorRequest(model="m.safetensors", read=pb.Read(tensor="t"), generation=generation)
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
                # Half of the clients require the generation of their last fetch, like a client that resumes.
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
            replace(repository / "refs/main", lambda temporary: temporary.write_text(revision))

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

    # Triggers of a scan

    def add_and_delete(self) -> None:
        write_safetensors(self.root / "a/x.safetensors", constant(1, 100))
        self.wait_for_models("a")
        self.assertEqual(set(self.fetch("a")), {1})
        # A directory that is created later is monitored, too.
        write_safetensors(self.root / "new/deep/y.safetensors", constant(2, 100))
        self.wait_for_models("a", "new/deep")
        write_safetensors(self.root / "new/deep/z.safetensors", [TensorToWrite("u", "U8", (1,), b"x")])
        self.wait_for_models("a", "new/deep", "new/deep/y.safetensors", "new/deep/z.safetensors")
        shutil.rmtree(self.root / "new")
        self.wait_for_models("a")
        with self.assertRaises(grpc.RpcError) as raised:
            self.fetch("new/deep")
        self.assertEqual(raised.exception.code(), grpc.StatusCode.NOT_FOUND)
        shutil.rmtree(self.root / "a")
        self.wait_for_models()

    def test_new_and_deleted_models_are_found_by_notifications(self) -> None:
        self.start(*BY_HINT)
        self.add_and_delete()

    def test_new_and_deleted_models_are_found_by_time(self) -> None:
        self.start("--scan-interval", "1")
        self.add_and_delete()

    def test_sighup_triggers_a_scan(self) -> None:
        # Writing into a file that stays open causes no notification, and there is no scan interval.
        path = self.root / "m.safetensors"
        write_safetensors(path, constant(1, 100))
        server = self.start("--scan-interval", "0", *ADMIN)
        before = self.generation("m.safetensors")
        harness.wait_until(lambda: self.scans() == 2, "the scan of changes from before the monitoring began")
        with open(path, "r+b", buffering=0) as file:
            file.seek(data_offset(path))
            file.write(b"\2" * 100)
            server.process.send_signal(signal.SIGHUP)
            harness.wait_until(lambda: self.generation("m.safetensors") != before, "another generation")
            self.assertEqual(set(self.fetch("m.safetensors")), {2})
            self.assertEqual(self.scans(), 3)
        self.assertIn("SIGHUP", server.stderr())

    def test_sighup_while_it_drains_does_not_end_it(self) -> None:
        write_big_file(self.root / "big.safetensors", "big", 64 * MIB, self.generator)
        server = self.start()
        messages = self.stub.GetTensor(pb.GetTensorRequest(model="big.safetensors", read=pb.Read(tensor="big")))
        received = [next(messages)]
        server.terminate()
        harness.wait_until(lambda: "SIGTERM" in server.stderr(), "the server to say that it got SIGTERM")
        server.process.send_signal(signal.SIGHUP)
        received += messages
        self.assertEqual(len(stock_client.read_stream(received).data[0]), 64 * MIB)
        server.stop()
        self.assertNotIn("cut off", server.stderr_at_end)


if __name__ == "__main__":
    unittest.main()
