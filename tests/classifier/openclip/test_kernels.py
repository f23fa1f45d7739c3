"""The Triton kernel, in Triton's interpreter here and on a GPU where there is one, against torch's layer norm."""

import os
import subprocess
import sys

import pytest
import torch

CODE = """
import sys
import torch
from torch.nn.functional import layer_norm
from classifier.openclip.kernels import shifted_norm
torch.manual_seed(3)
for width in (100, 768, 1024):
    for dtype, near in ((torch.float32, 1e-5), (torch.float16, 5e-3), (torch.bfloat16, 4e-2)):
        x, shift, weight, bias = (torch.randn(n, width, device=sys.argv[1]).to(dtype) for n in (7, 1, 1, 1))
        found = shifted_norm(x, shift[0], weight[0], bias[0], 1e-5)
        exact = layer_norm(x.float() + shift[0].float(), (width,), weight[0].float(), bias[0].float())
        assert found.dtype == dtype
        torch.testing.assert_close(found.float(), exact, rtol=near, atol=near)
print("as torch has it")
"""


def run(device: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CODE, device], capture_output=True, text=True, env={**os.environ, **environment}
    )
    return done.stdout + done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu() -> None:
    assert "as torch has it" in run("cuda")


def test_in_the_interpreter() -> None:
    assert "as torch has it" in run("cpu", TRITON_INTERPRET="1")
