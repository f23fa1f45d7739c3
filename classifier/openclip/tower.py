"""open_clip's vision transformer computed in fewer and larger steps: the same embeddings, nearer the machine's limit.

What is different: pixels are normalised within the weights of the patch embedding, which is one product of matrices;
biases of what is added to the tokens are summed up once and added where they are read; QuickGELU is SiLU with its
factor in the weights; of the last block, only what the embedding hangs on is computed (the class token's way).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.openclip.pixels import Pixels

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)

_QUICK = 1.702  # QuickGELU is x·sigmoid(1.702 x); SiLU is x·sigmoid(x)
_MIDDLE = 128  # taken from every pixel: half precision then loses less on the sum over a patch
_ALIGNED = 8  # values; the fast products of half precision want rows that begin at 16 bytes

type Normalise = Callable[["Tensor", "_Norm"], "Tensor"]
"""``[tokens, width]`` of any type to the normalised in the weights' type, after adding ``_Norm.shift``."""


@dataclass(frozen=True, slots=True)
class _Norm:
    """A layer norm, and what is still to be added to the tokens before it."""

    shift: "Tensor"
    weight: "Tensor"
    bias: "Tensor"
    eps: float


@dataclass(frozen=True, slots=True)
class _Block:
    before: _Norm
    qkv: "Tensor"
    qkv_bias: "Tensor"
    out: "Tensor"
    between: _Norm
    up: "Tensor"
    up_bias: "Tensor"
    down: "Tensor"
    activation: Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]


