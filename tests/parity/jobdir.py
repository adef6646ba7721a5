"""Running netq-worker by hand: a job directory from Python."""
import json
import os
import subprocess

BUILD = os.environ.get("BUILD", "build/release")


def place(path):
    """A file or folder as job.json names it."""
    path = os.path.abspath(path)
    return {"root": os.path.dirname(path), "path": os.path.basename(path)}


def prepare(folder, spec, arch, checkpoint, images, wnids=None, labels=None, calibration=None,
            quantized=None, float_output=None, threads=2, cache=None):
    """Writes job.json into `folder`; cache: a folder for crops."""
    os.makedirs(folder, exist_ok=True)
    job = {
        "format": 1, "job": 1, "spec": dict(spec, dataset="data"), "fingerprint": "0" * 64,
        "checkpoint": {"arch": arch}, "dataset": {"name": "data"},
        "run": {
            "checkpoint": place(checkpoint), "dataset": {"root": os.path.abspath(images), "path": ""},
            "wnids": wnids and place(wnids), "labels": labels and place(labels),
            "calibration": calibration and place(calibration),
            "quantized": quantized and place(quantized),
            "float_output": float_output and place(float_output),
            "cache": cache and {"directory": os.path.abspath(cache), "limit": 1 << 40, "keep_free": 0},
            "threads": threads, "daemon_pid": 0,
        },
    }
    with open(os.path.join(folder, "job.json"), "w") as f:
        json.dump(job, f)


def run(folder, *job, env=None, **more):
    """Runs one job in `folder` (see prepare()); returns (metrics, labels). Raises with the worker's sentence where it fails."""
    prepare(folder, *job, **more)
    done = subprocess.run([os.path.join(BUILD, "netq-worker"), folder], capture_output=True, text=True,
                          env=dict(os.environ, **(env or {})))
    if done.returncode != 0:
        raise RuntimeError("netq-worker ended with %d: %s" % (done.returncode, done.stderr.strip()[-500:]))
    metrics = json.load(open(os.path.join(folder, "out", "metrics.json")))
    lines = open(os.path.join(folder, "out", "output.txt")).read().split("\n")
    return metrics, [int(v) for v in lines[1:-1]]
