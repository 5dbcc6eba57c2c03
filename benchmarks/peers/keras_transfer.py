"""Transfer learning as Keras' guide does it: a frozen backbone inside the model, run in every epoch.

python -m benchmarks.peers.keras_transfer FOLDER EPOCHS

FOLDER holds train/, validation/ and test/. The backbone, its weights, the size of pictures, the head, the
rate and the class weights are those of params/pictures.toml; all else is the guide's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

SIZE, BATCH = 160, 32


def main() -> None:
    """Train, evaluate and print accuracy on the test set."""
    import keras

    from experiment.data.weights import find_weights
    from experiment.training.backbones import build_backbone

    folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
    keras.utils.set_random_seed(0)
    parts = {
        part: keras.utils.image_dataset_from_directory(
            folder / part,
            label_mode="int",
            image_size=(SIZE, SIZE),
            batch_size=BATCH,
            shuffle=part == "train",
            seed=0,
            verbose=False,
        )
        for part in ("train", "validation", "test")
    }
    names = parts["train"].class_names
    labels = np.concatenate([batch.numpy() for _, batch in parts["train"]])
    counts = np.bincount(labels, minlength=len(names))
    parts = {part: each.cache().prefetch(2) for part, each in parts.items()}

    name = "efficientnet-lite0"
    backbone = build_backbone(name, find_weights(name, "imagenet"), (SIZE, SIZE, 3))
    pixels = keras.Input((SIZE, SIZE, 3))
    x = backbone(keras.layers.Rescaling(1 / 255)(pixels), training=False)
    model = keras.Model(pixels, keras.layers.Dense(len(names))(keras.layers.Dropout(0.2)(x)))
    model.compile(
        keras.optimizers.Adam(0.003),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    weights = dict(enumerate(len(labels) / (len(counts) * counts)))
    model.fit(
        parts["train"],
        epochs=epochs,
        validation_data=parts["validation"],
        class_weight=weights,
        verbose=0,
    )
    model.save("model.keras")
    print(json.dumps({"test_accuracy": model.evaluate(parts["test"], verbose=0)[1]}))


if __name__ == "__main__":
    main()
