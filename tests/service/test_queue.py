"""Submitting, listing, order, holding, cancelling."""
import threading

from tap import Client, Daemon, Refused, refused, run, test, until


@test("a submitted job runs, and its artifacts come back with their hashes")
def one_job():
    import hashlib
    with Daemon() as d:
        n = d.submit("ok")
        job = d.wait(n)
        assert job["state"] == "done" and job["attempts"] == 1 and job["reason"] is None, job
        assert job["result"]["images"] == 5 and job["result"]["compression_ratio"] > 74, job
        assert sorted(a["name"] for a in job["artifacts"]) == \
            ["log.txt", "metrics.json", "model.safetensors", "output.txt"]
        with d.client() as c:
            for artifact in job["artifacts"]:
                reply, data = c.get(job=n, file=artifact["name"])
                assert reply["bytes"] == len(data) == artifact["bytes"]
                assert reply["sha256"] == hashlib.sha256(data).hexdigest() == artifact["sha256"]
            reply, data = c.get(job=n)
            assert reply["name"] == "output.txt" and data.startswith(b"In (MB): ")
            c.ask("logs", job=n)
            assert b"start 1 of job" in c.chunks()


@test("the defaults of a spec are resolved in the reply and in job.json")
def resolved():
    import json
    import os
    with Daemon() as d:
        n = d.submit("ok", spec={"weights": {"bits": 4}})
        job = d.wait(n)
        assert job["spec"]["weights"]["bits"] == 4 and job["spec"]["calibrate"]["samples"] == 1000
        with open(os.path.join(d.state, "jobs", str(n), "job.json")) as f:
            told = json.load(f)
        assert told["spec"] == job["spec"] and told["fingerprint"] == job["fingerprint"]
        assert told["run"]["checkpoint"] == {"root": d.share, "path": "model.pth"}
        assert told["run"]["dataset"] == {"root": d.path("images"), "path": ""}
        assert told["run"]["daemon_pid"] == d.process.pid and told["dataset"]["images"] == 5
        assert told["calibration"] is None and told["run"]["float_output"] is None
        assert told["run"]["float_logits"] is None
        again = d.submit("ok", spec={"weights": {"bits": 4}})
        assert d.job(again)["fingerprint"] == job["fingerprint"]


@test("the oldest job of the highest priority runs first, and says what it waits for")
def order():
    with Daemon() as d:
        first = d.submit("slow")
        d.wait(first, "running")
        low = d.submit("ok", priority=-5)
        middle = [d.submit("ok") for _ in range(2)]
        high = d.submit("ok", priority=7)
        assert d.job(high)["reason"] == "next; 1 running", d.job(high)
        assert d.job(middle[0])["reason"] == "1 job before it"
        assert d.job(low)["reason"] == "3 jobs before it"
        reasons = {j["job"]: j["reason"] for j in d.ask("list")["jobs"]}
        assert reasons[low] == "3 jobs before it" and reasons[middle[1]] == "2 jobs before it", reasons
        d.write("go", "")
        jobs = [d.wait(n) for n in [high] + middle + [low]]
        started = [j["started"] for j in jobs]
        assert started == sorted(started), started


@test("as many jobs run at a time as jobs says")
def parallel():
    with Daemon(daemon="jobs = 3") as d:
        numbers = [d.submit("slow") for _ in range(5)]
        for n in numbers[:3]:
            d.wait(n, "running")
        assert d.ask("list")["counts"]["running"] == 3 and d.job(numbers[3])["state"] == "queued"
        d.write("go", "")
        for n in numbers:
            assert d.wait(n)["state"] == "done"


@test("list filters by state, model, preset, group, uid, time and place")
def filters():
    with Daemon() as d:
        a = d.submit("ok")
        d.wait(a)
        b = d.submit("ok", spec={"preset": "float"}, hold=True)
        c = d.submit("fail")
        d.wait(c)
        group = d.ask("submit", specs=[{"model": "ok", "dataset": "images"}, {"model": "slow", "dataset": "images"}],
                      hold=True)
        e, f = group["jobs"]

        def ids(**keys):
            return [j["job"] for j in d.ask("list", **keys)["jobs"]]
        assert ids() == [a, b, c, e, f]
        assert ids(state="held") == [b, e, f] and ids(state=["done", "failed"]) == [a, c]
        assert ids(model="ok") == [a, b, e] and ids(preset="float") == [b] and ids(dataset="images") == ids()
        assert ids(dataset="other") == [] and ids(group=group["group"]) == [e, f]
        assert ids(mine=True) == ids() and ids(uid=54321) == []
        assert ids(after=c) == [e, f] and ids(since=d.job(e)["submitted"]) == [e, f]
        reply = d.ask("list", limit=2)
        assert [j["job"] for j in reply["jobs"]] == [a, b] and reply["more"] is True
        assert d.ask("list", limit=5)["more"] is False
        assert reply["counts"] == {"queued": 0, "held": 3, "running": 0, "done": 1, "failed": 1, "cancelled": 0}
        assert "spec" not in reply["jobs"][0]


