#!/usr/bin/python3
"""check_crop.py [--tool CROP_DUMP] [--limit N] FOLDER...: netq's crops against Pillow's and
torchvision's, byte for byte.

CROP_DUMP is the built tests/parity/crop_dump.c (default $BUILD/tests/crop_dump). Prints TAP: a line for
the normalised pixel values, one for the fixtures of tests/data/images, then one a folder (any tree of
.jpg/.jpeg; with --limit N files spread over it) with the number of files, of files and bytes that
differ. A file must give the same bytes on both sides or be refused on both. Needs Pillow and
torchvision.
"""
import argparse
import os
import struct
import subprocess
import sys
import warnings

import numpy
import torch
from PIL import Image
from torchvision import transforms

CROP = 224 * 224 * 3
preprocess = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])


def pillow_crop(path):
    """The crop's bytes, or a string: why Pillow refuses the file."""
    try:
        with open(path, "rb") as f:
            return preprocess(Image.open(f).convert("RGB")).tobytes()
    except Exception as e:  # Pillow raises many kinds
        return f"{type(e).__name__}: {e}"


class Netq:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def crop(self, path):
        self.process.stdin.write(os.fsencode(path) + b"\0")
        self.process.stdin.flush()
        answer = self.process.stdout
        if answer.read(1) == b"k":
            return answer.read(CROP)
        (length,) = struct.unpack("<H", answer.read(2))
        return answer.read(length).decode("utf-8", "replace")


def check_pixel_table(program):
    """Every value that a normalised pixel can take, as torchvision computes it."""
    grey = numpy.arange(256, dtype=numpy.uint8).reshape(1, 256)
    picture = Image.fromarray(numpy.stack([grey] * 3, axis=2))
    normalise = transforms.Compose([
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    want = normalise(picture).numpy().tobytes()
    got = subprocess.run([program, "--table"], stdout=subprocess.PIPE, check=True).stdout
    return int((numpy.frombuffer(want, "u4") != numpy.frombuffer(got, "u4")).sum())


def images_of(folder, limit):
    paths = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names
             if name.lower().endswith((".jpg", ".jpeg"))]
    paths.sort()
    if limit and limit < len(paths):
        paths = [paths[i * len(paths) // limit] for i in range(limit)]
    return paths


def check_folder(netq, folder, limit):
    files = refused = differing = bytes_differing = 0
    for path in images_of(folder, limit):
        want, got = pillow_crop(path), netq.crop(path)
        files += 1
        if isinstance(want, str) and isinstance(got, str):
            refused += 1
        elif isinstance(want, str) or isinstance(got, str):
            differing += 1
            bytes_differing += CROP
            print(f"# {path}: Pillow {want if isinstance(want, str) else 'reads it'}, "
                  f"netq {got if isinstance(got, str) else 'reads it'}")
        elif want != got:
            n = int((numpy.frombuffer(want, "u1") != numpy.frombuffer(got, "u1")).sum())
            differing += 1
            bytes_differing += n
            print(f"# {path}: {n} bytes differ")
    return files, refused, differing, bytes_differing


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--tool", default=os.path.join(os.environ.get("BUILD", "build/release"), "tests/crop_dump"))
    arguments.add_argument("--limit", type=int, default=0)
    arguments.add_argument("folders", nargs="+")
    a = arguments.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    fixtures = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "images")
    checks = [("the fixtures", fixtures, 0)] + [(f, f, a.limit) for f in a.folders]
    program, failed = a.tool, 0
    wrong = check_pixel_table(program)
    failed += wrong > 0
    print(f"{'not ok' if wrong else 'ok'} 1 - normalised pixels: 768 values, {wrong} differ", flush=True)
    netq = Netq(program)
    for number, (title, folder, limit) in enumerate(checks, 2):
        files, refused, differing, bytes_differing = check_folder(netq, folder, limit)
        bad = differing > 0 or files == 0
        failed += bad
        print(f"{'not ok' if bad else 'ok'} {number} - crops of {title}: {files} files "
              f"({refused} refused by both), {differing} differ, {bytes_differing} bytes differ", flush=True)
    print(f"1..{len(checks) + 1}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
