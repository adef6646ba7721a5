"""The crop cache under the real daemon and worker: the second job decodes nothing, results are the same with and without
it, and nothing in it is believed."""
import glob
import json
import os
import shutil
import subprocess
import time

from tap import BUILD, SOURCE, Daemon, refused, run, test, until

WORKER = os.path.join(BUILD, "netq-worker")
DEMO = os.path.join(SOURCE, "tests/data/demo")
CHECKPOINT = os.path.join(DEMO, "shufflenet_v2_x0_5.pth")
IMAGES = sum(len(files) for _, _, files in os.walk(os.path.join(DEMO, "images")))
CROP = 224 * 224 * 3


class Demo(Daemon):
    """A daemon with a copy of the demo's images, and little left free for others."""

    def __init__(self, cache="keep_free_mb = 1"):
        super().__init__(worker=WORKER,
                         more="[model demo]\narch = shufflenet_v2_x0_5\ncheckpoint = %s\n[dataset demo]\npath = demo\n"
                              "[cache]\n%s\n" % (CHECKPOINT, cache))
        shutil.copytree(os.path.join(DEMO, "images"), self.path("demo"))

    def job_on_demo(self, **spec):
        """Runs a job to its end: what must not change (output.txt, hashes of logits and images) and the cache's counts."""
        n = self.submit("demo", spec={"calibrate": {"samples": 8}, "dataset": "demo", **spec})
        job = self.wait(n, seconds=120)
        assert job["state"] == "done", job
        with self.client() as c:
            output = c.get(job=n)[1]
            metrics = json.loads(c.get(job=n, file="metrics.json")[1])
        result = metrics["result"]
        return (output, result["logits_sha256"], result["images_sha256"]), metrics["run"]["cache"]

    def cache_file(self):
        (path,) = glob.glob(os.path.join(self.state, "cache", "*.crops"))
        return path

    def first_crop(self):
        """Offset of the first crop in the file."""
        return (128 + 48 * IMAGES + 4095) // 4096 * 4096


def counts(cache):
    return cache["read"], cache["absent"], cache["stale"], cache["damaged"], cache["stored"]


@test("the second job on a dataset decodes nothing and says the same as one without a cache")
def second_job():
    with Demo("limit_mb = 0") as d:
        plain, cache = d.job_on_demo()
        assert cache is None and not os.path.exists(os.path.join(d.state, "cache"))
    with Demo() as d:
        first, cache = d.job_on_demo()
        assert counts(cache) == (0, IMAGES, 0, 0, IMAGES), cache
        second, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES, 0, 0, 0, 0), cache
        assert first == second == plain


@test("a job with a limit fills its part, and the next goes on from there")
def limited():
    with Demo() as d:
        _, cache = d.job_on_demo(limit=5)
        assert counts(cache) == (0, 5, 0, 0, 5), cache
        assert os.stat(d.cache_file()).st_blocks * 512 < 7 * CROP
        whole, cache = d.job_on_demo()
        assert counts(cache) == (5, IMAGES - 5, 0, 0, IMAGES - 5), cache
        _, cache = d.job_on_demo(limit=7)
        assert counts(cache) == (7, 0, 0, 0, 0), cache
        os.unlink(d.cache_file())
        again, cache = d.job_on_demo()
        assert counts(cache) == (0, IMAGES, 0, 0, IMAGES), cache
        assert again == whole


@test("damaged records are noticed and made anew")
def damaged():
    with Demo() as d:
        want, _ = d.job_on_demo()
        with open(d.cache_file(), "r+b") as f:
            f.seek(d.first_crop() + 2 * CROP + 1000)
            f.write(b"\x55" * 64)
            f.seek(128 + 48 * 4 + 3)
            f.write(b"\xaa")
        got, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES - 2, 0, 0, 2, 2), cache
        assert got == want
        got, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES, 0, 0, 0, 0) and got == want, cache


@test("a cut or strange file is made anew")
def cut():
    with Demo() as d:
        want, _ = d.job_on_demo()
        for size in (0, os.path.getsize(d.cache_file()) - 1):
            os.truncate(d.cache_file(), size)
            got, cache = d.job_on_demo()
            assert counts(cache) == (0, IMAGES, 0, 0, IMAGES) and got == want, cache
        with open(d.cache_file(), "r+b") as f:
            f.seek(12)
            f.write(b"\x09")
        got, cache = d.job_on_demo()
        assert counts(cache) == (0, IMAGES, 0, 0, IMAGES) and got == want, cache


