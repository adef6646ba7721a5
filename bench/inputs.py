"""What is measured on: checkpoints, images, crops, quantized models; real ones where there are some."""

import glob
import os
import shutil
import subprocess

import programs

DEMO_IMAGES = os.path.join(programs.ROOT, "tests", "data", "demo", "images")
CROP_BYTES = 224 * 224 * 3


class Inputs:
    """WEIGHTS, IMAGES: folders; NETQ_SHARED (../shared where there is one): a folder with data/weights, data/photos,
    data/wnids.txt that serves where these are not set. Without weights networks are random, without images the
    demo's serve."""

    def __init__(self, scratch, crops=32, images=None):
        shared = os.environ.get("NETQ_SHARED") or os.path.join(os.path.dirname(programs.ROOT), "shared")
        self.scratch = scratch
        self.weights = os.environ.get("WEIGHTS") or os.path.join(shared, "data", "weights")
        self.images = images or os.environ.get("IMAGES") or os.path.join(shared, "data", "photos")
        if not os.path.isdir(self.images):
            self.images = DEMO_IMAGES
        wnids = os.path.join(shared, "data", "wnids.txt")
        self.wnids = wnids if os.path.exists(wnids) and self.images != DEMO_IMAGES else None
        self.files = sorted(
            os.path.join(where, name)
            for where, _, names in os.walk(self.images)
            for name in names
            if name.lower().endswith((".jpg", ".jpeg"))
        )
        if not self.files:
            raise programs.Failed("%s: no JPEG files" % self.images)
        self.crops = os.path.join(scratch, "crops")
        self.write_crops(crops)

    def write_crops(self, count):
        """u8 [n][224][224][3] of the first images."""
        names = b"".join(os.fsencode(path) + b"\0" for path in self.files[:count])
        answers = programs.tool("crop_dump", input=names)
        with open(self.crops, "wb") as f:
            while answers:
                if answers[:1] != b"k":
                    raise programs.Failed(answers[3:200].decode(errors="replace"))
                f.write(answers[1 : 1 + CROP_BYTES])
                answers = answers[1 + CROP_BYTES :]

    def checkpoint(self, arch):
        """A checkpoint of the architecture, None where there is none."""
        found = sorted(glob.glob(os.path.join(glob.escape(self.weights), arch + "*.pth")))
        return found[0] if found else None

    def read_images(self):
        """Brings all images into the page cache, so that no measurement pays for the disk."""
        for path in self.files:
            with open(path, "rb") as f:
                f.read()

    def repeated(self, count):
        """A folder with the images so many times that there are at least `count`: links, or copies."""
        copies = -(-count // len(self.files))
        if copies <= 1:
            return self.images
        folder = self.folder("repeated")
        for path in self.files:
            group = os.path.join(folder, os.path.relpath(os.path.dirname(path), self.images))
            os.makedirs(group, exist_ok=True)
            for k in range(copies):
                target = os.path.join(group, "%d-%s" % (k, os.path.basename(path)))
                try:
                    os.link(path, target)
                except OSError:
                    shutil.copy2(path, target)
        return folder

    def folder(self, name):
        """An empty folder of that name."""
        path = os.path.join(self.scratch, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
        return path

    def model(self, arch):
        """model.safetensors: quantized from the checkpoint, or random."""
        path = os.path.join(self.scratch, arch + ".safetensors")
        if os.path.exists(path):
            return path
        checkpoint = self.checkpoint(arch)
        if checkpoint is None:
            programs.program("random_model", arch, path)
            return path
        job = self.folder("quantize")
        spec = {
            "model": arch,
            "preset": "w8a8",
            "calibrate": {"source": "gaussian", "samples": 32, "seed": 1},
            "limit": 1,
        }
        programs.job(job, spec, arch, checkpoint, DEMO_IMAGES, threads=len(programs.CPUS))
        shutil.move(os.path.join(job, "out", "model.safetensors"), path)
        return path

    def engine(self, arch):
        """A conversation with netq's engine on that network and the crops."""
        command = [os.path.join(programs.BUILD, "bench", "rate"), self.model(arch), self.crops]
        return programs.Conversation(command, len(programs.CPUS))

    def nodes(self, arch):
        """The network's structure as `run_ops --nodes` prints it."""
        path = os.path.join(self.scratch, arch + ".nodes")
        with open(path, "wb") as f:
            f.write(programs.tool("run_ops", "--nodes", arch, 1000))
        return path


def python_without(python, modules):
    """What that Python lacks of the modules, in words; None where it has all."""
    try:
        done = subprocess.run([python, "-c", "import " + modules], capture_output=True, text=True)
    except OSError as error:
        return "%s: %s" % (python, error.strerror)
    return None if done.returncode == 0 else "%s: %s" % (python, done.stderr.strip().split("\n")[-1])
