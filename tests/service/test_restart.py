"""Ends without goodbye: of the daemon, of workers, of both; and what the next start makes of it."""
import json
import os
import shutil
import signal
import sqlite3
import time

from tap import Daemon, alive, run, test, until


def starts(d, n):
    with open(os.path.join(d.state, "jobs", str(n), "state", "starts")) as f:
        return int(f.read())


def set_running(d, n):
    """As a daemon leaves the row that was killed before it could record the end."""
    db = sqlite3.connect(os.path.join(d.state, "queue.db"))
    with db:
        db.execute("UPDATE jobs SET state='running', ended=NULL, attempts=0, images=NULL WHERE id=?", (n,))
        db.execute("DELETE FROM artifacts WHERE job=?", (n,))
    db.close()


@test("a clean stop: queued jobs stay queued, held ones held, the running one goes on")
def clean():
    with Daemon() as d:
        running = d.submit("slow")
        pid = d.worker_pid(running)
        queued, held = d.submit("ok"), d.submit("ok", hold=True)
        d.stop()
        assert not alive(pid) and not os.path.exists(d.socket)
        d.write("go", "")
        d.start()
        job = d.wait(running)
        assert job["state"] == "done" and job["attempts"] == 1 and starts(d, running) == 2, job
        assert d.wait(queued)["state"] == "done" and d.job(held)["state"] == "held"


@test("kill -9 of the daemon: the worker dies with it, the job goes on, no attempt is counted")
def kill_daemon():
    with Daemon() as d:
        n, queued = d.submit("slow"), d.submit("ok")
        pid = d.worker_pid(n)
        d.kill()
        until(lambda: not alive(pid), what="the worker to die with its daemon")
        d.write("go", "")
        d.start()
        job = d.wait(n)
        assert job["state"] == "done" and job["attempts"] == 1 and starts(d, n) == 2, job
        assert d.wait(queued)["state"] == "done"


@test("kill -9 of the worker: one attempt is counted, the job goes on")
def kill_worker():
    with Daemon() as d:
        n = d.submit("slow")
        os.kill(d.worker_pid(n), signal.SIGKILL)
        until(lambda: d.job(n)["state"] == "queued", what="the job to be queued again")
        reason = d.job(n)["reason"]
        assert reason.startswith("waits to be tried again: attempt 1 of 3: the worker was killed by signal 9 "
                                 "(out of memory?)"), reason
        d.write("go", "")
        job = d.wait(n)
        assert job["state"] == "done" and job["attempts"] == 2 and starts(d, n) == 2, job


@test("kill -9 of both")
def kill_both():
    with Daemon() as d:
        n = d.submit("slow")
        pid = d.worker_pid(n)
        d.process.kill()
        os.kill(pid, signal.SIGKILL)
        d.kill()
        d.write("go", "")
        d.start()
        job = d.wait(n)
        assert job["state"] == "done" and job["attempts"] == 1, job


@test("a result that the dead daemon did not record counts; the job does not run again")
def unrecorded():
    with Daemon() as d:
        n = d.submit("ok")
        want = d.wait(n)
        d.stop()
        set_running(d, n)
        d.start()
        job = d.job(n)
        assert job["state"] == "done" and job["result"] == want["result"] and job["attempts"] == 1, job
        assert job["artifacts"] == want["artifacts"] and starts(d, n) == 1


@test("an unrecorded result whose artifact was damaged does not count; the job runs again")
def damaged():
    with Daemon() as d:
        n = d.submit("ok")
        want = d.wait(n)
        d.stop()
        set_running(d, n)
        with open(os.path.join(d.state, "jobs", str(n), "out", "model.safetensors"), "r+b") as f:
            f.write(b"X")
        d.start()
        job = d.wait(n)
        assert job["state"] == "done" and job["artifacts"] == want["artifacts"] and starts(d, n) == 2, job


@test("folders without a row are swept at the start, other names are left alone")
def sweep():
    with Daemon() as d:
        n = d.submit("ok")
        d.wait(n)
        d.stop()
        for name in ("77", "77/out", "keep", "007"):
            os.mkdir(os.path.join(d.state, "jobs", name))
        d.start()
        assert sorted(os.listdir(os.path.join(d.state, "jobs"))) == ["007", str(n), "keep"]


