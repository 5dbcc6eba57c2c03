"""A whole run on arrays at the edge of what is accepted: small, not square, a validation part."""

import os

import numpy as np
import pytest
from PIL import Image

from experiment.__main__ import main
from experiment.run.story import Options, train_and_evaluate
from params.spec import Params
from tests.data.test_array_checks import made


def test_small_images_that_are_not_square_train_are_drawn_and_are_predicted(tmp_path, capsys):
    arrays = made((4, 5, 3), train=40, test=20)
    extra = {"x_val": arrays["x_test"][:12] ^ 1, "y_val": arrays["y_test"][:12], "other": np.zeros(1)}
    notices: list[str] = []
    record = train_and_evaluate(
        Params(epochs=1, compile="off"),
        dataset=arrays | extra,
        options=Options(mode="offline", quiet=True, on_notice=notices.append),
    )
    assert record.params["validation"] == "folder"
    assert record.params["allow-duplicates"] is False
    assert record.run["dataset"]["validation"] == 12
    assert notices == ["arrays: not used, as only x_ and y_ of train, val and test are: other"]
    assert {"samples.png", "mistakes.png"} <= set(os.listdir(tmp_path / "runs" / record.key / "figures"))
    Image.fromarray(arrays["x_test"][0]).save("one.png")
    assert main(["predict", record.source, "one.png"]) == 0
    assert capsys.readouterr().out.startswith("one.png  ")


@pytest.mark.parametrize(
    "changes", [{"x_test": made()["x_train"][:8]}, {"x_train": np.zeros((12, 1, 20), np.uint8)}]
)
def test_nothing_is_written_where_arrays_are_refused(changes, tmp_path):
    with pytest.raises(ValueError, match="dataset 'arrays': "):
        train_and_evaluate(Params(), dataset=made(**changes), options=Options(mode="offline", quiet=True))
    assert not list(tmp_path.iterdir())
