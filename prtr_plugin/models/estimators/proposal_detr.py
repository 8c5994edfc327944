import torch
from mmdet.models.layers import coordinate_to_encoding
from mmpose.registry import MODELS
from mmpose.utils.typing import OptSampleList
from torch import Tensor, nn

from .person_detr import PersonDETR


@MODELS.register_module()
class ProposalPersonDETR(PersonDETR):
    """:class:`PersonDETR` whose queries start from proposals of the encoder.

    DETR's queries are learned constants, and it takes hundreds of epochs until
    the decoder attends to the image. Here every token of the encoded map
    proposes a box, and the ``num_queries`` most person-like proposals become
    the queries: a query gets the state of the token and the position of the
    proposed box, and the decoder predicts the offset from that box. This is
    the query selection of `Deformable DETR`_ (appendix A.4) for DETR. The
    proposals are supervised like an additional layer before the decoder's.

    It is meant for training from scratch. Checkpoints of DETR do not fit.

    Args:
        *args: Arguments of the parent class.
        **kwargs: Arguments of the parent class.

    .. _`Deformable DETR`: https://arxiv.org/abs/2010.04159
    """

    with_proposals = True

    def _init_layers(self) -> None:
        super()._init_layers()
        del self.query_embedding
        self.query_pos_proj = nn.Linear(2 * self.embed_dims, self.embed_dims)

    def pre_transformer(
        self, img_feats: tuple[Tensor], batch_data_samples: OptSampleList = None
    ) -> tuple[dict, dict]:
        """Prepare the inputs of encoder and decoder; see the parent class."""
        encoder_inputs, decoder_inputs = super().pre_transformer(img_feats, batch_data_samples)
        feat = img_feats[-1]
        h, w = feat.shape[-2:]
        mask = encoder_inputs['feat_mask']
        # half precision cannot tell all tokens of a large map apart
        dtype = torch.promote_types(feat.dtype, torch.float32)
        valid = feat.new_ones(feat.shape[0], h, w, dtype=dtype)
        if mask is not None:
            valid = (~mask).view_as(valid).to(dtype)
        # the center of every token, relative to the image without padding
        x, y = [(valid.cumsum(dim) - 0.5) / valid.sum(dim, True).clamp(min=1) for dim in (2, 1)]
        # sizes are predicted relative to half of the image
        anchors = torch.stack((x, y, *valid.new_full((2, *valid.shape), 0.5)), dim=-1).flatten(1, 2)
        if mask is not None:
            # far from everybody, so that no padded token is matched
            anchors = anchors.masked_fill(mask[..., None], 1.0)
        encoder_inputs['anchors'] = anchors
        return encoder_inputs, decoder_inputs

    def forward_encoder(
        self, feat: Tensor, feat_mask: Tensor, feat_pos: Tensor, anchors: Tensor
    ) -> dict:
        """Forward with the encoder.

        Args:
            feat (Tensor): Image tokens in shape (B, HW, D)
            feat_mask (Tensor, optional): ``True`` for padded tokens, in
                shape (B, HW)
            feat_pos (Tensor): Their positions in shape (B, HW, D)
            anchors (Tensor): Boxes [cx, cy, w, h] that the proposals start
                from, in shape (B, HW, 4)

        Returns:
            dict: The arguments of :meth:`pre_decoder`.
        """
        memory = super().forward_encoder(feat, feat_mask, feat_pos)['memory']
        return dict(memory=memory, memory_mask=feat_mask, anchors=anchors)

    def pre_decoder(  # type: ignore[override]
        self, memory: Tensor, memory_mask: Tensor, anchors: Tensor
    ) -> tuple[dict, dict]:
        """Turn the best proposals into queries.

        Args:
            memory (Tensor): Encoded image tokens in shape (B, HW, D)
            memory_mask (Tensor, optional): ``True`` for padded tokens, in
                shape (B, HW)
            anchors (Tensor): See :meth:`forward_encoder`

        Returns:
            tuple[dict, dict]: The arguments of :meth:`forward_decoder` and
            of the box head.
        """
        proposals = self.bbox_head.forward_layer(memory, anchors)
        scores = proposals[0].detach()
        scores = scores[..., 0] - scores[..., -1]
        if memory_mask is not None:
            scores = scores.masked_fill(memory_mask, float('-inf'))
        # a tiny image has fewer tokens than there are queries
        best = scores.topk(min(self.num_queries, scores.shape[1]))[1]
        best = best[..., None]
        references = proposals[1].detach().gather(1, best.expand(-1, -1, 4))
        query = memory.gather(1, best.expand(-1, -1, self.embed_dims))
        query_pos = coordinate_to_encoding(
            references, self.positional_encoding.num_feats, self.positional_encoding.temperature
        )
        query_pos = self.query_pos_proj(query_pos.to(memory.dtype))
        return (
            dict(query=query, query_pos=query_pos, memory=memory),
            dict(references=references, proposals=proposals),
        )
