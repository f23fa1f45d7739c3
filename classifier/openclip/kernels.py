"""The one kernel that torch does not have in one piece: a layer norm of what still lacks its biases. For CUDA only."""

from typing import Any

import torch
import triton
import triton.language as tl

_WARPS = 4


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def _shifted_norm(
    x_at: Any, shift_at: Any, weight_at: Any, bias_at: Any, y_at: Any, width: Any, eps: Any, BLOCK: tl.constexpr
) -> None:
    row = tl.program_id(0).to(tl.int64) * width
    column = tl.arange(0, BLOCK)
    inside = column < width
    x = tl.load(x_at + row + column, mask=inside, other=0.0).to(tl.float32)
    x += tl.load(shift_at + column, mask=inside, other=0.0).to(tl.float32)
    away = tl.where(inside, x - tl.sum(x, 0) / width, 0.0)
    y = away / tl.sqrt(tl.sum(away * away, 0) / width + eps)
    weight = tl.load(weight_at + column, mask=inside, other=0.0).to(tl.float32)
    y = y * weight + tl.load(bias_at + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(y_at + row + column, y.to(y_at.dtype.element_ty), mask=inside)


def shifted_norm(
    x: torch.Tensor, shift: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
) -> torch.Tensor:
    """Layer norm of ``x + shift`` over its last axis, computed in fp32. ``x``: ``[n, width]``, contiguous."""
    y = torch.empty_like(x)
    count, width = x.shape
    block = triton.next_power_of_2(width)
    _shifted_norm[(count,)](x, shift, weight, bias, y, width, eps, BLOCK=block, num_warps=_WARPS)
    return y
