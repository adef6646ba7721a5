"""A job cannot name a file outside the allowed roots, and `get` fetches nothing but a job's artifacts."""
import os

from tap import Client, Daemon, Skip, refused, run, test


def submit(d, key, path, words, code="denied"):
    spec = {"model": "ok", "dataset": "images"} if key != "dataset_path" else {"model": "ok"}
    if key == "calibrate.file":
        spec["calibrate"] = {"source": "file", "file": path}
    else:
        spec[key] = path
    refused(code, words, d.ask, "submit", spec=spec)


@test("no path leaves the roots: absolute, .., a link to a file, a link to a folder, a device, a pipe")
def outside():
    with Daemon() as d:
        secret = d.write("secret/file.npy", "secret")
        os.symlink(secret, d.path("share/link.npy"))
        os.symlink(d.path("secret"), d.path("share/folder"))
        os.symlink("/etc", d.path("share/etc"))
        os.mkfifo(d.path("share/pipe"), 0o644)
        d.write("share-2/file.npy", "a root's name is only a prefix of this")
        for key in ("checkpoint", "calibrate.file", "quantized", "dataset_path"):
            submit(d, key, secret, "under none of the allowed roots")
            submit(d, key, "/etc/passwd", "under none of the allowed roots")
            submit(d, key, d.path("share-2/file.npy"), "under none of the allowed roots")
            submit(d, key, d.path("share/../secret/file.npy"), "leaves")
            submit(d, key, "../secret/file.npy", "leaves")
            submit(d, key, "sub/../../secret/file.npy", "", code="missing")
            submit(d, key, "link.npy", "symbolic link")
            submit(d, key, d.path("share/link.npy"), "symbolic link")
            submit(d, key, "folder/file.npy", "symbolic link")
            submit(d, key, "etc/passwd", "symbolic link")
            submit(d, key, "pipe", "neither a file nor a folder")
            submit(d, key, "nowhere.npy", "there is no nowhere.npy", code="missing")
        assert d.ask("list")["jobs"] == []


@test("what lies below a root can be named, absolute or relative")
def inside():
    with Daemon() as d:
        d.write("share/sub/samples.npy", "samples")
        d.write("share/set/a/1.jpg", "x")
        for path in ("sub/samples.npy", d.path("share/sub/samples.npy"), d.path("share//sub/./samples.npy")):
            n = d.submit("ok", spec={"calibrate": {"source": "file", "file": path}})
            assert d.wait(n)["state"] == "done"
        n = d.submit("ok", spec={"dataset_path": "set"})
        job = d.wait(n)
        assert job["state"] == "done" and job["dataset"] == "set" and job["result"]["images"] == 1, job
        n = d.submit("ok", spec={"calibrate": {"source": "file", "file": "set"}})
        assert d.wait(n)["state"] == "done"
        n = d.submit("resnet18", spec={"checkpoint": "model.pth"})  # an architecture and a checkpoint
        assert d.wait(n)["state"] == "done"


@test("a file or folder that not everybody can read is not read for a client")
def unreadable():
    with Daemon() as d:
        path = d.write("share/private.npy", "private")
        os.chmod(path, 0o640)
        submit(d, "calibrate.file", "private.npy", "not readable by everybody")
        d.write("share/closed/file.npy", "private by its folder")
        os.chmod(d.path("share/closed"), 0o750)
        submit(d, "calibrate.file", "closed/file.npy", "not readable by everybody")
        os.chmod(d.write("share/set/a/1.jpg", "private in a public folder"), 0o600)
        submit(d, "dataset_path", "set", "not readable by everybody")


@test("roots that not everybody can read are refused at the start, unless the daemon is private")
def roots():
    import stat
    with Daemon() as d:
        d.stop()
        os.chmod(d.share, 0o750)
        assert d.launch().wait(20) == 1
        assert "is not readable by everybody" in d.read_log()
        os.chmod(d.share, 0o755)
        os.chmod(d.folder, 0o700)
        assert d.launch().wait(20) == 1
        assert "not open to everybody" in d.read_log()
        with open(d.config) as f:
            text = f.read().replace("[daemon]", "[daemon]\nprivate = yes")
        d.write("netqd.conf", text)
        d.start()
        assert stat.S_IMODE(os.stat(d.socket).st_mode) == 0o600
        os.chmod(d.write("share/private.npy", "mine"), 0o600)
        assert d.wait(d.submit("ok", spec={"calibrate": {"source": "file", "file": "private.npy"}}))["state"] == "done"


