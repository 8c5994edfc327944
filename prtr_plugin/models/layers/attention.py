import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FusedMultiheadAttention(nn.Module):
    """Multi-head attention through ``scaled_dot_product_attention``.

    Parameters, their names and results equal those of mmcv's
    ``MultiheadAttention``, which requests the attention weights and so rules
    out the fused kernels. Positions are projected separately and added to the
    projected queries and keys: positions that all images share are then
    projected once instead of once per image, and queries, keys and values need
    only one matrix product.

    Args:
        embed_dims (int): Width D of the embeddings
        num_heads (int): Number of attention heads
        dropout (float): Dropout of the attention weights and of the output.
            Defaults to 0.0
    """

    def __init__(self, embed_dims: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed_dims = embed_dims
        self.num_heads = num_heads
        # only its parameters are used
        self.attn = nn.MultiheadAttention(embed_dims, num_heads, dropout)
        self.dropout_layer = nn.Dropout(dropout)

    def project(
        self,
        query: Tensor,
        key: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_pos: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Project the inputs of :meth:`forward` for the attention heads.

        Args:
            query (Tensor): See :meth:`forward`
            key (Tensor, optional): See :meth:`forward`
            query_pos (Tensor, optional): See :meth:`forward`
            key_pos (Tensor, optional): See :meth:`forward`

        Returns:
            tuple[Tensor, Tensor, Tensor]: Queries in shape
            (B, heads, Nq, D / heads), keys and values in shape
            (B, heads, Nk, D / heads).
        """
        weight, bias = self.attn.in_proj_weight, self.attn.in_proj_bias
        d = self.embed_dims
        if key is None:
            q, k, v = F.linear(query, weight, bias).chunk(3, dim=-1)
            if query_pos is not None:
                pos_q, pos_k = F.linear(query_pos, weight[: 2 * d]).chunk(2, dim=-1)
                q, k = q + pos_q, k + pos_k
        else:
            q = F.linear(query, weight[:d], bias[:d])
            k, v = F.linear(key, weight[d:], bias[d:]).chunk(2, dim=-1)
            if query_pos is not None:
                q = q + F.linear(query_pos, weight[:d])
            if key_pos is not None:
                k = k + F.linear(key_pos, weight[d : 2 * d])
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        return q, k, v

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend from ``query`` to ``key``, whose content is also the value.

        Args:
            query (Tensor): Queries in shape (B, Nq, D)
            key (Tensor, optional): Keys and values in shape (B, Nk, D).
                Defaults to ``query``, which is self-attention with
                ``query_pos`` on queries and keys
            identity (Tensor, optional): Residual to add to the output, in
                shape (B, Nq, D). Defaults to ``query``
            query_pos (Tensor, optional): Positions of the queries in shape
                (B or 1, Nq, D)
            key_pos (Tensor, optional): Positions of the keys in shape
                (B or 1, Nk, D). Only used with ``key``
            key_padding_mask (Tensor, optional): ``True`` for keys to ignore,
                in shape (B, Nk)

        Returns:
            Tensor: ``identity`` plus the attention output, in shape
            (B, Nq, D).
        """
        q, k, v = self.project(query, key, query_pos, key_pos)
        mask = None
        if key_padding_mask is not None:
            # here True means "take part", the opposite of the argument
            mask = ~key_padding_mask.bool()[:, None, None, :]
        out = attend(q, k, v, mask, self.attn.dropout if self.training else 0.0)
        out = self.attn.out_proj(out.transpose(1, 2).flatten(2))

        identity = query if identity is None else identity
        return identity + self.dropout_layer(out)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """``scaled_dot_product_attention``, except where it is slow.

    On the CPU, the backward pass of its fused kernel takes eight times as long
    in bfloat16 as plain matrix products.

    Args:
        q (Tensor): Queries in shape (B, heads, Nq, D / heads)
        k (Tensor): Keys in shape (B, heads, Nk, D / heads)
        v (Tensor): Values in the same shape
        mask (Tensor, optional): ``True`` for keys that take part, in a shape
            that broadcasts to (B, heads, Nq, Nk)
        dropout (float): Dropout of the attention weights

    Returns:
        Tensor: Weighted values in shape (B, heads, Nq, D / heads).
    """
    if not (q.device.type == 'cpu' and q.dtype == torch.bfloat16 and q.requires_grad):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    # autocast would convert to float32 for the softmax, which does so inside
    with torch.autocast('cpu', enabled=False):
        weights = (q * q.shape[-1] ** -0.5) @ k.mT
        if mask is not None:
            weights = weights.masked_fill(~mask, float('-inf'))
        return F.dropout(weights.softmax(dim=-1), dropout) @ v
