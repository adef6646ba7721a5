"""Workers that crash, hang, lie and babble: the job says so, the queue goes on."""
import os

from tap import Daemon, alive, run, test, until


def ends(kind, words, attempts, **keys):
    with Daemon(**keys) as d:
        n, after = d.submit(kind), d.submit("ok")
        job = d.wait(n, seconds=40)
        assert job["state"] == "failed" and words in job["reason"], job
        assert job["attempts"] == attempts and job["artifacts"] == [] and job["result"] is None, job
        assert d.wait(after)["state"] == "done"
        return job


@test("a worker that crashes is tried as often as limits.attempts says, then its job fails")
def crash():
    job = ends("crash", "the worker was killed by signal 11 (Segmentation fault), attempt 3 of 3", 3)
    assert "its last words: start 3 of job 1" in job["reason"]


@test("attempts = 1 tries once")
def once():
    ends("crash", "the worker was killed by signal 11", 1, limits="attempts = 1")


@test("a worker that crashed once is done at the second attempt; others run while it waits")
def crash_once():
    with Daemon() as d:
        n, other = d.submit("crash_once"), d.submit("ok")
        waiting = d.wait(n, "queued")
        assert waiting["attempts"] <= 1
        job = d.wait(n)
        assert job["state"] == "done" and job["attempts"] == 2
        assert d.wait(other)["ended"] < job["ended"]
        with d.client() as c:
            c.ask("logs", job=n)
            log = c.chunks().decode()
        assert "attempt 1\nstart 1" in log and "attempt 2\nstart 2" in log, log


@test("an exit status without a result is named with the worker's last words")
def exit_status():
    ends("exit2", "the worker ended with exit status 2, attempt 2 of 2; its last words: netq-worker: cannot write "
         "anything", 2, limits="attempts = 2")


@test("a worker that hangs is killed after stall_seconds, which costs an attempt")
def hang():
    ends("hang", "the worker reported nothing for 2 s and was killed, attempt 2 of 2", 2,
         limits="attempts = 2", stall=2)


@test("a job that runs longer than job_seconds fails, without further attempts")
def too_long():
    ends("slow", "the job ran longer than limits.job_seconds (1 s)", 1, limits="job_seconds = 1")


@test("a failure that the worker reports is final, and its sentence is printable")
def fails():
    job = ends("fail", "image a/a_0.jpg cannot be read", 1)
    assert "\x07" not in job["reason"]


@test("a result whose hash is wrong is no result")
def liar():
    ends("liar", "the worker's result is not valid", 2, limits="attempts = 2")


@test("a result with a path for a name is no result")
def bad_name():
    ends("bad_name", "is not a name of an artifact", 2, limits="attempts = 2")


@test("half a result is no result")
def half():
    ends("half", "result.json", 2, limits="attempts = 2")


@test("garbage on the progress pipe harms nobody")
def garbage():
    with Daemon() as d:
        n = d.submit("garbage")
        job = d.wait(n)
        assert job["state"] == "done", job
        d.ask("hello")
        log = d.read_log()
        assert "garbage=" in log and "garbage=0" not in log.split("worker_end")[1], log


@test("a folder that is still locked is waited for, and no attempt is counted")
def locked():
    with Daemon() as d:
        n = d.submit("locked")
        job = d.wait(n)
        assert job["state"] == "done" and job["attempts"] == 1, job


@test("progress has a stage, counts, a rate and the time left")
def progress():
    with Daemon() as d:
        n = d.submit("slow")

        def rated():
            p = d.job(n)["progress"]
            return p if p and p["rate"] > 0 else None
        p = until(rated, what="a rate")
        assert p["stage"] == "score" and 0 < p["done"] < p["total"] == 200, p
        assert 0 < p["rate"] < 25 and abs(p["eta_s"] - (200 - p["done"]) / p["rate"]) < 1e-6, p
        assert d.job(n)["reason"] == "running"
        d.ask("cancel", job=n)


@test("a worker that cannot be started fails its jobs with a sentence")
def no_worker():
    with Daemon(limits="attempts = 1") as d:
        worker = d.write("worker", "#!/nonexistent/interpreter\n")
        os.chmod(worker, 0o755)
        d.stop()
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write("\n".join("worker = worker" if line.startswith("worker =") else line
                              for line in text.split("\n")))
        d.start()
        job = d.wait(d.submit("ok"))
        assert job["state"] == "failed" and "could not be started" in job["reason"], job


@test("what a worker started goes with it")
def process_group():
    with Daemon() as d:
        worker = d.write("worker", "#!/bin/sh\nmkdir -p $1/state\nsleep 1000 &\necho $! > $1/state/pid\nwait\n")
        os.chmod(worker, 0o755)
        d.stop()
        with open(d.config) as f:
            text = f.read()
        with open(d.config, "w") as f:
            f.write("\n".join("worker = worker" if line.startswith("worker =") else line
                              for line in text.split("\n")))
        d.start()
        n = d.submit("ok")
        child = d.worker_pid(n)
        d.ask("cancel", job=n)
        until(lambda: not alive(child), what="the worker's child to end")


run()