class Tower:
    """Rows (``uint8 [n, height, width, 3]``, on ``device``) to embeddings ``float32 [n, dimensions]`` of length 1."""

    def __init__(self, visual: Any, pixels: Pixels, dtype: Any, device: str) -> None:
        """``visual`` as :func:`fits` wants it; what of its weights is in ``dtype`` already is shared with it."""
        import torch

        def placed(values: "Tensor", kind: Any = dtype) -> "Tensor":
            return values.detach().to(device, kind).contiguous()

        self._device = torch.device(device)
        self._dtype = dtype
        # Half precision is too coarse to add up in, but on a GPU that is how these models were made, and faster.
        self._stream = torch.float32 if self._device.type == "cpu" else dtype
        self._patch = int(visual.patch_size[0])
        self._heads = int(visual.transformer.resblocks[0].attn.num_heads)
        std = torch.tensor(pixels.std)
        gain = (1 / (255 * std)).view(1, 3, 1, 1)
        offset = ((_MIDDLE - 255 * torch.tensor(pixels.mean)) / (255 * std)).view(1, 3, 1, 1)
        kernels = visual.conv1.weight.detach().float().cpu()
        self.width = len(kernels)
        flat = (kernels * gain).permute(0, 2, 3, 1).reshape(self.width, -1)
        self._padding = -flat.shape[1] % _ALIGNED
        self._kernels = placed(torch.nn.functional.pad(flat, (0, self._padding)))
        places = visual.positional_embedding.detach().float().cpu().clone()
        places[0] += visual.class_embedding.detach().float().cpu()
        places[1:] += (kernels * offset).sum((1, 2, 3))
        self._places = placed(places, self._stream)

        shift = torch.zeros(self.width, device=device)

        def norm(layer: Any) -> _Norm:
            return _Norm(
                placed(shift, self._stream),
                placed(layer.weight, self._stream),
                placed(layer.bias, self._stream),
                layer.eps,
            )

        self._first = norm(visual.ln_pre) if isinstance(visual.ln_pre, torch.nn.LayerNorm) else None
        self._blocks: list[_Block] = []
        for block in visual.transformer.resblocks:
            attention, up, down = block.attn, block.mlp.c_fc, block.mlp.c_proj
            quick = not isinstance(block.mlp.gelu, torch.nn.GELU)
            factor = _QUICK if quick else 1.0
            before = norm(block.ln_1)
            shift = shift + attention.out_proj.bias.detach().float().to(device)
            self._blocks.append(
                _Block(
                    before=before,
                    qkv=placed(attention.in_proj_weight),
                    qkv_bias=placed(attention.in_proj_bias),
                    out=placed(attention.out_proj.weight),
                    between=norm(block.ln_2),
                    up=placed(up.weight * factor) if quick else placed(up.weight),
                    up_bias=placed(up.bias * factor) if quick else placed(up.bias),
                    down=placed(down.weight / factor) if quick else placed(down.weight),
                    activation=_silu if quick else _gelu_of(block.mlp.gelu.approximate, self._device.type),
                )
            )
            shift = shift + down.bias.detach().float().to(device)
        self._last = norm(visual.ln_post)
        self._projection = placed(visual.proj)
        self.normalise: Normalise = plain(dtype)
        if self._device.type == "cuda":
            self.normalise = fused(dtype, self._last)

    def __call__(self, rows: "Tensor") -> "Tensor":
        """One forward pass."""
        import torch
        from torch.nn import functional

        count = len(rows)
        tokens = self._tokens(rows)
        length = tokens.shape[1]
        x = tokens.view(-1, self.width)
        for number, block in enumerate(self._blocks, 1):
            y = self.normalise(x, block.before).view(count, length, self.width)
            if number < len(self._blocks):
                q, k, v = self._heads_of(functional.linear(y, block.qkv, block.qkv_bias), 3)
            else:
                (q,) = self._heads_of(
                    functional.linear(y[:, :1], block.qkv[: self.width], block.qkv_bias[: self.width]), 1
                )
                k, v = self._heads_of(functional.linear(y, block.qkv[self.width :], block.qkv_bias[self.width :]), 2)
                x = x.view(count, length, self.width)[:, 0].contiguous()
            seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, self.width)
            _grow(x, seen, block.out)
            y = self.normalise(x, block.between)
            _grow(x, block.activation(y, block.up, block.up_bias), block.down)
        found = self.normalise(x, self._last) @ self._projection
        return torch.nn.functional.normalize(found.float(), dim=-1)

    def _tokens(self, rows: "Tensor") -> "Tensor":
        """``[n, 1 + patches, width]``: the class token, then each patch, with its place."""
        import torch
        from torch.nn import functional

        count, height, width, _ = rows.shape
        side = self._patch
        patches = rows.view(count, height // side, side, width // side, side, 3).transpose(2, 3)
        flat = functional.pad(patches.reshape(count, -1, side * side * 3), (0, self._padding))
        flat = flat.to(self._dtype).sub_(_MIDDLE)
        tokens = torch.empty(count, flat.shape[1] + 1, self.width, dtype=self._stream, device=rows.device)
        tokens[:, 0] = self._places[0]
        torch.add(functional.linear(flat, self._kernels), self._places[1:], out=tokens[:, 1:])
        if self._first is None:
            return tokens
        return functional.layer_norm(tokens, (self.width,), self._first.weight, self._first.bias, self._first.eps)

    def _heads_of(self, packed: "Tensor", parts: int) -> tuple["Tensor", ...]:
        """Each ``[n, heads, length, width / heads]``, as views."""
        count, length, _ = packed.shape
        return packed.view(count, length, parts, self._heads, -1).permute(2, 0, 3, 1, 4).unbind()


def fits(visual: Any, pixels: Pixels) -> bool:
    """Whether :class:`Tower` can compute an image tower: open_clip's plain ViT, as OpenAI's and LAION's are."""
    import torch
    from open_clip import transformer as clip

    if type(visual) is not clip.VisionTransformer or type(visual.transformer) is not clip.Transformer:
        return False
    blocks = visual.transformer.resblocks
    plain = all(
        type(block) is clip.ResidualAttentionBlock
        and isinstance(block.ls_1, torch.nn.Identity)
        and isinstance(block.ls_2, torch.nn.Identity)
        and type(block.mlp.gelu) in (torch.nn.GELU, clip.QuickGELU)
        for block in blocks
    )
    conv = visual.conv1
    return (
        plain
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and not visual.output_tokens
        and visual.proj is not None
        and conv.bias is None
        and tuple(conv.kernel_size) == tuple(conv.stride) == tuple(visual.patch_size)
        and conv.kernel_size[0] == conv.kernel_size[1]
        and all(pixels_ % patch == 0 for pixels_, patch in zip(pixels.size, visual.patch_size, strict=True))
        and tuple(visual.image_size) == pixels.size
    )


def _grow(x: "Tensor", seen: "Tensor", weight: "Tensor") -> None:
    """Add a product to the tokens: within it, where they are of one type."""
    from torch.nn import functional

    if x.dtype == weight.dtype:
        x.addmm_(seen, weight.T)
    else:
        x.add_(functional.linear(seen, weight))


def _silu(y: "Tensor", weight: "Tensor", bias: "Tensor") -> "Tensor":
    from torch.nn import functional

    return functional.silu(functional.linear(y, weight, bias), inplace=True)


def _gelu_of(approximate: str, kind: str) -> Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]:
    import torch
    from torch.nn import functional

    def on_cuda(y: "Tensor", weight: "Tensor", bias: "Tensor") -> "Tensor":
        # cuBLAS computes this GELU (by tanh) at the end of the product itself; it is 1e-5 away from that by erf.
        return torch._addmm_activation(bias, y, weight.T, use_gelu=True)

    def elsewhere(y: "Tensor", weight: "Tensor", bias: "Tensor") -> "Tensor":
        return functional.gelu(functional.linear(y, weight, bias), approximate=approximate)

    return on_cuda if kind == "cuda" else elsewhere


def fused(dtype: Any, sample: _Norm) -> Normalise:
    """One kernel of Triton's where that works here (it wants a C compiler), else as :func:`plain`."""
    import torch

    instead = plain(dtype)
    try:
        from classifier.openclip.kernels import shifted_norm

        def normalise(x: "Tensor", norm: _Norm) -> "Tensor":
            return shifted_norm(x, norm.shift, norm.weight, norm.bias, norm.eps)

        device = sample.weight.device
        x = torch.randn(4, len(sample.weight), device=device, dtype=dtype)
        with torch.cuda.device(device):  # where Triton launches
            torch.testing.assert_close(normalise(x, sample), instead(x, sample), rtol=0.02, atol=0.02)
    # Whatever Triton and the compiler below it raise.
    except Exception as error:
        _log.warning("clip: without Triton's kernel, which does not work here (%s): some percent slower", error)
        return instead
    return normalise


def plain(dtype: Any) -> Normalise:
    """torch's own layer norm, its result in ``dtype``."""
    from torch.nn import functional

    def normalise(x: "Tensor", norm: _Norm) -> "Tensor":
        return functional.layer_norm(x + norm.shift, x.shape[-1:], norm.weight, norm.bias, norm.eps).to(dtype)

    return normalise
