"""A precision that this machine would emulate is refused in one sentence."""

import pytest

from experiment.errors import UserError
from experiment.system import arithmetic


class FakeGpus:
    def __init__(self, *found):
        self._found = found

    def __len__(self):
        return len(self._found)

    def capabilities(self):
        return self._found


@pytest.mark.parametrize(
    ("flags", "gpus", "precision", "is_refused"),
    [
        ({"avx512f"}, None, "float32", False),
        ({"avx512f"}, None, "mixed_bfloat16", True),
        ({"avx512f", "avx512_bf16"}, None, "mixed_bfloat16", False),
        ({"amx_bf16"}, None, "mixed_bfloat16", False),
        ({"amx_bf16", "avx512_fp16"}, None, "mixed_float16", True),
        (set(), FakeGpus((7, 5)), "mixed_float16", False),
        (set(), FakeGpus((7, 5)), "mixed_bfloat16", True),
        (set(), FakeGpus((9, 0)), "mixed_bfloat16", False),
        (set(), FakeGpus((9, 0), (6, 1)), "mixed_float16", True),
    ],
)
def test_a_precision_needs_units_for_it(monkeypatch, flags, gpus, precision, is_refused):
    monkeypatch.setattr(arithmetic, "processor_flags", lambda: flags)
    monkeypatch.setattr(arithmetic, "find_gpus", lambda: gpus)
    if not is_refused:
        arithmetic.check_precision(precision)
        return
    with pytest.raises(UserError, match=rf"^precision = '{precision}': needs .*; take float32$"):
        arithmetic.check_precision(precision)


def test_flags_are_read_as_linux_writes_them(tmp_path, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    file = tmp_path / "cpuinfo"
    file.write_text("model name\t: A\nflags\t\t: fpu amx_bf16\nbugs\t: x\nflags\t\t: fpu amx_bf16\n")
    assert arithmetic.processor_flags(file) == {"fpu", "amx_bf16"}
    assert arithmetic.processor_flags(tmp_path / "none") == set()
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert arithmetic.processor_flags(file) == set()
