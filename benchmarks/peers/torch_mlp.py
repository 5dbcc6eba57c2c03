"""The same epoch in eager PyTorch, tensors in memory; training only."""

import sys
import time

import numpy as np
import torch

from benchmarks.peers.report import report

path, epochs = sys.argv[1], int(sys.argv[2])
with np.load(path) as arrays:
    images = torch.from_numpy(arrays["x_train"].reshape(-1, 784).astype(np.float32) / 255)
    labels = torch.from_numpy(arrays["y_train"].astype(np.int64))
torch.manual_seed(0)
nn = torch.nn
layers = (
    nn.Linear(784, 128),
    nn.ReLU(),
    nn.Linear(128, 128),
    nn.ReLU(),
    nn.Dropout(0.25),
    nn.Linear(128, 10),
)
model = nn.Sequential(*layers)
optimizer = torch.optim.Adamax(model.parameters(), lr=0.01)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9 ** (1 / 2000))
compute_loss = nn.CrossEntropyLoss()
seconds = []
for _ in range(epochs):
    begun, total = time.perf_counter(), torch.zeros(())
    for chosen in torch.randperm(len(images)).split(128):
        optimizer.zero_grad()
        loss = compute_loss(model(images[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.detach() * len(chosen)
    value = float(total) / len(images)
    seconds.append(time.perf_counter() - begun)
report(seconds, loss=value)