@test("an image that changed is decoded again, even with its old size and time")
def changed():
    with Demo() as d:
        before, _ = d.job_on_demo()
        by_size = sorted(glob.glob(d.path("demo", "*", "*")), key=os.path.getsize)
        victim, at = by_size[-1], os.stat(by_size[-1])
        with open(by_size[0], "rb") as f:
            data = f.read()
        with open(victim, "r+b") as f:
            f.write(data.ljust(at.st_size, b"\0"))  # what follows the end of a picture is not looked at
        os.utime(victim, ns=(at.st_atime_ns, at.st_mtime_ns))
        assert os.path.getsize(victim) == at.st_size and os.stat(victim).st_mtime_ns == at.st_mtime_ns
        after, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES - 1, 0, 1, 0, 1), cache
        assert after[2] != before[2]


@test("two jobs that fill one cache at the same time harm nothing")
def together():
    with Demo() as d:
        d.stop()
        with open(d.config) as f:
            text = f.read().replace("[daemon]\n", "[daemon]\njobs = 2\n", 1)
        d.write("netqd.conf", text)
        d.start()
        jobs = [d.submit("demo", spec={"calibrate": {"samples": 8, "seed": s}, "dataset": "demo"}) for s in (1, 2)]
        for n in jobs:
            assert d.wait(n, seconds=120)["state"] == "done"
        _, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES, 0, 0, 0, 0), cache


@test("the limit of the configuration holds")
def limit():
    with Demo("keep_free_mb = 1\nlimit_mb = 1") as d:
        want, cache = d.job_on_demo()
        assert 0 < cache["stored"] <= 6 and cache["full"], cache
        assert os.stat(d.cache_file()).st_blocks * 512 <= 1000000
        got, cache = d.job_on_demo()
        assert 0 < cache["read"] <= 6 and got == want, cache


def row(d, name="demo"):
    (found,) = [c for c in d.ask("cache")["caches"] if c["dataset"] == name]
    return found


def built(d):
    """Waits until nothing is being built; how it ended."""
    def over():
        build = d.ask("cache", build=True)["build"]
        return build if build["state"] != "running" else None
    return until(over, 60, "the cache to be built")


@test("cache_build decodes everything, and the first job reads it")
def build():
    with Demo() as d:
        assert d.ask("cache")["build"] is None
        assert (row(d)["state"], row(d)["cached"], row(d)["images"]) == ("none", 0, IMAGES)
        assert d.ask("cache_build", dataset="demo")["building"] == "demo"
        assert built(d) == {"dataset": "demo", "state": "done", "progress": None, "message": None}
        there = row(d)
        assert (there["state"], there["cached"], there["stale"]) == ("valid", IMAGES, 0), there
        assert there["bytes"] >= IMAGES * CROP and there["file"] == os.path.basename(d.cache_file()), there
        assert d.ask("cache")["bytes"] == there["bytes"]
        _, cache = d.job_on_demo()
        assert counts(cache) == (IMAGES, 0, 0, 0, 0), cache
        assert d.ask("list")["counts"].get("done") == 1


@test("cache tells what is partial, stale, damaged or of another folder")
def states():
    with Demo() as d:
        d.job_on_demo(limit=3)
        assert (row(d)["state"], row(d)["cached"]) == ("partial", 3)
        paths = glob.glob(d.path("demo", "*", "*"))
        for path in paths:
            os.utime(path)
        assert (row(d)["state"], row(d)["cached"], row(d)["stale"]) == ("stale", 0, 3)
        with open(paths[0], "ab") as f:
            f.write(b"\0")  # another size: another fingerprint
        kinds = sorted((c["dataset"], c["state"], c["stale"]) for c in d.ask("cache")["caches"])
        assert kinds == [("demo", "none", 0), ("demo", "stale", 3), ("images", "none", 0)], kinds
        d.ask("cache_drop", stale=True)
        assert not glob.glob(os.path.join(d.state, "cache", "*"))
        copy = os.path.join(d.share, "copy")
        shutil.copytree(d.path("demo"), copy)
        n = d.submit("demo", spec={"calibrate": {"samples": 8}, "dataset_path": copy, "limit": 2})
        assert d.wait(n, seconds=120)["state"] == "done"
        assert row(d)["state"] == "none" and [c["state"] for c in d.ask("cache")["caches"]][-1] == "other"
        assert d.ask("cache_drop", dataset=copy)["dropped"][0]["dataset"] == copy
        time.sleep(2.1)  # the daemon remembers a listing for two seconds
        d.job_on_demo(limit=2)
        os.truncate(d.cache_file(), 77)
        assert row(d)["state"] == "damaged"
        assert len(d.ask("cache_drop", stale=True)["dropped"]) == 1
        shutil.rmtree(d.path("demo"))
        assert row(d)["state"] == "unknown" and "demo" in row(d)["warning"], row(d)


