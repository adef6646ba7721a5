#!/usr/bin/python3
"""Makes netq's embedded demo: a small trained network and a labelled JPEG split, all of our own making.

    make_demo.py              pictures, training, check: everything here from nothing (about 15 minutes on two cores)
    make_demo.py --pictures   writes images/CLASS/NAME.jpg only
    make_demo.py --train      trains and writes shufflenet_v2_x0_5.pth only
    make_demo.py --check      scores what is committed: float, PyTorch's own INT8 baseline, plain rounding to 4 bits

Needs Debian's python3-torch, python3-torchvision and python3-pil (run it with /usr/bin/python3). Every random number
comes from SEED: the pictures are the same bytes for the same Pillow and NumPy; the weights are the same for the same
PyTorch, CPU and thread count, and elsewhere differ as float sums do.
"""
import argparse
import io
import math
import os
import shutil
import sys
import time
import warnings

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

warnings.filterwarnings("ignore")
import torch
import torchvision
import torchvision.models.quantization
from torchvision import datasets, transforms

SEED = 20210809
HERE = os.path.dirname(os.path.abspath(__file__))
IMAGES = os.path.join(HERE, "images")
WEIGHTS = os.path.join(HERE, "shufflenet_v2_x0_5.pth")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = ["checker", "cross", "disc", "hexagon", "pentagon", "ring", "spiral", "square", "star", "triangle"]
SPLIT_PER_CLASS = 25
POOL_PER_CLASS = 600
# (epochs, side of the training picture): most of the learning happens on small pictures, which cost a fourth.
STAGES = [(24, 128), (8, 224)]
SUPERSAMPLE = 2


# ---- drawing: shapes live in the unit disc and reach the canvas through one affine map

class Placement:
    """Affine map from the unit disc to canvas pixels: rotation, stretch, shear, size and place are all random."""

    def __init__(self, rng, width, height, radius, jitter):
        side = min(width, height)
        angle = rng.uniform(0, 2 * math.pi)
        stretch, shear = rng.uniform(0.85, 1.18), rng.uniform(-0.18, 0.18)
        c, s = math.cos(angle), math.sin(angle)
        self.matrix = radius * side * np.array([[c, -s], [s, c]]) @ np.array([[stretch, shear], [0, 1 / stretch]])
        self.centre = np.array([width / 2, height / 2]) + rng.uniform(-jitter, jitter, 2) * side
        self.radius = radius * side

    def __call__(self, points):
        return [tuple(p) for p in np.asarray(points) @ self.matrix.T + self.centre]


def regular(n, radius=1.0, phase=0.0):
    return [(radius * math.cos(phase + 2 * math.pi * k / n), radius * math.sin(phase + 2 * math.pi * k / n))
            for k in range(n)]


def star_points(inner):
    outer_ring, inner_ring = regular(5), regular(5, inner, math.pi / 5)
    return [p for pair in zip(outer_ring, inner_ring) for p in pair]


def cross_points(arm):
    return [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm),
            (arm, 1), (-arm, 1), (-arm, arm), (-1, arm), (-1, -arm), (-arm, -arm)]


def spiral_points(rng):
    turns, handed = rng.uniform(1.8, 2.8), rng.choice([-1, 1])
    t = np.linspace(0.08, 1, 160)
    a = handed * 2 * math.pi * turns * t
    return np.stack([t * np.cos(a), t * np.sin(a)], 1), 1 / turns


def cells(rng):
    """The dark cells of a checkerboard that covers more than the unit disc; the caller clips them."""
    n = int(rng.integers(4, 8))
    edges = np.linspace(-1.2, 1.2, n + 1) + rng.uniform(-0.15, 0.15)
    return [[(edges[i], edges[j]), (edges[i + 1], edges[j]), (edges[i + 1], edges[j + 1]), (edges[i], edges[j + 1])]
            for i in range(n) for j in range(n) if (i + j) % 2 == 0]


