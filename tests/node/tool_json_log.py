"""[log] format = "json": every line of a run is one JSON object with the same fields."""
import json
import unittest

from nodes import NodeTest, run


class JsonLog(NodeTest):
    extra_config = {"left": '[log]\nformat = "json"\nlevel = "debug"\n', "right": ""}

    def test_every_line_of_a_run_is_an_object(self):
        server = self.start(["serve", "echo-left", "--echo"], self.left)
        server.wait_for("serving")
        run(["call", "echo-left", "hello"], self.right)
        run(["call", "nobody", "hello"], self.left, expect=3)
        server.stop()
        run(["cut", "right"], self.left)
        self.left.engine.wait_for("control connection lost")
        engine = self.left.engine
        pid = engine.pid
        self.assertEqual(self.left.stop(), 0)
        lines = [json.loads(line) for line in engine.lines if line]
        self.assertGreater(len(lines), 5)
        for line in lines:
            self.assertEqual(list(line)[:5], ["time", "level", "node", "component", "pid"], line)
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["level"], ("trace", "debug", "info", "warning", "error"))
            self.assertEqual((line["node"], line["component"], line["pid"]), ("left", "slotwired", pid))
            self.assertTrue(line["message"])
            self.assertLessEqual(set(line), {"time", "level", "node", "component", "pid", "kind", "message"})
        self.assertIn("link right up", {line.get("kind") for line in lines})
        self.assertTrue(any("node 'left' is ready" in line["message"] for line in lines))


if __name__ == "__main__":
    unittest.main()
