"""cases.py - a test case with one private Redis and the questions every queue test asks."""

import rig
from queue_view import check_idle
from rig import wait_until


class QueueCase(rig.Case):
    redis_options = {}

    def setUp(self):
        super().setUp()
        self.server = self.redis(**self.redis_options)
        self.r = self.server.client()

    def logs(self, count=15):
        return "\n".join(d.tail(count) for d in self.daemons)

    def counts(self, queue):
        """(completed, failed, active)"""
        p = f"bull:{queue}:"
        return (self.r.cmd("ZCARD", p + "completed"), self.r.cmd("ZCARD", p + "failed"), self.r.cmd("LLEN", p + "active"))

    def ends(self, queue, completed=0, failed=0, deadline=30):
        """Waits until the queue holds exactly so many finished jobs and none is active, checks it, returns the view."""
        wait_until(lambda: self.counts(queue) == (completed, failed, 0), deadline,
                   lambda: f"{queue}: completed, failed, active are {self.counts(queue)}, wanted {(completed, failed, 0)}\n{self.logs()}")
        return check_idle(self, self.r, queue)

    def becomes_active(self, queue, count=1, deadline=15):
        wait_until(lambda: self.r.cmd("LLEN", f"bull:{queue}:active") >= count, deadline,
                   lambda: f"{count} active jobs in {queue}\n{self.logs()}")

    def lines_with(self, daemon, *words, level=None):
        """Log lines that hold all words, of that level when given."""
        found = [line for line in daemon.lines if all(w in line for w in words)]
        return [line for line in found if level is None or f'"level":"{level}"' in line.replace(" ", "")]