def shape_mask(rng, name, size, place):
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    if name == "checker":
        for cell in cells(rng):
            draw.polygon(place(cell), fill=255)
        clip = Image.new("L", size)
        outline = regular(4, 1.25) if rng.random() < 0.5 else regular(48)
        ImageDraw.Draw(clip).polygon(place(outline), fill=255)
        return ImageChops.multiply(mask, clip)
    if name == "spiral":
        points, pitch = spiral_points(rng)
        width = max(3, int(place.radius * pitch * rng.uniform(0.3, 0.55)))
        draw.line(place(points), fill=255, width=width, joint="curve")
        return mask
    if name == "ring":
        draw.polygon(place(regular(64)), fill=255)
        draw.polygon(place(regular(64, rng.uniform(0.5, 0.8))), fill=0)
        return mask
    points = {"cross": lambda: cross_points(rng.uniform(0.2, 0.36)), "disc": lambda: regular(64),
              "hexagon": lambda: regular(6), "pentagon": lambda: regular(5), "square": lambda: regular(4, 1.05),
              "star": lambda: star_points(rng.uniform(0.38, 0.55)), "triangle": lambda: regular(3, 1.1)}[name]()
    draw.polygon(place(points), fill=255)
    if name != "disc" and rng.random() < 0.25:  # an outline only: a hollow hexagon is near to a ring
        hole = np.asarray(points) * rng.uniform(0.6, 0.78)
        draw.polygon(place(hole), fill=0)
    return mask


def random_colour(rng, away_from=None, distance=0.0):
    while True:
        colour = rng.integers(0, 256, 3)
        if away_from is None or np.linalg.norm(colour - away_from) >= distance:
            return colour.astype(float)


def smooth_field(rng, width, height, amplitude):
    grid = rng.normal(0, 1, (int(rng.integers(3, 7)), int(rng.integers(3, 7)))).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.BICUBIC)) * amplitude


def gradient(rng, width, height, first, second):
    angle = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[-1:1:height * 1j, -1:1:width * 1j]
    t = np.clip(0.5 + 0.35 * (x * math.cos(angle) + y * math.sin(angle)), 0, 1)[..., None]
    return first * (1 - t) + second * t


def scatter(rng, canvas, count, smallest, largest):
    """Clutter: thin lines and small filled shapes of no class in particular."""
    draw = ImageDraw.Draw(canvas)
    width, height = canvas.size
    side = min(width, height)
    for _ in range(count):
        colour = tuple(int(v) for v in random_colour(rng))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        r = rng.uniform(smallest, largest) * side
        if rng.random() < 0.4:
            a, length = rng.uniform(0, 2 * math.pi), rng.uniform(2, 6) * r
            draw.line([(x, y), (x + length * math.cos(a), y + length * math.sin(a))], fill=colour,
                      width=int(rng.integers(2, 6)))
        else:
            corners = regular(int(rng.integers(3, 9)), r, rng.uniform(0, 6.3))
            draw.polygon([(x + dx, y + dy) for dx, dy in corners], fill=colour)


def occlude(rng, canvas, place):
    """Covers part of the object: a bar across it, or a blob at its edge."""
    draw = ImageDraw.Draw(canvas)
    colour = tuple(int(v) for v in random_colour(rng))
    a = rng.uniform(0, 2 * math.pi)
    away = place.centre + place.radius * rng.uniform(0.3, 0.9) * np.array([math.cos(a), math.sin(a)])
    if rng.random() < 0.5:
        along = np.array([-math.sin(a), math.cos(a)]) * place.radius * 1.6
        draw.line([tuple(away - along), tuple(away + along)], fill=colour,
                  width=max(2, int(place.radius * rng.uniform(0.08, 0.3))))
    else:
        r = place.radius * rng.uniform(0.15, 0.45)
        draw.polygon([tuple(away + p) for p in np.asarray(regular(int(rng.integers(3, 20)), r))], fill=colour)


def draw_picture(rng, name):
    """One picture of a class, RGB, each side 180 to 320 pixels."""
    width, height = (int(v) for v in rng.integers(180, 321, 2))
    w, h = width * SUPERSAMPLE, height * SUPERSAMPLE
    back = random_colour(rng)
    front = random_colour(rng, back, rng.uniform(50, 180))
    field = gradient(rng, w, h, back, back + rng.normal(0, 35, 3))
    field = field + smooth_field(rng, w, h, rng.uniform(0, 18))[..., None]
    canvas = Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))
    scatter(rng, canvas, int(rng.integers(0, 9)), 0.01, 0.06)
    place = Placement(rng, w, h, rng.uniform(0.15, 0.38), 0.11)
    fill = gradient(rng, w, h, front, front + rng.normal(0, 20, 3))
    canvas.paste(Image.fromarray(np.clip(fill, 0, 255).astype(np.uint8)), mask=shape_mask(rng, name, (w, h), place))
    for _ in range(int(rng.choice([0, 1, 2], p=[0.4, 0.4, 0.2]))):
        occlude(rng, canvas, place)
    canvas = canvas.resize((width, height), Image.BOX)
    if rng.random() < 0.5:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.8)))
    noise = rng.normal(0, rng.uniform(0, 9), (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(canvas) + noise, 0, 255).astype(np.uint8))


