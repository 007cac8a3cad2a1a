"""slotwired as an operator meets it."""
import unittest

from nodes import NodeTest, run


class Engine(NodeTest):
    def test_a_log_that_nobody_reads_any_more_does_not_end_it(self):
        # Closes the reading end of its standard error: what it says from now on meets a broken pipe.
        engine = self.left.engine
        engine.abandon_output()
        self.right.stop()
        self.right.start()  # the link went down and comes back: both are logged
        self.serve(["echo", "--echo"], self.right)
        self.assertEqual(run(["call", "echo", "still here"], self.left).stdout, "still here")
        self.assertEqual(engine.process.poll(), None)

    def test_a_stop_right_after_the_start_is_orderly(self):
        for _ in range(20):
            self.assertEqual(self.left.stop(), 0)
            self.left.start()


if __name__ == "__main__":
    unittest.main(verbosity=2)
