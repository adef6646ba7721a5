"""Allocations that fail at random in the daemon: it answers no_memory, and lives; what it acknowledged is there."""
import os
import random
import tempfile
import time

from tap import SANITIZED, SLOW, Daemon, Refused, Skip, build_preload, run, test, until

OPS = "submit group dry list status models datasets leaderboard cancel get logs diff watch hello".split()
MODELS = ("ok", "fail", "crash_once", "mobilenet_v2")


def ask(c, op, chance, known):
    n = chance.randint(1, 20)
    spec = {"model": chance.choice(MODELS), "dataset": "images"}
    if op == "submit":
        known += c.ask("submit", spec=spec, priority=chance.randint(-3, 3))["jobs"]
    elif op == "group":
        known += c.ask("submit", specs=[{"model": m, "dataset": "images"} for m in ("ok", "mobilenet_v2")])["jobs"]
    elif op == "dry":
        c.ask("submit", specs=[spec] * 3, dry_run=True)
    elif op in ("status", "cancel", "get", "logs"):
        c.ask(op, job=n)
        if op in ("get", "logs"):
            c.chunks()
    elif op == "diff":
        c.ask("diff", a=n, b=chance.randint(1, 20))
    else:
        c.ask(op)


def trouble(library, period, seed):
    chance = random.Random(seed)
    counts, known = {}, []
    with Daemon(daemon="jobs = 2") as d:
        d.stop()
        os.environ.update(LD_PRELOAD=library, FAIL_PERIOD=str(period), FAIL_SEED=str(seed))
        try:
            d.process = d.launch()
        finally:
            for name in ("LD_PRELOAD", "FAIL_PERIOD", "FAIL_SEED"):
                del os.environ[name]
        until(lambda: os.path.exists(d.socket), what="the daemon")
        end = time.monotonic() + 8 * SLOW
        while time.monotonic() < end:
            try:
                with d.client() as c:
                    for _ in range(6):
                        op = chance.choice(OPS)
                        try:
                            ask(c, op, chance, known)
                            counts["ok"] = counts.get("ok", 0) + 1
                            if op == "watch":
                                break
                        except Refused as error:
                            counts[error.code] = counts.get(error.code, 0) + 1
                        except KeyError:  # the reply had no room for the id
                            counts["no id"] = counts.get("no id", 0) + 1
            except (EOFError, ConnectionError) as error:
                counts[type(error).__name__] = counts.get(type(error).__name__, 0) + 1
            assert d.process.poll() is None, "netqd ended with %s" % d.process.returncode
        print("# period %d, seed %d: %s" % (period, seed, counts))
        assert counts.get("no_memory", 0) > 20 and counts.get("ok", 0) > 20, counts
        d.stop()
        d.start()  # with memory again
        there = {j["job"] for j in d.ask("list", limit=10000)["jobs"]}
        assert set(known) <= there, sorted(set(known) - there)

        def over():
            left = d.ask("list", limit=1)["counts"]
            return left["queued"] == left["running"] == 0
        until(over, 120, "the queue to be empty")


@test("one allocation of 200, of 1000, of 4000 fails: the daemon answers, lives, and keeps what it acknowledged")
def memory():
    if SANITIZED:
        raise Skip("the sanitizers have an allocator of their own")
    with tempfile.TemporaryDirectory(prefix="netq-memory-") as folder:
        library = build_preload("failing_malloc", folder)
        for period in (200, 1000, 4000):
            for seed in (1, 2, 3):
                trouble(library, period, seed)


run()
