from mmdet.models.detectors import DETR
from mmdet.models.layers import SinePositionalEncoding
from mmpose.registry import MODELS
from mmpose.utils.typing import OptSampleList
from torch import Tensor, nn

from ..layers.transformer import PRTRDecoder, PRTREncoder


@MODELS.register_module()
class PersonDETR(DETR):
    """mmdet's DETR with fused attention, for people.

    Arguments, parameter names and results are those of mmdet's DETR, so that
    its checkpoints load. Encoder and decoder are made of the layers of the
    keypoint transformer, which never store the attention weights.
    """

    def _init_layers(self) -> None:
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)
        self.encoder = PRTREncoder(**self.encoder)
        self.decoder = PRTRDecoder(**self.decoder)
        self.embed_dims = self.encoder.embed_dims
        self.query_embedding = nn.Embedding(self.num_queries, self.embed_dims)
        num_feats = self.positional_encoding.num_feats
        if num_feats * 2 != self.embed_dims:
            raise ValueError(
                f'positional_encoding has num_feats={num_feats} but the '
                f'transformer has embed_dims={self.embed_dims}. Set num_feats '
                'to half of it.'
            )

    def pre_transformer(
        self, img_feats: tuple[Tensor], batch_data_samples: OptSampleList = None
    ) -> tuple[dict, dict]:
        """Prepare the inputs of encoder and decoder; see the parent class."""
        encoder_inputs, decoder_inputs = super().pre_transformer(img_feats, batch_data_samples)
        # computed in float32, where the model may not be
        pos = encoder_inputs['feat_pos'].to(img_feats[-1].dtype)
        encoder_inputs['feat_pos'] = decoder_inputs['memory_pos'] = pos
        return encoder_inputs, decoder_inputs

    def forward_decoder(
        self,
        query: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        memory_mask: Tensor,
        memory_pos: Tensor,
    ) -> dict[str, Tensor]:
        """Forward with the decoder.

        Args:
            query (Tensor): Query contents in shape (B, Q, D)
            query_pos (Tensor): Query embeddings in shape (B, Q, D), the same
                for all images
            memory (Tensor): Encoded image features in shape (B, HW, D)
            memory_mask (Tensor, optional): ``True`` for padded places, in
                shape (B, HW)
            memory_pos (Tensor): Positions of the image features in shape
                (B, HW, D)

        Returns:
            dict: ``hidden_states`` of the L decoder levels in shape
            (L, B, Q, D).
        """
        hidden_states = self.decoder(
            query,
            key=memory,
            query_pos=query_pos[:1],
            key_pos=memory_pos,
            key_padding_mask=memory_mask,
        )
        return dict(hidden_states=hidden_states)