@test("a job whose folder vanished is made again")
def no_folder():
    with Daemon() as d:
        n = d.submit("hang")
        d.worker_pid(n)
        d.kill()
        shutil.rmtree(os.path.join(d.state, "jobs", str(n)))
        d.start()
        d.worker_pid(n)
        assert d.job(n)["state"] == "running" and starts(d, n) == 1


@test("a second daemon on the same state refuses to start, and leaves the first its socket")
def second():
    with Daemon() as d:
        other = d.launch()
        assert other.wait(20) == 1
        assert "another netqd (pid %d) works in" % d.process.pid in d.read_log()
        # The same socket with another state is refused, too.
        with open(d.config) as f:
            text = f.read().replace("state = state", "state = other-state")
        d.config = d.write("other.conf", text)
        assert d.launch().wait(20) == 1
        assert "another daemon listens on" in d.read_log()
        assert d.ask("hello")["pid"] == d.process.pid


@test("a socket left by a killed daemon does not stop the next; a file in its place does")
def stale_socket():
    with Daemon() as d:
        d.kill()
        assert os.path.exists(d.socket)
        d.start()
        d.stop()
        d.write("socket", "precious")
        assert d.launch().wait(20) == 1
        assert "exists and is not a socket" in d.read_log()
        with open(d.socket) as f:
            assert f.read() == "precious"
        os.unlink(d.socket)
        d.start()


@test("a queue of a newer netqd, of another program, and a damaged one are refused with a sentence")
def databases():
    with Daemon() as d:
        d.wait(d.submit("ok"))
        d.stop()
        path = os.path.join(d.state, "queue.db")
        with open(path, "rb") as f:
            good = f.read()

        def refuses(words):
            assert d.launch().wait(20) == 1
            assert words in d.read_log(), d.read_log()[-600:]
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 99")
        db.close()
        refuses("written by a newer netqd")
        os.unlink(path)
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE shopping (item)")
        db.close()
        refuses("a database of another program")
        os.unlink(path)
        with open(path, "wb") as f:
            f.write(b"not a database at all " * 500)
        refuses("is damaged")
        with open(path, "wb") as f:
            f.write(good[:4096] + bytes(len(good) - 4096))
        refuses("is damaged")
        with open(path, "wb") as f:
            f.write(good)
        d.start()
        assert d.ask("list")["counts"]["done"] == 1


@test("a worker that ignores SIGTERM does not keep the daemon from stopping")
def stubborn():
    with Daemon() as d:
        n = d.submit("stubborn")
        pid = d.worker_pid(n)
        begun = time.monotonic()
        d.stop()
        assert time.monotonic() - begun < 20 and not alive(pid)
        d.start()
        assert d.job(n)["state"] in ("running", "queued") and d.job(n)["attempts"] <= 1


@test("a model that left the configuration fails its queued job with a sentence")
def model_gone():
    with Daemon() as d:
        n = d.submit("mobilenet_v2", hold=True)
        d.stop()
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write(text.replace("[model mobilenet_v2]", "[model other]"))
        d.start()
        d.ask("release", job=n)
        job = d.wait(n)
        assert job["state"] == "failed" and "does not name mobilenet_v2" in job["reason"], job


@test("submits survive kill -9 at any moment once they are acknowledged")
def acknowledged():
    with Daemon() as d:
        known = []
        for round_number in range(6):
            with d.client() as c:
                spec = {"model": "ok", "dataset": "images"}
                for _ in range(7):
                    known += c.ask("submit", spec=spec, hold=True)["jobs"]
                c.send(json.dumps({"op": "submit", "spec": spec, "hold": True}).encode() + b"\n")
                d.kill()  # the last one may have been taken or not
            d.start()
            there = [j["job"] for j in d.ask("list")["jobs"]]
            assert set(known) <= set(there), (known, there)
            assert len(there) <= len(known) + round_number + 1


run()
