#!/usr/bin/python3
"""Stands in for netq-worker in the service tests: it keeps the contract of the job directory, computes nothing, and
misbehaves as the name of the job's model says."""
import ctypes
import fcntl
import hashlib
import json
import os
import signal
import sys
import time

folder = sys.argv[1]
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(3)
if os.path.exists(os.path.join(folder, "result.json")):
    sys.exit(0)
with open(os.path.join(folder, "job.json")) as f:
    job = json.load(f)
if os.getppid() != job["run"]["daemon_pid"]:
    sys.exit(4)
kind = job["spec"]["model"]
state = os.path.join(folder, "state")
out = os.path.join(folder, "out")
os.makedirs(state, exist_ok=True)
os.makedirs(out, exist_ok=True)


def save(path, data):
    with open(path + ".tmp", "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    os.rename(path + ".tmp", path)


starts = 1
try:
    with open(os.path.join(state, "starts")) as f:
        starts = int(f.read()) + 1
except OSError:
    pass
save(os.path.join(state, "starts"), b"%d" % starts)
# After the count: a test kills whoever has written its pid.
save(os.path.join(state, "pid"), b"%d" % os.getpid())
os.set_blocking(3, False)


def tell(data):
    try:
        os.write(3, data)
    except BlockingIOError:
        pass


def progress(stage, done, total):
    tell(json.dumps({"stage": stage, "done": done, "total": total}).encode() + b"\n")


print("start %d of job %d" % (starts, job["job"]), file=sys.stderr, flush=True)
if kind == "crash" or (kind == "crash_once" and starts == 1):
    os.kill(os.getpid(), signal.SIGSEGV)
if kind == "exit2":
    print("netq-worker: cannot write anything", file=sys.stderr, flush=True)
    sys.exit(2)
if kind == "locked" and starts == 1:
    sys.exit(3)
if kind in ("hang", "stubborn"):
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1000)
if kind == "garbage":
    for i in range(2000):
        tell(b"\xff\x00{[" * 50 + b"\n" + b"x" * 3000 + b"\n{\"stage\":\"\",\"done\":-1,\"total\":1e99}\n")
        if i % 100 == 0:
            time.sleep(0.01)
        progress("score", i, 2000)
if kind == "slow":
    images = int(os.environ.get("FAKE_SLOW_STEPS", "200"))
    for i in range(images):
        progress("score", i, images)
        time.sleep(0.05)
        if os.path.exists(os.path.join(folder, "../../../go")):
            break

total = job["dataset"]["images"]
limit = job["spec"]["limit"]
images = min(limit, total) if limit else total
seed = job["spec"].get("calibrate", {}).get("seed", 0)
labels = [(i + seed) % 2 for i in range(images)]
size = job["checkpoint"]["bytes"] // 4 + (seed % 5)
artifacts = {
    "output.txt": ("In (MB): %s\n" % (size / 1e6) + "".join("%d\n" % x for x in labels)).encode(),
    "model.safetensors": bytes(size),
    "metrics.json": json.dumps({"model": kind}).encode(),
    "log.txt": b"what the worker said\n",
}
if kind == "quiet":
    artifacts["big.bin"] = bytes(range(256)) * 40000
if job["spec"]["preset"] == "float":
    del artifacts["model.safetensors"]
    size = job["checkpoint"]["bytes"]
for name, data in artifacts.items():
    save(os.path.join(out, name), data)
result = {
    "format": 1, "job": job["job"], "state": "done", "code": None, "reason": None,
    "fingerprint": job["fingerprint"],
    "artifacts": [{"name": n, "bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()}
                  for n, d in sorted(artifacts.items())],
    "summary": {"images": images, "top1_right": max(0, images - 1 - seed % 3), "top5_right": images,
                "unreadable": int(job["spec"]["unreadable"] == "wrong"),
                "original_model_size": job["checkpoint"]["bytes"], "new_model_size": size,
                "agreement_same": images if job["run"]["float_output"] else None,
                "agreement_images": images if job["run"]["float_output"] else 0, "seconds": 0.5},
}
if kind == "fail":
    result.update(state="failed", code="bad_input", reason="image a/a_0.jpg cannot be read: it is no JPEG\x07",
                  artifacts=[], summary=None)
if kind == "liar":
    result["artifacts"][0]["sha256"] = "0" * 64
if kind == "bad_name":
    result["artifacts"][0]["name"] = "../../../../etc/passwd"
if kind == "half":
    save(os.path.join(folder, "result.json"), b'{"format":1,"job":')
    sys.exit(0)
save(os.path.join(folder, "result.json"), json.dumps(result).encode())
sys.exit(1 if kind == "fail" else 0)
