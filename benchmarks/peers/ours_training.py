"""This pipeline's compiled epoch, training only; with ``cnn``, that network on 10,000 images."""

import sys
import time

from experiment.system import machine as memory

memory.grow_heaps_in_large_steps()
import itertools

import keras

from benchmarks.peers.report import EXAMPLES, report
from experiment.data.named_sets import load_arrays
from experiment.training import batches, compiled_epoch, feed, models, trainer
from experiment.training.mixing import NO_MIXING
from params.spec import Params

path, epochs = sys.argv[1], int(sys.argv[2])
is_cnn = "cnn" in sys.argv
values = {"model": "cnn", "optimizer": "adam", "initial_lr": 0.001, "dropout": 0.25} if is_cnn else {}
get_parameter = Params(**values).model_dump(by_alias=True).__getitem__
arrays = load_arrays(path)
examples = arrays.train.take(slice(EXAMPLES)) if is_cnn else arrays.train
keras.utils.set_random_seed(0)
model = models.build_model(get_parameter, examples.images.shape[1:], 10)
trainer.compile_model(model, get_parameter, len(examples))
feed.build(model, *batches.pixels_and_targets(model, examples.take(slice(1)), 10))
unmixed = NO_MIXING.draw(0, 0, len(examples), 128, examples.images.shape[1:])
orders = ((feed.epoch_order(0, epoch, len(examples)), unmixed) for epoch in itertools.count())
program = compiled_epoch.Trainer(model, examples, 10, orders, 128, 0, compiled_epoch.choose(model))
seconds, processor_seconds = [], []
for _ in range(epochs):
    begun, cpu = time.perf_counter(), time.process_time()
    blocks = iter(range(program.blocks_per_epoch))
    for _ in range(program.blocks_per_epoch):
        logs = program(blocks)
    loss = float(logs["loss"])
    model.reset_metrics()
    seconds.append(time.perf_counter() - begun)
    processor_seconds.append(time.process_time() - cpu)
report(seconds, processor_seconds, loss=loss)