@test("a held job waits until it is released")
def hold():
    with Daemon() as d:
        n = d.submit("ok", hold=True)
        assert d.job(n)["state"] == "held" and d.job(n)["reason"] == "held by its owner"
        refused("wrong_state", "cannot be held", d.ask, "hold", job=n)
        assert d.ask("release", job=n)["jobs"] == [n]
        assert d.wait(n)["state"] == "done"
        refused("wrong_state", "is done", d.ask, "release", job=n)
        slow = d.submit("slow")
        d.wait(slow, "running")
        m = d.submit("ok")
        assert d.ask("hold", job=m)["jobs"] == [m] and d.job(m)["state"] == "held"
        refused("wrong_state", "is running", d.ask, "hold", job=slow)
        d.ask("cancel", job=slow)


@test("cancelling stops a queued job, a held one, and a running one with its worker")
def cancel():
    from tap import alive
    with Daemon() as d:
        running = d.submit("hang")
        pid = d.worker_pid(running)
        queued, held = d.submit("ok"), d.submit("ok", hold=True)
        for n in (queued, held):
            assert d.ask("cancel", job=n)["cancelled"] == [n]
            assert d.job(n)["state"] == "cancelled" and d.job(n)["reason"] == "cancelled by its owner"
        assert d.ask("cancel", job=running)["cancelled"] == [running]
        until(lambda: not alive(pid), what="the worker's end")
        assert d.job(running)["state"] == "cancelled" and d.job(running)["ended"]
        refused("wrong_state", "is cancelled", d.ask, "cancel", job=running)
        refused("missing", "there is no job 999", d.ask, "cancel", job=999)
        assert d.wait(d.submit("ok"))["state"] == "done"


@test("a worker that ignores SIGTERM is killed when its job is cancelled")
def stubborn():
    from tap import alive
    with Daemon() as d:
        n = d.submit("stubborn")
        pid = d.worker_pid(n)
        d.ask("cancel", job=n)
        until(lambda: not alive(pid), 15, "SIGKILL")
        assert d.wait(d.submit("ok"))["state"] == "done"


@test("the same token from the same uid is the same submission, also after a restart")
def token():
    with Daemon() as d:
        spec = {"model": "ok", "dataset": "images"}
        first = d.ask("submit", spec=spec, token="t-1")
        again = d.ask("submit", spec=spec, token="t-1")
        assert again["jobs"] == first["jobs"] and again["duplicate"] is True and "duplicate" not in first
        group = d.ask("submit", specs=[spec, spec], token="t-2")
        d.stop()
        d.start()
        same = d.ask("submit", specs=[spec, spec], token="t-2")
        assert (same["jobs"], same["group"], same["duplicate"]) == (group["jobs"], group["group"], True)
        assert d.ask("submit", spec=spec, token="t-3")["jobs"] not in (first["jobs"], group["jobs"])
        assert len(d.ask("list")["jobs"]) == 4


@test("a group's output.txt is the sections in the challenge's order")
def group():
    with Daemon() as d:
        specs = [{"model": m, "dataset": "images"} for m in ("shufflenet_v2_x1_0", "mobilenet_v2", "ok")]
        reply = d.ask("submit", specs=specs)
        g, jobs = reply["group"], reply["jobs"]
        for n in jobs:
            d.wait(n)
        with d.client() as c:
            sections = [c.get(job=n)[1] for n in reversed(jobs)]
            reply, data = c.get(group=g)
            assert data == b"".join(sections) and reply["bytes"] == len(data)
            import hashlib
            assert reply["sha256"] == hashlib.sha256(data).hexdigest()
            refused("bad_request", "only output.txt", c.ask, "get", group=g, file="metrics.json")
        twice = d.ask("submit", specs=[specs[2], specs[2]])
        for n in twice["jobs"]:
            d.wait(n)
        error = refused("wrong_state", "more than once", d.ask, "get", group=twice["group"])
        assert all("job %d (ok, baseline, done)" % n in error.message for n in twice["jobs"]), error
        open_group = d.ask("submit", specs=specs[:2], hold=True)
        refused("wrong_state", "is not complete", d.ask, "get", group=open_group["group"])
        assert sorted(d.ask("cancel", group=open_group["group"])["cancelled"]) == open_group["jobs"]
        refused("wrong_state", "no job that can be cancelled", d.ask, "cancel", group=open_group["group"])
        refused("missing", "there is no group 77", d.ask, "cancel", group=77)


@test("a dry run queues nothing and says what a job would cost")
def dry_run():
    with Daemon() as d:
        plans = d.ask("submit", specs=[{"model": "ok", "dataset": "images"},
                                       {"model": "ok", "dataset": "images", "preset": "float", "limit": 2}],
                      dry_run=True)["plans"]
        assert len(plans) == 2 and plans[0]["seconds"] > 0 and not plans[0]["measured"] and plans[0]["images"] == 5
        assert plans[1]["images"] == 2 and plans[1]["new_model_size"] == plans[1]["original_model_size"] == 1400
        assert plans[0]["spec"]["calibrate"]["samples"] == 1000 and plans[0]["disk_bytes"] > 0
        assert d.ask("list")["jobs"] == []
        d.wait(d.submit("ok"))
        plan = d.ask("submit", spec={"model": "ok", "dataset": "images"}, dry_run=True)["plans"][0]
        # The fake worker says 0.5 s for five images.
        assert abs(plan["seconds"] - 0.5) < 1e-9 and plan["measured"], plan


