#!/usr/bin/env python3
"""Steps of ZeroQ's synthesis on 32 images, beside PyTorch at its best, in turns. `make bench-distill` runs it.

PyTorch tries both memory formats and takes the faster; malloc is told to keep its pages. Settings come from the
environment:

  NETQ_SHARED  folder with data/weights/MODEL-rebuilt.pth
  MODELS       default: the challenge's three
  THREADS      default: all CPUs
  STEPS        of each turn, default 3
  TURNS        default 3
"""
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(HERE)
BUILD = os.path.join(SOURCE, os.environ.get("BUILD") or "build/release")
IMAGES = 32
ZEROQ, INIT_ZEROQ = "1", "2"

PEER = r"""
import sys, time, warnings
warnings.filterwarnings("ignore")
import torch, torchvision
arch, path, threads, images = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
state = torch.load(path, map_location="cpu")
model = getattr(torchvision.models, arch)(weights=None)
model.load_state_dict(state)
model.eval().requires_grad_(False)
seen = []
norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
for norm in norms:
    norm.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
targets = [(torch.zeros(3), torch.ones(3))] + [(m.running_mean, torch.sqrt(m.running_var + 1e-6)) for m in norms]

def loss_of(x):
    seen.clear()
    model(x)
    total = 0
    for value, (mean, deviation) in zip([x] + seen, targets):
        flat = value.flatten(2)
        total = total + ((flat.mean(2) - mean) ** 2).sum() / len(x)
        total = total + ((torch.sqrt(flat.var(2) + 1e-6) - deviation) ** 2).sum() / len(x)
    return total

def begin(layout):
    x = ((torch.randint(255, (images, 3, 224, 224)).float() - 127.5) / 5418.75).contiguous(memory_format=layout)
    x.requires_grad_()
    return x, torch.optim.Adam([x], lr=0.5)

def steps(x, optimizer, count):
    began = time.monotonic()
    for _ in range(count):
        optimizer.zero_grad()
        loss_of(x).backward()
        optimizer.step()
    return (time.monotonic() - began) / count

def in_layout(layout):
    model.to(memory_format=layout)
    run = begin(layout)
    steps(*run, 1)
    return run, steps(*run, 2)

layouts = [torch.contiguous_format, torch.channels_last]
best = min(layouts, key=lambda layout: in_layout(layout)[1])
run = in_layout(best)[0]
print("ready", "channels_last" if best is torch.channels_last else "contiguous", flush=True)
for line in sys.stdin:
    print(steps(*run, int(line)), flush=True)
"""


def ours(arch, path, threads, steps):
    """Seconds a step: what more steps cost, so that loading is left out."""
    seconds = []
    for count in (0, steps):
        command = [os.path.join(BUILD, "tests/distill_dump"), arch, path, ZEROQ, INIT_ZEROQ, str(IMAGES), str(count),
                   str(threads)]
        began = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.monotonic() - began)
    return (seconds[1] - seconds[0]) / steps


def peer(arch, path, threads):
    quiet = dict(os.environ, MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_="8000000000", OMP_NUM_THREADS=str(threads),
                 OMP_PROC_BIND="true")
    process = subprocess.Popen(["/usr/bin/python3", "-c", PEER, arch, path, str(threads), str(IMAGES)], env=quiet,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    words = process.stdout.readline().split()
    if not words or words[0] != "ready":
        sys.exit("bench-distill: PyTorch did not start: is python3-torch there, and enough memory?")
    return process, words[1]


def main():
    shared = os.environ.get("NETQ_SHARED")
    if not shared:
        sys.exit("bench-distill: NETQ_SHARED must name a folder with data/weights")
    threads = int(os.environ.get("THREADS") or os.cpu_count())
    steps, turns = int(os.environ.get("STEPS") or 3), int(os.environ.get("TURNS") or 3)
    models = (os.environ.get("MODELS") or "resnet18,mobilenet_v2,shufflenet_v2_x1_0").split(",")
    print("ZeroQ, %d images, %d threads, the best of %d turns of %d steps" % (IMAGES, threads, turns, steps))
    print("| network | netq s/step | PyTorch s/step | PyTorch / netq | 500 steps, netq | PyTorch's memory format |")
    print("|---|---:|---:|---:|---:|---|")
    for arch in models:
        path = os.path.join(shared, "data", "weights", arch + "-rebuilt.pth")
        process, layout = peer(arch, path, threads)
        mine, theirs = [], []
        for _ in range(turns):
            mine.append(ours(arch, path, threads, steps))
            process.stdin.write("%d\n" % steps)
            process.stdin.flush()
            theirs.append(float(process.stdout.readline()))
        process.stdin.close()
        process.wait()
        a, b = min(mine), min(theirs)
        print("| %s | %.2f | %.2f | %.2f | %.0f s | %s |" % (arch, a, b, b / a, 500 * a, layout), flush=True)


main()
