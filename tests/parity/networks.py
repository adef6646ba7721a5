"""The networks that parity checks compare: real checkpoints where NETQ_SHARED names a folder with data/weights,
and a random ShuffleNetV2 x0.5, in PyTorch's form."""
import os
import subprocess
import sys
import warnings

warnings.filterwarnings("ignore")
try:
    import torch
    import torchvision.models.quantization as qmodels
except ImportError as missing:
    print("ok 1 - %s # SKIP %s" % (os.path.basename(sys.argv[0]), missing))
    sys.exit(0)

BUILD = os.environ.get("BUILD", "build/release")
SHARED = os.environ.get("NETQ_SHARED", "")
REAL = ["resnet18", "mobilenet_v2", "shufflenet_v2_x1_0"]


def checkpoints(scratch, names):
    """[(label, architecture, path)]; a random network stands in for a real one that is not there."""
    found = []
    for arch in names:
        path = os.path.join(SHARED, "data", "weights", arch + "-rebuilt.pth")
        if SHARED and os.path.exists(path):
            found.append((arch, arch, path))
        else:
            path = os.path.join(scratch, arch + ".pth")
            random_checkpoint(arch, path)
            found.append(("random " + arch, arch, path))
    return found


def random_checkpoint(arch, path):
    torch.manual_seed(7)
    state = getattr(qmodels, arch)(weights=None, quantize=False, num_classes=100).state_dict()
    for name, value in state.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.dtype == torch.float32 and value.ndim == 1:
            value.add_(torch.randn(value.shape) * 0.2)
    torch.save(state, path)


def fused(arch, path):
    """The float network as the baseline has it before it observes."""
    state = torch.load(path, map_location="cpu")
    classes = [v for v in state.values() if v.ndim == 2][-1].shape[0]
    model = getattr(qmodels, arch)(weights=None, quantize=False, num_classes=classes)
    model.load_state_dict(state)
    model.eval()
    model.fuse_model()
    return model


def run(model, x, batch=32):
    with torch.no_grad():
        return torch.cat([model(x[i:i + batch]) for i in range(0, len(x), batch)])


def tool(name, *arguments):
    """What a tool of tests/parity writes to stdout, as bytes."""
    done = subprocess.run([os.path.join(BUILD, "tests", name), *map(str, arguments)], stdout=subprocess.PIPE)
    if done.returncode != 0:
        print("not ok - %s %s ended with %d" % (name, arguments[0], done.returncode), flush=True)
        sys.exit(1)
    return done.stdout


class Tap:
    """Lines of TAP, and the exit status they add up to."""

    def __init__(self):
        self.number = self.failures = 0

    def check(self, good, text):
        self.number += 1
        self.failures += not good
        print("%sok %d - %s" % ("" if good else "not ", self.number, text), flush=True)

    def end(self):
        print("1..%d" % self.number)
        sys.exit(self.failures > 0)