@test("a full queue refuses, and takes jobs again when some have ended")
def full():
    with Daemon(limits="queued_jobs = 3") as d:
        numbers = [d.submit("ok", hold=True) for _ in range(3)]
        refused("busy", "limits.queued_jobs", d.submit, "ok")
        refused("busy", "limits.queued_jobs", d.ask, "submit", specs=[{"model": "ok", "dataset": "images"}] * 2)
        d.ask("cancel", job=numbers[0])
        d.submit("ok", hold=True)


@test("500 submits at once over 20 connections: none lost, none twice, all numbered")
def burst():
    with Daemon() as d:
        numbers, errors = [], []

        def work():
            try:
                with Client(d.socket) as c:
                    for _ in range(25):
                        spec = {"model": "ok", "dataset": "images"}
                        numbers.append(c.ask("submit", spec=spec, hold=True)["jobs"][0])
            except Exception as error:
                errors.append(error)
        threads = [threading.Thread(target=work) for _ in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not errors, errors
        assert sorted(numbers) == list(range(1, 501))
        assert d.ask("list")["counts"]["held"] == 500
        d.kill()
        d.start()
        assert [j["job"] for j in d.ask("list")["jobs"]] == list(range(1, 501))


@test("wrong specs are refused by key, and a group with one of them adds nothing")
def bad_specs():
    with Daemon() as d:
        good = {"model": "ok", "dataset": "images"}

        def bad(code, words, **keys):
            refused(code, words, d.ask, "submit", spec={**good, **keys})
        bad("bad_spec", "weights.bits", weights={"bits": 9})
        bad("bad_spec", "wieghts", wieghts={"bits": 8})
        bad("missing", "does not name okk; the nearest is ok", model="okk")
        bad("missing", "does not name imagez; the nearest is images", dataset="imagez")
        refused("bad_spec", "specs[1]: weights.bits", d.ask, "submit",
                specs=[good, {**good, "weights": {"bits": 1}}])
        refused("bad_spec", "must be an object", d.ask, "submit", specs=[3])
        refused("bad_request", "0 specs", d.ask, "submit", specs=[])
        assert d.ask("list")["jobs"] == []


@test("others see a job, but only its owner may change it")
def owners():
    import os
    from tap import Skip
    if os.getuid() != 0:
        raise Skip("needs root, to become somebody else")
    with Daemon() as d:
        n = d.submit("ok", hold=True)
        os.chmod(d.socket, 0o666)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setuid(12345)
                with Client(d.socket) as c:
                    assert c.ask("hello")["uid"] == 12345
                    assert c.ask("status", job=n)["job"]["uid"] == 0
                    refused("denied", "belongs to uid 0", c.ask, "cancel", job=n)
                    refused("denied", "belongs to uid 0", c.ask, "release", job=n)
                    own = c.ask("submit", spec={"model": "ok", "dataset": "images"}, hold=True, token="x")["jobs"][0]
                    assert [j["job"] for j in c.ask("list", mine=True)["jobs"]] == [own]
                os.write(writer, b"well")
            except BaseException as error:
                os.write(writer, repr(error).encode())
            finally:
                os._exit(0)
        os.close(writer)
        said = os.read(reader, 4096)
        os.waitpid(child, 0)
        assert said == b"well", said
        theirs = d.ask("list", uid=12345)["jobs"][0]["job"]
        mine = d.ask("submit", spec={"model": "ok", "dataset": "images"}, hold=True, token="x")
        assert "duplicate" not in mine  # tokens belong to a uid
        assert d.ask("cancel", job=theirs)["cancelled"] == [theirs]
        assert d.job(theirs)["reason"] == "cancelled by uid 0"


@test("old jobs are forgotten with their folders after keep_days, and their numbers never come back")
def keep_days():
    import os
    import sqlite3
    with Daemon(limits="keep_days = 30") as d:
        old, new = d.submit("ok"), d.submit("ok")
        d.wait(old), d.wait(new)
        d.stop()
        db = sqlite3.connect(os.path.join(d.state, "queue.db"))
        with db:
            db.execute("UPDATE jobs SET ended = ended - 31 * 86400000000 WHERE id = ?", (old,))
        db.close()
        d.start()
        until(lambda: not os.path.exists(os.path.join(d.state, "jobs", str(old))), what="the folder to go")
        assert [j["job"] for j in d.ask("list")["jobs"]] == [new]
        assert d.ask("list")["counts"]["done"] == 1
        assert d.submit("ok") == new + 1


run()
