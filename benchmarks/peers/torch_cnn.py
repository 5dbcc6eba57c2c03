"""An epoch of the ``cnn`` on 10,000 images in eager PyTorch; with ``channels_last``, in that layout."""

import sys
import time

import numpy as np
import torch

from benchmarks.peers.report import EXAMPLES, report

path, epochs = sys.argv[1], int(sys.argv[2])
layout = torch.channels_last if "channels_last" in sys.argv else torch.contiguous_format
with np.load(path) as arrays:
    images = torch.from_numpy(arrays["x_train"][:EXAMPLES, None].astype(np.float32) / 255)
    labels = torch.from_numpy(arrays["y_train"][:EXAMPLES].astype(np.int64))
torch.manual_seed(0)
nn = torch.nn


def convolution(channels, filters):
    """Return layers as ``experiment.training.models`` adds them."""
    return (nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU())


layers = (
    *convolution(1, 16),
    nn.MaxPool2d(2),
    *convolution(16, 32),
    *convolution(32, 32),
    nn.MaxPool2d(2),
    *convolution(32, 64),
    *convolution(64, 64),
    nn.Flatten(),
    nn.Dropout(0.25),
    nn.Linear(64 * 7 * 7, 10),
)
model = nn.Sequential(*layers).to(memory_format=layout)
images = images.contiguous(memory_format=layout)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
compute_loss = nn.CrossEntropyLoss()
seconds, processor_seconds = [], []
for _ in range(epochs):
    begun, cpu, total = time.perf_counter(), time.process_time(), torch.zeros(())
    for chosen in torch.randperm(len(images)).split(128):
        optimizer.zero_grad()
        loss = compute_loss(model(images[chosen].contiguous(memory_format=layout)), labels[chosen])
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(chosen)
    value = float(total) / len(images)
    seconds.append(time.perf_counter() - begun)
    processor_seconds.append(time.process_time() - cpu)
report(seconds, processor_seconds, loss=value)
