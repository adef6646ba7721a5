#!/usr/bin/python3
"""peer_torch.py ARCH CHECKPOINT CROPS THREADS [FOLDER]: PyTorch's own int8 network, at its best: torchvision's
quantizable model on the oneDNN engine, scripted and frozen, channels last. Answers lines on stdin with lines of JSON:

  rate int8 BATCH SECONDS   images/s, normalised tensors in, logits out;
                            one thread: by the process's own time
  files BATCH               images/s from JPEG files of FOLDER: Pillow and torchvision's transforms, then the network
  memory                    anonymous memory in bytes

CHECKPOINT "-": random weights. CROPS: u8 [n][224][224][3], also what it is calibrated with. Whoever
starts it sets malloc's variables (peers.py)."""

import json
import os
import sys
import time
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision import transforms
import torchvision.models.quantization as qmodels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def say(**answer):
    print(json.dumps(answer), flush=True)


def network(arch, checkpoint, samples):
    torch.backends.quantized.engine = "onednn"
    state = None if checkpoint == "-" else torch.load(checkpoint, map_location="cpu")
    classes = 1000 if state is None else [v for v in state.values() if v.ndim == 2][-1].shape[0]
    model = getattr(qmodels, arch)(weights=None, quantize=False, num_classes=classes)
    if state is not None:
        model.load_state_dict(state)
    model.eval()
    model.fuse_model()
    model.qconfig = torch.quantization.default_qconfig
    torch.quantization.prepare(model, inplace=True)
    with torch.no_grad():
        model(samples)
    torch.quantization.convert(model, inplace=True)
    return torch.jit.freeze(torch.jit.script(model))


class Peer:
    def __init__(self, arch, checkpoint, crops, threads, folder):
        self.threads = threads
        torch.set_num_threads(threads)
        crops = np.fromfile(crops, np.uint8).reshape(-1, 224, 224, 3)
        pixels = (crops.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
        self.pixels = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        self.model = network(arch, checkpoint, self.pixels[:8])
        self.folder, self.warm = folder, set()
        self.transform = transforms.Compose(
            [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        )

    def run(self, x):
        return self.model(x.contiguous(memory_format=torch.channels_last))

    def batch(self, size):
        repeats = -(-size // len(self.pixels))
        return self.pixels.repeat(repeats, 1, 1, 1)[:size].contiguous(memory_format=torch.channels_last)

    def rate(self, size, seconds):
        x = self.batch(size)
        if size not in self.warm:  # the executor specialises on the first calls
            for _ in range(3):
                self.model(x)
            self.warm.add(size)
        clock = time.process_time if self.threads == 1 else time.perf_counter
        images, began = 0, clock()
        while images == 0 or clock() - began < seconds:
            self.model(x)
            images += size
        return images / (clock() - began)

    def files(self, size):
        paths = sorted(
            os.path.join(where, name)
            for where, _, names in os.walk(self.folder)
            for name in names
            if name.lower().endswith((".jpg", ".jpeg"))
        )
        began = time.perf_counter()
        for first in range(0, len(paths), size):
            crops = [self.transform(Image.open(path).convert("RGB")) for path in paths[first : first + size]]
            self.run(torch.stack(crops)).argmax(1)
        return len(paths) / (time.perf_counter() - began)


def anonymous():
    with open("/proc/self/status") as f:
        return [int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:")][0]


def main():
    arch, checkpoint, crops, threads = sys.argv[1:5]
    peer = Peer(arch, checkpoint, crops, int(threads), sys.argv[5] if len(sys.argv) > 5 else None)
    say(name="PyTorch", version=torch.__version__, torchvision=torchvision.__version__)
    with torch.inference_mode():
        for line in sys.stdin:
            words = line.split()
            if words[0] == "rate":
                say(rate=peer.rate(int(words[2]), float(words[3])))
            elif words[0] == "files":
                say(rate=peer.files(int(words[1])))
            else:
                say(bytes=anonymous())


main()
