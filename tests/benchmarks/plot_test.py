# SPDX-License-Identifier: Apache-2.0
"""The plot of the suite's results: what it draws, and what it refuses to read."""

import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

from plot import Bar, Panel, Results, draw, from_json, to_json

SVG = "{http://www.w3.org/2000/svg}"
RESULTS = Results("2 cores <of> a machine & more", [
    Panel("whole", "one tensor of 1 GiB", [Bar("tensorferry", 5000.0, "MB/s"), Bar("nginx", 10000.0, "MB/s")]),
    Panel("read", "4 KiB reads", [Bar("tensorferry", 0.0871, "ms"), Bar("gRPC echo, unary", 0.0711, "ms")]),
    Panel("start", "nobody", []),
])


class PlotTest(unittest.TestCase):

    def test_bars_of_a_panel_are_proportional(self) -> None:
        rects = xml.fromstring(draw(RESULTS)).findall(f"{SVG}rect")[1:]  # the first is the background
        widths = [float(rect.get("width", "")) for rect in rects]
        self.assertEqual(len(widths), 4)
        self.assertAlmostEqual(widths[0] / widths[1], 0.5, places=2)
        self.assertAlmostEqual(widths[3] / widths[2], 0.0711 / 0.0871, places=2)
        self.assertEqual(widths[1], widths[2], "the longest bars of two panels")

    def test_texts_have_values_and_are_escaped(self) -> None:
        texts = [text.text for text in xml.fromstring(draw(RESULTS)).iter(f"{SVG}text")]
        for expected in (RESULTS.machine, "5000 MB/s", "10000 MB/s", "0.0871 ms", "whole: one tensor of 1 GiB"):
            self.assertIn(expected, texts)

    def test_ours_and_peers_differ_in_color(self) -> None:
        colors = [rect.get("fill") for rect in xml.fromstring(draw(RESULTS)).findall(f"{SVG}rect")[1:]]
        self.assertEqual(colors[0], colors[2])
        self.assertEqual(colors[1], colors[3])
        self.assertNotEqual(colors[0], colors[1])

    def test_nothing_is_outside_the_picture(self) -> None:
        root = xml.fromstring(draw(RESULTS))
        width, height = float(root.get("width", "")), float(root.get("height", ""))
        for rect in root.iter(f"{SVG}rect"):
            self.assertLessEqual(float(rect.get("x", "0")) + float(rect.get("width", "")), width)
            self.assertLessEqual(float(rect.get("y", "0")) + float(rect.get("height", "")), height)

    def test_results_survive_a_file(self) -> None:
        self.assertEqual(from_json(to_json(RESULTS)), RESULTS)

    def test_another_format_is_refused(self) -> None:
        for text in ("{}", "[]", '{"format": 2, "machine": "", "panels": []}'):
            with self.assertRaises(ValueError):
                from_json(text)

    def test_program_draws_a_file(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            results, output = pathlib.Path(directory, "r.json"), pathlib.Path(directory, "r.svg")
            results.write_text(to_json(RESULTS))
            plot = pathlib.Path(__file__).with_name("plot.py")
            subprocess.run([sys.executable, plot, results, output], check=True)
            self.assertEqual(output.read_text(), draw(RESULTS))


if __name__ == "__main__":
    unittest.main()
