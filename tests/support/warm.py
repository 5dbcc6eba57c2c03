"""What most processes of this project import: ``multiprocessing``'s fork server imports it once for them.

No program has run there: TensorFlow has computed nothing, and the SDK has looked for no run. A process that
is forked from it is as a fresh one is after its imports. What a test says of those needs a real process.
"""

import os

# As tests/conftest.py and experiment/comet/settings.py do it before anything imports the SDK.
os.environ["COMET_DISABLE_AUTO_LOGGING"] = "1"
os.environ["COMET_LOGGING_CONSOLE"] = "CRITICAL"

import comet_ml  # noqa: F401
import matplotlib.figure  # noqa: F401
import sklearn.model_selection  # noqa: F401

import experiment.comet.runs
import experiment.comet.upload
import experiment.commands.compare
import experiment.commands.models
import experiment.commands.train
import experiment.rerun.repetition
import experiment.run.story
import experiment.training.callbacks
import experiment.training.checkpoints
import experiment.training.model_check
import experiment.training.models
import experiment.training.trainer  # noqa: F401