def jpeg_bytes(rng, picture):
    """The JPEG kinds that real collections hold: some grey, some progressive, chroma at full or half resolution."""
    if rng.random() < 0.04:
        picture = picture.convert("L")
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=int(rng.integers(80, 91)), progressive=bool(rng.random() < 0.1),
                 subsampling=int(rng.choice([2, 2, 2, 1, 0])))
    return out.getvalue()


def make_jpeg(split, label, index):
    rng = np.random.default_rng([SEED, split, label, index])
    return jpeg_bytes(rng, draw_picture(rng, CLASSES[label]))


def write_pictures():
    shutil.rmtree(IMAGES, ignore_errors=True)
    for label, name in enumerate(CLASSES):
        os.makedirs(os.path.join(IMAGES, name))
        for index in range(SPLIT_PER_CLASS):
            with open(os.path.join(IMAGES, name, "%s_%03d.jpg" % (name, index)), "wb") as f:
                f.write(make_jpeg(1, label, index))


# ---- training

def make_pool():
    """Training pictures, JPEG coded, resized and cropped as the scored ones are: u8 [N][3][224][224]."""
    crop = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()])
    pool = torch.empty(POOL_PER_CLASS * len(CLASSES), 3, 224, 224, dtype=torch.uint8)
    labels = torch.empty(len(pool), dtype=torch.long)
    for i in range(len(pool)):
        labels[i] = i % len(CLASSES)
        jpeg = make_jpeg(0, i % len(CLASSES), i // len(CLASSES))
        pool[i] = crop(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    return pool, labels


def normalise(batch):
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((batch.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def augment(batch, generator):
    """The eight symmetries of the square, and any order of the colour channels: none of them changes a class."""
    parts = []
    for part in batch.split(4):
        k, flip = (int(torch.randint(n, (1,), generator=generator)) for n in (4, 2))
        part = torch.rot90(part, k, (2, 3))
        part = part.flip(3) if flip else part
        parts.append(part[:, torch.randperm(3, generator=generator)])
    return torch.cat(parts)


def shrink(pool, side):
    if side == pool.shape[2]:
        return pool
    resize = transforms.Resize(side, antialias=True)
    return torch.cat([resize(part) for part in pool.split(100)])


def settle_batchnorm(model, pool):
    """Replaces the running statistics, a moving average over the last batches, by the mean over the whole pool."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    model.train()
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        for index in order.split(100):
            model(normalise(pool[index]))


def train():
    started = time.time()
    pool, labels = make_pool()
    print("pool: %d pictures, %.0f s" % (len(pool), time.time() - started), flush=True)
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = torchvision.models.shufflenet_v2_x0_5(num_classes=len(CLASSES)).to(memory_format=torch.channels_last)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0}])
    loss_of = torch.nn.CrossEntropyLoss()
    sides = [side for epochs, side in STAGES for _ in range(epochs)]
    batches = len(pool) // 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=len(sides) * batches, pct_start=0.15)
    model.train()
    for epoch, side in enumerate(sides):
        if epoch == 0 or side != sides[epoch - 1]:
            pictures = shrink(pool, side)
        total = right = 0
        for index in torch.randperm(len(pool), generator=generator)[:batches * 64].split(64):
            out = model(normalise(augment(pictures[index], generator)))
            loss = loss_of(out, labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            right += (out.argmax(1) == labels[index]).sum().item()
        print("epoch %2d side %d loss %.3f train top-1 %.2f, %.0f s" %
              (epoch, side, total / batches, 100 * right / (64 * batches), time.time() - started), flush=True)
    settle_batchnorm(model, pool)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    torch.save(type(model.state_dict())(state), WEIGHTS)


# ---- checking

def load_model():
    state = torch.load(WEIGHTS, map_location="cpu")
    model = torchvision.models.quantization.shufflenet_v2_x0_5(quantize=False, num_classes=len(CLASSES))
    model.load_state_dict(state)
    model.eval()
    model.fuse_model()
    return model


def load_split():
    data = datasets.ImageFolder(IMAGES, transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]))
    if data.classes != CLASSES:
        sys.exit("make_demo.py: the folders of %s are not the classes; run make_demo.py --pictures" % IMAGES)
    items = list(data)
    return torch.stack([x for x, _ in items]), torch.tensor([y for _, y in items])


def predictions(model, x):
    with torch.no_grad():
        return torch.cat([model(part).max(1)[1] for part in x.split(50)])


def baseline_int8(model, samples, seed):
    """The challenge's baseline by PyTorch itself: default_qconfig, unit-Gaussian calibration samples."""
    engines = torch.backends.quantized.supported_engines
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in engines else "onednn"
    model.qconfig = torch.ao.quantization.default_qconfig
    torch.ao.quantization.prepare(model, inplace=True)
    torch.manual_seed(seed)
    with torch.no_grad():
        for first in range(0, samples, 32):
            model(torch.randn(min(32, samples - first), 3, 224, 224))
    torch.ao.quantization.convert(model, inplace=True)
    return model


def round_weights(model, bits, per_channel):
    """Plain rounding of the folded weights, min-max and symmetric; activations stay float."""
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            w = module.weight.data
            top = w.abs().flatten(1).max(1)[0].view(-1, *[1] * (w.ndim - 1)) if per_channel else w.abs().max()
            scale = (top / (2 ** (bits - 1) - 0.5)).clamp_min(1e-12)
            module.weight.data = (w / scale).round().clamp(-2 ** (bits - 1), 2 ** (bits - 1) - 1) * scale
    return model


def round_inputs(model, bits, samples):
    """Plain rounding of what every convolution but the first, and the classifier, read; ranges from Gaussian samples."""
    torch.manual_seed(1)
    readers = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))][1:]
    ranges = {m: [0.0, 0.0] for m in readers}

    def observe(module, inputs):
        low, high = ranges[module]
        ranges[module] = [min(low, inputs[0].min().item()), max(high, inputs[0].max().item())]

    def quantize(module, inputs):
        low, high = ranges[module]
        scale = (high - low) / (2 ** bits - 1)
        return (torch.fake_quantize_per_tensor_affine(inputs[0], scale, round(-low / scale), 0, 2 ** bits - 1),)

    hooks = [m.register_forward_pre_hook(observe) for m in readers]
    predictions(model, torch.randn(samples, 3, 224, 224))
    for module, hook in zip(readers, hooks):
        hook.remove()
        module.register_forward_pre_hook(quantize)
    return model


def check(samples):
    x, y = load_split()
    floating = predictions(load_model(), x)

    def show(what, labels):
        print("%-52s top-1 %6.2f %%  (%d of %d), equal to float %6.2f %%" % (
            what, 100 * (labels == y).float().mean(), (labels == y).sum(), len(y),
            100 * (labels == floating).float().mean()), flush=True)

    show("float", floating)
    for seed in (1, 2, 3):
        show("INT8 baseline, %d Gaussian samples, seed %d" % (samples, seed),
             predictions(baseline_int8(load_model(), samples, seed), x))
    for per_channel in (False, True):
        grain = "channel" if per_channel else "tensor"
        rounded = round_weights(load_model(), 4, per_channel)
        show("weights 4 bits per %s, activations float" % grain, predictions(rounded, x))
        show("weights 4 bits per %s, activations 4 bits" % grain, predictions(round_inputs(rounded, 4, samples), x))
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(HERE) for f in files)
    print("%d images, %d classes, checkpoint %d bytes, the whole demo %d bytes" % (
        len(y), len(CLASSES), os.path.getsize(WEIGHTS), size))
    return 100 * (floating == y).float().mean() > 90


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", action="store_true", help="write the images only")
    parser.add_argument("--train", action="store_true", help="train and write the checkpoint only")
    parser.add_argument("--check", action="store_true", help="score what is here")
    parser.add_argument("--samples", type=int, default=256, help="calibration samples of the check's baseline")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    everything = not (args.pictures or args.train or args.check)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    if args.pictures or everything:
        write_pictures()
    if args.train or everything:
        train()
    if (args.check or everything) and not check(args.samples):
        sys.exit("make_demo.py: the float network is not above 90 %")


if __name__ == "__main__":
    main()
