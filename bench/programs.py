"""Running what is measured: programs that print JSON, programs that answer questions, jobs of netq-worker."""

import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build/release"))
sys.path.insert(0, os.path.join(ROOT, "tests", "parity"))
import jobdir  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))


class Failed(Exception):
    pass


def pinned(threads):
    """For a child: it may use only so many CPUs, the first ones."""
    return lambda: os.sched_setaffinity(0, CPUS[:threads])


def environment(**more):
    return dict(os.environ, OMP_NUM_THREADS="1", **more)


def program(name, *arguments, **env):
    """What a program of bench/ prints, as JSON."""
    command = [os.path.join(BUILD, "bench", name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(**env))
    if done.returncode != 0:
        raise Failed(done.stderr.strip().split("\n")[-1] or "%s ended with %d" % (name, done.returncode))
    return json.loads(done.stdout) if done.stdout else None


def tool(name, *arguments, **more):
    """What a tool of tests/ prints, as bytes."""
    command = [os.path.join(BUILD, "tests", name), *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, **more).stdout


class Conversation:
    """A program that is asked by lines and answers by lines of JSON, on `threads` CPUs."""

    def __init__(self, command, threads, **env):
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ, **env),
            preexec_fn=pinned(threads),
        )
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            words = self.process.stderr.read().strip().split("\n")[-1]
            raise Failed(words or "%s ended" % self.process.args[0])
        return json.loads(line)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def rate(self, *words):
        return self.ask(*words)["rate"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def anonymous(pid):
    """RssAnon of a process in bytes; 0 once it is gone."""
    try:
        with open("/proc/%d/status" % pid) as f:
            return next((int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


def job(folder, *description, **more):
    """Runs a job as jobdir.prepare() describes it; returns (metrics, peak of RssAnon in bytes)."""
    jobdir.prepare(folder, *description, **more)
    worker = subprocess.Popen(
        [os.path.join(BUILD, "netq-worker"), folder], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    peak = 0
    while worker.poll() is None:
        peak = max(peak, anonymous(worker.pid))
        time.sleep(0.01)
    complaint = worker.stderr.read().strip()
    worker.stderr.close()
    if worker.returncode != 0:
        raise Failed("netq-worker: " + complaint[-300:])
    with open(os.path.join(folder, "out", "metrics.json")) as f:
        return json.load(f), peak


def stage(metrics, name):
    """Seconds of one stage of a job."""
    return sum(s["seconds"] for s in metrics["run"]["stages"] if s["stage"] == name)
