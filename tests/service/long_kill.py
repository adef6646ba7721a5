"""Kills at random moments: of the daemon, of workers, of both, while jobs are submitted. Nothing that was acknowledged may
be lost, no job may end twice, and all must be done at the end. $NETQ_KILLS rounds (default 400), $NETQ_SEED."""
import os
import random
import signal
import sqlite3
import time

from tap import Client, Daemon, run, test, until

ROUNDS = int(os.environ.get("NETQ_KILLS", "400"))
SEED = int(os.environ.get("NETQ_SEED", "1"))


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/stat" % name) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            if name.isdigit() and int(fields[1]) == pid:
                found.append(int(name))
        except (OSError, IndexError):
            pass
    return found


@test("%d kills (seed %d): every acknowledged job is there once and ends once" % (ROUNDS, SEED))
def kills():
    chance = random.Random(SEED)
    with Daemon(daemon="jobs = 2", limits="attempts = 100") as d:
        known, killed = {}, {"daemon": 0, "worker": 0, "both": 0}
        for number in range(ROUNDS):
            token = "round %d" % number
            spec = {"model": "ok", "dataset": "images", "calibrate": {"seed": number}}
            for _ in range(2):  # sent twice: one job
                try:
                    with Client(d.socket) as c:
                        known[token] = c.ask("submit", spec=spec, token=token)["jobs"][0]
                except (OSError, EOFError):
                    pass
            time.sleep(chance.random() * 0.12)
            victim = chance.choice(sorted(killed))
            workers = children(d.process.pid)
            killed[victim] += 1
            if victim != "worker":
                d.process.kill()
            if victim != "daemon":
                for pid in workers:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            if victim != "worker":
                d.kill()
                d.start()
            with Client(d.socket) as c:
                reply = c.ask("submit", spec=spec, token=token)
                assert known.get(token, reply["jobs"][0]) == reply["jobs"][0], (token, known, reply)
                known[token] = reply["jobs"][0]

        def over():
            counts = d.ask("list", limit=1)["counts"]
            return counts["queued"] == counts["running"] == 0
        until(over, 600, "the queue to be empty")
        jobs = {}
        after = 0
        while True:
            page = d.ask("list", after=after)
            for job in page["jobs"]:
                assert job["job"] not in jobs
                jobs[job["job"]] = job
            if not page["more"]:
                break
            after = page["jobs"][-1]["job"]
        assert sorted(jobs) == sorted(known.values()), "jobs were lost or came twice"
        bad = [j for j in jobs.values() if j["state"] != "done"]
        assert not bad, bad
        with Client(d.socket) as c:
            for n in jobs:
                c.get(job=n)
        d.stop()
        db = sqlite3.connect(os.path.join(d.state, "queue.db"))
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        db.close()
        print("# killed: %s; attempts: %d for %d jobs" % (killed, sum(j["attempts"] for j in jobs.values()), len(jobs)))


run()
