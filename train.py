#!/usr/bin/env python
"""Launch a tracked training run.

python train.py                                    the tutorial's network on MNIST, 50 epochs
python train.py --epochs 5 --optimizer adam        any parameter is a flag
python train.py --params mnist-cnn                 a parameter file, or one of params/ by its name
python train.py --rerun RUN                        repeat a run, and say whether it came out the same
python train.py --sweep tutorial --epochs 5        many runs: a sweep file, or one of params/sweeps/
"""

import sys

from experiment import not_installed

try:
    from experiment.commands.train import main
    from experiment.system import imports, streams
    from experiment.system.parser import leave
except ModuleNotFoundError as error:
    sys.exit(f"train.py: {not_installed(error)}")

if __name__ == "__main__":
    streams.settle_for_run("train.py")
    imports.let_optional_wait()
    try:
        leave(main(description=__doc__))
    except ModuleNotFoundError as error:  # of what is imported only where it is needed
        sys.exit(f"train.py: {not_installed(error)}")
