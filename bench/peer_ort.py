"""peer_ort.py MODEL.safetensors NODES CROPS THREADS: onnxruntime on the same quantized network, at its best: a model
for each fixed batch, all graph optimizations. NODES: what `run_ops --nodes` prints. Answers lines on stdin with lines
of JSON:

  rate int8|float BATCH SECONDS   images/s, normalised tensors in, logits out;
                                  one thread: by the process's own time
  labels                          the labels of all crops, int8
  memory                          anonymous memory in bytes"""

import json
import sys
import time

import numpy as np
import onnxruntime

import onnx_model

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def say(**answer):
    print(json.dumps(answer), flush=True)


class Peer:
    def __init__(self, model, nodes, crops, threads):
        self.tensors = onnx_model.read_safetensors(model)[1]
        self.nodes = [onnx_model.Node(line) for line in open(nodes)]
        self.threads, self.sessions = threads, {}
        pixels = np.fromfile(crops, np.uint8).reshape(-1, 224, 224, 3).astype(np.float32)
        self.pixels = np.ascontiguousarray(((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2))

    def session(self, kind, batch):
        """The session of a kind and batch; made and warmed at its first use."""
        if (kind, batch) not in self.sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
            options.log_severity_level = 3
            data = onnx_model.build(self.nodes, self.tensors, batch, kind == "int8")
            made = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            self.sessions[kind, batch] = made
            for _ in range(2):
                made.run(None, {"x": self.batch(0, batch)})
        return self.sessions[kind, batch]

    def batch(self, first, size):
        return np.ascontiguousarray(np.take(self.pixels, range(first, first + size), axis=0, mode="wrap"))

    def rate(self, kind, size, seconds):
        session, x = self.session(kind, size), self.batch(0, size)
        clock = time.process_time if self.threads == 1 else time.perf_counter
        images, began = 0, clock()
        while images == 0 or clock() - began < seconds:
            session.run(None, {"x": x})
            images += size
        return images / (clock() - began)

    def labels(self):
        session = self.session("int8", 1)
        return [int(session.run(None, {"x": self.batch(i, 1)})[0][0].argmax()) for i in range(len(self.pixels))]


def anonymous():
    with open("/proc/self/status") as f:
        return [int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:")][0]


def main():
    model, nodes, crops, threads = sys.argv[1:5]
    peer = Peer(model, nodes, crops, int(threads))
    say(name="onnxruntime", version=onnxruntime.__version__)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "rate":
            say(rate=peer.rate(words[1], int(words[2]), float(words[3])))
        elif words[0] == "labels":
            say(labels=peer.labels())
        else:
            say(bytes=anonymous())


main()