@test("without roots nothing can be named, and models and datasets of the configuration still work")
def no_roots():
    with Daemon() as d:
        d.stop()
        with open(d.config) as f:
            text = f.read().replace("roots = share\n", "")
        d.write("netqd.conf", text)
        d.start()
        submit(d, "checkpoint", d.path("share/model.pth"), "under none of the allowed roots")
        assert d.wait(d.submit("ok"))["state"] == "done"


@test("the socket has mode 0660")
def mode():
    import stat
    with Daemon() as d:
        assert stat.S_IMODE(os.stat(d.socket).st_mode) == 0o660
        assert stat.S_IMODE(os.stat(d.state).st_mode) == 0o700


@test("get matches the names in the job's row and nothing else")
def names():
    with Daemon() as d:
        n, other = d.submit("ok"), d.submit("ok", hold=True)
        d.wait(n)
        d.write("state/jobs/%d/out/unlisted.txt" % n, "not in the row")
        for name in ("../job.json", "/etc/passwd", "../../%d/out/output.txt" % n, "out/output.txt", "./output.txt",
                     "unlisted.txt", "output.txt/", "output.txt.tmp", "..", ".", "%2e%2e/job.json"):
            refused("missing", "has no artifact", d.ask, "get", job=n, file=name)
        error = refused("missing", "it has log.txt, metrics.json, model.safetensors, output.txt", d.ask, "get", job=n,
                        file="x")
        assert "\"x\"" in error.message
        refused("bad_request", "file: must have 1 to", d.ask, "get", job=n, file="")
        refused("wrong_state", "it has no artifacts yet", d.ask, "get", job=other)
        refused("missing", "there is no job 99", d.ask, "get", job=99)


@test("an artifact that became a link, or changed, or went, does not come back as if nothing had happened")
def tampered():
    with Daemon() as d:
        n = d.submit("ok")
        d.wait(n)
        out = os.path.join(d.state, "jobs", str(n), "out")

        def broken(words, code):
            with d.client() as c:
                c.ask("get", job=n, file="metrics.json")
                refused(code, words, c.chunks)
                assert c.ask("hello")["ok"]  # the connection goes on
        with open(os.path.join(out, "metrics.json"), "a") as f:
            f.write("more")
        broken("changed while it was sent", "io")
        os.unlink(os.path.join(out, "metrics.json"))
        broken("is not there any more", "missing")
        os.symlink("/etc/passwd", os.path.join(out, "metrics.json"))
        broken("symbolic link", "denied")


@test("files that change after the submit are noticed by their frozen hashes")
def frozen():
    import hashlib
    import json
    with Daemon() as d:
        d.write("share/samples.npy", "samples")
        n = d.submit("ok", spec={"calibrate": {"source": "file", "file": "samples.npy"}}, hold=True)
        first = d.job(n)["fingerprint"]
        d.write("share/samples.npy", "others!")
        m = d.submit("ok", spec={"calibrate": {"source": "file", "file": "samples.npy"}}, hold=True)
        assert d.job(m)["fingerprint"] != first
        d.ask("release", job=n)
        d.wait(n)
        with open(os.path.join(d.state, "jobs", str(n), "job.json")) as f:
            told = json.load(f)
        assert told["calibration"]["sha256"] == hashlib.sha256(b"samples").hexdigest()
        assert told["run"]["calibration"] == {"root": d.share, "path": "samples.npy"}
        with open(d.path("share/model.pth"), "rb") as f:
            assert told["checkpoint"]["sha256"] == hashlib.sha256(f.read()).hexdigest()


@test("the daemon does not read for another user what that user may not")
def other_user():
    if os.getuid() != 0:
        raise Skip("needs root, to become somebody else")
    with Daemon() as d:
        os.chmod(d.write("share/root-only.npy", "root's"), 0o600)
        os.chmod(d.socket, 0o666)
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                os.setgroups([])
                os.setuid(12345)
                with Client(d.socket) as c:
                    refused("denied", "not readable by everybody", c.ask, "submit",
                            spec={"model": "ok", "dataset": "images",
                                  "calibrate": {"source": "file", "file": "root-only.npy"}})
                os.write(writer, b"well")
            except BaseException as error:
                os.write(writer, repr(error).encode())
            finally:
                os._exit(0)
        os.close(writer)
        said = os.read(reader, 4096)
        assert said == b"well", said


run()
