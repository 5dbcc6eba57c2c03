"""This pipeline's compiled epoch, training only."""

import sys
import time

from experiment.system import machine as memory

memory.grow_heaps_in_large_steps()
import itertools

import keras

from benchmarks.peers.report import report
from experiment.data.named_sets import load_arrays
from experiment.training import batches, compiled_epoch, feed, models, trainer
from params.spec import Params

path, epochs = sys.argv[1], int(sys.argv[2])
get_parameter = Params().model_dump(by_alias=True).__getitem__
arrays = load_arrays(path)
keras.utils.set_random_seed(0)
model = models.build_model(get_parameter, arrays.train.images.shape[1:], 10)
trainer.compile_model(model, get_parameter, len(arrays.train))
feed.build(model, *batches.pixels_and_targets(model, arrays.train.take(slice(1)), 10))
orders = (feed.epoch_order(0, epoch, len(arrays.train)) for epoch in itertools.count())
program = compiled_epoch.Trainer(model, arrays.train, 10, orders, 128, 0, compiled_epoch.XLA)
seconds = []
for _ in range(epochs):
    begun = time.perf_counter()
    blocks = iter(range(program.blocks_per_epoch))
    for _ in range(program.blocks_per_epoch):
        logs = program(blocks)
    loss = float(logs["loss"])
    model.reset_metrics()
    seconds.append(time.perf_counter() - begun)
report(seconds, loss=loss)
