"""A full disk: a refusal with a sentence, nothing lost, and on it goes when there is room."""
import os
import subprocess

from tap import Daemon, Skip, refused, run, test, until


class SmallDisk:
    """A daemon whose state lies on a file system of its own, of 2 MB."""

    def __enter__(self):
        self.daemon = Daemon()
        os.mkdir(self.daemon.state)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", self.daemon.state],
                              capture_output=True, text=True)
        if done.returncode:
            self.daemon.__exit__(None)
            raise Skip("cannot mount a small file system: " + done.stderr.strip())
        try:
            self.daemon.start()
        except BaseException:
            self.__exit__(*([1] * 3))
            raise
        return self.daemon

    def __exit__(self, kind, *_):
        d = self.daemon
        try:
            if d.process.poll() is None:
                d.stop()
        finally:
            subprocess.run(["umount", d.state], check=True)
            d.__exit__(kind)


def fill(d):
    with open(os.path.join(d.state, "ballast"), "wb", buffering=0) as f:
        try:
            while f.write(bytes(4096)):
                pass
        except OSError:
            pass


def empty(d):
    os.unlink(os.path.join(d.state, "ballast"))


@test("a submit that cannot be written is refused; those before it are there; later ones work")
def submits():
    with SmallDisk() as d:
        known = [d.submit("ok", hold=True) for _ in range(5)]
        fill(d)
        # What is left of the last block of the log may take one or two more.
        for _ in range(50):
            try:
                known.append(d.submit("ok", hold=True))
            except Exception as error:
                assert error.code == "io" and "disk is full" in error.message, error
                break
        else:
            raise AssertionError("a full disk took everything")
        refused("io", "disk is full", d.submit, "ok")
        assert [j["job"] for j in d.ask("list")["jobs"]] == known
        empty(d)
        n = d.submit("ok")
        assert n not in known and d.wait(n)["state"] == "done"
        d.kill()
        d.start()
        assert [j["job"] for j in d.ask("list")["jobs"]] == known + [n]


@test("the end of a job that cannot be recorded is recorded when there is room")
def ends():
    with SmallDisk() as d:
        n = d.submit("slow")
        d.wait(n, "running")
        d.worker_pid(n)
        fill(d)
        d.write("go", "")
        until(lambda: "end_not_recorded" in d.read_log(), what="the daemon to notice")
        assert d.job(n)["state"] == "running"
        empty(d)
        job = d.wait(n)
        assert job["state"] == "done" and job["attempts"] == 2, job


@test("a stop with a full disk loses nothing")
def stop():
    with SmallDisk() as d:
        n, held = d.submit("slow"), d.submit("ok", hold=True)
        d.worker_pid(n)
        fill(d)
        d.write("go", "")
        until(lambda: "end_not_recorded" in d.read_log(), what="the daemon to notice")
        d.stop()
        empty(d)
        d.start()
        assert d.wait(n)["state"] == "done" and d.job(held)["state"] == "held"


run()
