import torch
from mmpose.models.pose_estimators.base import BasePoseEstimator
from torch import Tensor, nn

from ..models.estimators import PRTRCascade
from .metadata import describe


class RawModel(nn.Module):
    """A model that maps images as OpenCV reads them to raw outputs.

    Args:
        model (:obj:`BasePoseEstimator`): A two-stage model with
            :class:`PRTRHead` or a :class:`PRTRCascade`, in evaluation mode

    Attributes:
        metadata (dict): See :func:`describe`
        output_names (List[str]): Names of the outputs of :meth:`forward`

    Raises:
        ValueError: See :func:`describe`.
    """

    def __init__(self, model: BasePoseEstimator) -> None:
        super().__init__()
        self.metadata = describe(model)
        self.output_names = ['cls_logits', 'coords']
        if isinstance(model, PRTRCascade):
            self.output_names = ['scores', 'boxes', *self.output_names]
        self.model = model
        # the data preprocessor does not expose it
        cfg = model.cfg.model.get('data_preprocessor', {})
        self.swap_colors = cfg.get('bgr_to_rgb', False) or cfg.get('rgb_to_bgr', False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Forward function.

        Args:
            images (Tensor): Crops of people or whole images in shape
                (B, 3, H, W), BGR, uint8

        Returns:
            tuple[Tensor, ...]: For a two-stage model, class logits in shape
            (B, Q, K + 1) and coordinates relative to the crop in shape
            (B, Q, 2). For a cascade, scores in shape (B, P) and boxes
            [cx, cy, w, h] in shape (B, P, 4) of P people, class logits in
            shape (B, P, Q, K + 1) and coordinates in shape (B, P, Q, 2), all
            relative to the image.
        """
        # like the data preprocessor, but without its padding, whose size a
        # graph would fix
        preprocessor = self.model.data_preprocessor
        if self.swap_colors:
            images = images[:, [2, 1, 0]]
        images = images.float()
        if hasattr(preprocessor, 'mean'):
            images = (images - preprocessor.mean) / preprocessor.std
        return tuple(self.model(images, None, mode='tensor'))

    def example(self, batch_size: int = 2) -> Tensor:
        """Random images of the model's input size.

        Args:
            batch_size (int): Number B of images. Defaults to 2

        Returns:
            Tensor: In shape (B, 3, H, W), uint8, on the device of the model.
        """
        width, height = self.metadata['input_size']
        generator = torch.Generator().manual_seed(batch_size)
        size = (batch_size, 3, height, width)
        images = torch.randint(256, size, generator=generator, dtype=torch.uint8)
        return images.to(self.device)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device
