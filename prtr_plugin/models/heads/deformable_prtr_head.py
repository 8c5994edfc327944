import copy
from collections.abc import Sequence

import torch
from mmdet.models.layers import inverse_sigmoid
from mmdet.models.necks import ChannelMapper
from mmengine.model import ModuleList, bias_init_with_prob, constant_init
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ..layers import DeformablePRTRTransformer
from .prtr_head import PRTRHead


@MODELS.register_module()
class DeformablePRTRHead(PRTRHead):
    """The deformable variant of `PRTR`_ (CVPR 2021).

    The transformer is that of `Deformable DETR`_ and looks at several feature
    levels: the given maps, and more levels of half the size each. A query
    puts out its coordinates relative to its reference point.

    Args:
        in_channels (int | Sequence[int]): Channels of the feature maps. As
            many maps are used, the last ones; a number stands for one map
        out_channels (int): Number of joints K
        num_feature_levels (int): Number of feature levels, at least that of
            the maps. Defaults to 4
        with_kpt_refine (bool): Whether each decoder level starts from the
            coordinates of the one before, with a coordinate branch of its
            own, as Deformable DETR's ``with_box_refine``. This is not in the
            paper. Defaults to ``False``, for reference points that stay
        transformer (dict): Arguments of :class:`DeformablePRTRTransformer`
            apart from ``embed_dims`` and ``num_feature_levels``. Defaults to
            the paper's
        norm_cfg (dict): Config of the normalisation of the projected levels.
            Defaults to group normalisation with 32 groups
        **kwargs: Other arguments of :class:`PRTRHead`.

    Raises:
        ValueError: If there are less levels than maps. Also see
            :class:`PRTRHead`.

    .. _`PRTR`: https://arxiv.org/abs/2104.06976
    .. _`Deformable DETR`: https://arxiv.org/abs/2010.04159
    """

    multi_level = True

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        num_feature_levels: int = 4,
        with_kpt_refine: bool = False,
        transformer: ConfigType = dict(),
        norm_cfg: ConfigType = dict(type='GN', num_groups=32),
        **kwargs,
    ) -> None:
        if isinstance(in_channels, int):
            in_channels = [in_channels]
        if not 0 < len(in_channels) <= num_feature_levels:
            raise ValueError(
                f'in_channels={list(in_channels)} tells of '
                f'{len(in_channels)} feature maps but there are '
                f'num_feature_levels={num_feature_levels}. Set '
                'num_feature_levels to the number of maps or more.'
            )
        self.num_feature_levels = num_feature_levels
        self.with_kpt_refine = with_kpt_refine
        self.norm_cfg = norm_cfg
        super().__init__(in_channels, out_channels, transformer=transformer, **kwargs)

    def _init_layers(self, transformer: ConfigType, positional_encoding: ConfigType) -> None:
        """Build the layers that have parameters."""
        super()._init_layers(transformer, positional_encoding)
        if self.with_kpt_refine:
            self.kpt_branch = ModuleList(
                copy.deepcopy(self.kpt_branch) for _ in self.transformer.decoder.layers
            )

    def _init_transformer(self, transformer: ConfigType) -> None:
        """Build the layers from feature maps to query contents."""
        self.input_proj = ChannelMapper(
            self.map_channels,
            self.embed_dims,
            kernel_size=1,
            norm_cfg=self.norm_cfg,
            act_cfg=None,
            bias=True,
            num_outs=self.num_feature_levels,
        )
        # positions, then contents
        self.query_embedding = nn.Embedding(self.num_queries, 2 * self.embed_dims)
        self.transformer = DeformablePRTRTransformer(
            self.embed_dims, num_feature_levels=self.num_feature_levels, **transformer
        )

    def init_weights(self) -> None:
        """As Deformable DETR: all classes have a probability of 0.01 (of a
        sigmoid), and coordinates are the reference points.
        """
        super().init_weights()
        nn.init.constant_(self.fc_cls.bias, bias_init_with_prob(0.01))
        branches = self.kpt_branch if self.with_kpt_refine else [self.kpt_branch]
        for branch in branches:
            constant_init(branch.layers[-1], 0)

    def _forward_levels(
        self, feats: tuple[Tensor], return_intermediate: bool
    ) -> tuple[Tensor, Tensor]:
        """From the maps that the head uses, from fine to coarse; see
        :meth:`forward_levels`.
        """
        maps = self.input_proj(feats)
        hidden_states, references = self.transformer(
            maps,
            [self._positions(x) for x in maps],
            self.query_embedding.weight,
            return_intermediate=return_intermediate,
            kpt_branches=self.kpt_branch if self.with_kpt_refine else None,
        )
        # a bfloat16 coordinate is off by up to 0.7 pixels in 384
        with torch.autocast(references.device.type, enabled=False):
            hidden_states = hidden_states.to(self.fc_cls.weight.dtype)
            if self.with_kpt_refine:
                branches = self.kpt_branch[-len(hidden_states) :]
                offsets = torch.stack([branch(x) for branch, x in zip(branches, hidden_states)])
            else:
                offsets = self.kpt_branch(hidden_states)
            coords = (offsets + inverse_sigmoid(references)).sigmoid()
            return self.fc_cls(hidden_states), coords
