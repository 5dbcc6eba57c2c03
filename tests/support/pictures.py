"""Folders of small real pictures, made by Pillow from real digits."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("零", "一", "二", "三", "四", "五", "六", "七", "八", "九")


def encode(pixels: np.ndarray, format: str = "PNG", mode: str | None = None, **options) -> bytes:
    """Return pixels uint8 or uint16 [H, W] or [H, W, 3] as the bytes of a picture's file."""
    image = Image.fromarray(pixels)
    content = io.BytesIO()
    (image.convert(mode) if mode else image).save(content, format, **options)
    return content.getvalue()


def write_class(folder: Path, images: np.ndarray, prefix: str = "图") -> list[Path]:
    """Write images as PNG files into a folder of a class; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{prefix}{number:03}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(encode(image))
    return paths


def write_digits(folder: Path, digits, parts=("train", "test"), classes: int = 10) -> Path:
    """Write digits as a folder of pictures with Chinese class names; one part goes right into the folder."""
    for part in parts:
        for label in range(classes):
            images = digits[f"x_{part}"][digits[f"y_{part}"] == label]
            below = folder / part if len(parts) > 1 else folder
            write_class(below / NAMES[label], images)
    return folder


def write_layout(folder: Path, paths: Iterable[str]) -> Path:
    """Write a folder of small pictures, no two alike, at paths; one that is no picture's holds text."""
    for number, path in enumerate(paths):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
        file.write_bytes(encode(pixels) if file.suffix == ".png" else b"text")
    return folder


def write_table(
    path: Path, rows: Iterable[Iterable[str]], delimiter: str = ",", encoding: str = "utf-8"
) -> Path:
    """Write a table of labels, header first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path