@test("cache_drop takes what it is told to, also while a job reads it")
def drop():
    with Demo() as d:
        want, _ = d.job_on_demo()
        assert d.ask("cache_drop", dataset="images")["dropped"] == []
        (gone,) = d.ask("cache_drop", dataset="demo")["dropped"]
        assert gone["dataset"] == "demo" and gone["bytes"] >= IMAGES * CROP
        assert not os.listdir(os.path.join(d.state, "cache"))
        n = d.submit("demo", spec={"calibrate": {"samples": 8}, "dataset": "demo"})
        until(lambda: os.listdir(os.path.join(d.state, "cache")), what="the cache")
        d.ask("cache_drop", all=True)
        assert d.wait(n, seconds=120)["state"] == "done"
        with d.client() as c:
            assert c.get(job=n)[1] == want[0]


@test("building says why it could not, and one dataset is built at a time")
def cannot():
    with Demo("keep_free_mb = 1\nlimit_mb = 1") as d:
        refused("missing", "names no dataset nope", d.ask, "cache_build", dataset="nope")
        refused("bad_request", "needs dataset", d.ask, "cache_build")
        refused("bad_request", "cache_drop: takes", d.ask, "cache_drop", all=True, stale=True)
        d.ask("cache_build", dataset="demo")
        end = built(d)
        assert end["state"] == "failed" and "the crop cache is full" in end["message"], end
        d.ask("cache_build", dataset="images")  # no true JPEG among them: named in the log, kept for the jobs
        assert built(d)["state"] == "done"
        assert row(d, "images")["cached"] == 0
        shutil.rmtree(d.path("images"))
        d.ask("cache_build", dataset="images")
        end = built(d)
        assert end["state"] == "failed" and "images" in end["message"], end
    with Demo("limit_mb = 0") as d:
        refused("wrong_state", "limit_mb", d.ask, "cache_build", dataset="demo")


@test("a stop while building ends the builder; what it made is there")
def stop():
    with Demo() as d:
        for _ in range(3):
            d.ask("cache_build", dataset="demo")
            d.ask("cache_build", dataset="demo")  # the same: no error
            until(lambda: glob.glob(os.path.join(d.state, "cache", "*.crops")), what="the cache")
            d.stop()
            d.start()
        d.ask("cache_build", dataset="demo")
        assert built(d)["state"] == "done" and row(d)["state"] == "valid"
        d.ask("cache_build", dataset="demo")
        d.kill()
        d.start()
        assert d.ask("cache")["build"] is None and row(d)["cached"] == IMAGES


@test("netqctl cache shows, builds and drops")
def client():
    with Demo() as d:
        def netqctl(*arguments):
            done = subprocess.run([os.path.join(BUILD, "netqctl"), "--socket", d.socket, "cache", *arguments],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            return done.returncode, done.stdout, done.stderr
        assert netqctl("build", "demo", "--wait") == (0, "built demo\n", "")
        code, out, _ = netqctl()
        assert code == 0 and "demo     valid  %d/%d" % (IMAGES, IMAGES) in out, out
        assert " of at most 16.00 GB in " in out, out
        code, out, _ = netqctl("show", "--json")
        assert code == 0 and json.loads(out)["caches"][0]["cached"] == IMAGES, out
        code, out, _ = netqctl("drop", "demo")
        assert code == 0 and out.startswith("dropped demo, "), out
        assert netqctl("drop", "--all") == (0, "", "netqctl: there was nothing to drop\n")
        for wrong in (("drop",), ("build",), ("show", "demo"), ("mend",), ("drop", "demo", "--all")):
            assert netqctl(*wrong)[0] == 2, wrong
        assert netqctl("build", "nope")[0] == 1


run()
