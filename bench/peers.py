"""PyTorch and onnxruntime as conversations, and each at its best."""

import os

import inputs as inputs_module
import programs

HERE = os.path.dirname(os.path.abspath(__file__))
TORCH_PYTHON = "/usr/bin/python3"


def ort_python():
    return os.environ.get("NETQ_ORT_PYTHON") or TORCH_PYTHON


# name -> (its Python, modules, kinds of network)
KINDS = {
    "PyTorch": (lambda: TORCH_PYTHON, "torch, torchvision, PIL, numpy", ("int8",)),
    "onnxruntime": (ort_python, "onnxruntime, onnx, numpy", ("int8", "float")),
}
missing = {}  # name -> why, found out once


def why_missing(name):
    if name not in missing:
        python, modules, _ = KINDS[name]
        missing[name] = inputs_module.python_with(python(), modules)
    return missing[name]


class Peers:
    """The peers that are installed, each a running program on `threads` CPUs; the others are named as skipped."""

    def __init__(self, report, inputs, arch, threads, names=tuple(KINDS)):
        self.inputs, self.arch, self.threads, self.open = inputs, arch, threads, {}
        for name in names:
            if why_missing(name):
                hint = "; NETQ_ORT_PYTHON names a Python that has it" if name == "onnxruntime" else ""
                report.skip(name, why_missing(name) + hint)
            else:
                self.open[name] = self.start(name)

    def start(self, name):
        common = [self.inputs.crops, self.threads]
        if name == "onnxruntime":
            command = [
                ort_python(),
                os.path.join(HERE, "peer_ort.py"),
                self.inputs.model(self.arch),
                self.inputs.nodes(self.arch),
                *common,
            ]
            return programs.Conversation(command, self.threads)
        command = [
            TORCH_PYTHON,
            os.path.join(HERE, "peer_torch.py"),
            self.arch,
            self.inputs.checkpoint(self.arch) or "-",
            *common,
            self.inputs.images,
        ]
        # Without these Debian's PyTorch spends its time in page faults.
        return programs.Conversation(
            command,
            self.threads,
            MALLOC_MMAP_MAX_="0",
            MALLOC_TRIM_THRESHOLD_="8000000000",
            OMP_NUM_THREADS=str(self.threads),
            OMP_PROC_BIND="true",
        )

    def choose(self, batches, seconds):
        """{name: (kind, batch)} of the highest rate of each; each is then started anew, so that its memory is that
        form's alone."""
        chosen = {}
        for name, peer in self.open.items():
            kinds = KINDS[name][2]
            tried = {(kind, batch): peer.rate("rate", kind, batch, seconds) for kind in kinds for batch in batches}
            chosen[name] = max(tried, key=tried.get)
            if len(tried) == 1:
                continue
            peer.close()
            self.open[name] = self.start(name)
            self.open[name].rate("rate", *chosen[name], 0.01)
        return chosen

    def close(self):
        for peer in self.open.values():
            peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
