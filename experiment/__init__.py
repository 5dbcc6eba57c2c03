"""One tracked run of a Keras image classifier, and what is done with runs afterwards."""

import os

# TensorFlow reads both when it is imported. By itself it takes oneDNN's convolutions on some processors only;
# where it does not (AMD without AVX-512), they took the network of mnist-cnn from 138 to 107 ms a step.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
