import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from prtr_plugin.assignment import (
    batched_linear_assignment,
    cheapest_columns,
    find_conflicts,
    solve,
)


@KEYPOINT_CODECS.register_module()
class HungarianKeypointCodec(BaseKeypointCodec):
    """Targets and read-out of `PRTR`_ (CVPR 2021, section 3.2).

    Encoding normalises keypoints by the input size. Decoding assigns a
    different query to each joint, such that the sum of the class
    probabilities is largest.

    Note:
        - instance number: N
        - batch size: B
        - keypoint number: K
        - query number: Q
        - image size: [w, h]

    Encoded:

        - keypoint_labels (np.ndarray): The normalised coordinates in shape
            (N, K, 2). (0, 0) for joints that are not labelled
        - keypoint_weights (np.ndarray): 1 for labelled joints and 0 for the
            others, in shape (N, K)

    Args:
        input_size (tuple): Input image size in [w, h]
        num_keypoints (int): The number of joints K
        drop_outside (bool): Whether labelled joints outside the input image,
            which a sigmoid cannot reach, lose their weight. The paper's code
            keeps it. Defaults to ``False``
        include_background (bool): Whether the softmax of the read-out
            includes the "no keypoint" logit. The paper's code drops it. With
            a single joint it is always included: without it all queries
            would have probability 1. Defaults to ``False``

    Raises:
        ValueError: If ``input_size`` or ``num_keypoints`` is not positive.

    .. _`PRTR`: https://arxiv.org/abs/2104.06976
    """

    label_mapping_table = dict(
        keypoint_labels='keypoint_labels', keypoint_weights='keypoint_weights'
    )

    def __init__(
        self,
        input_size: tuple[int, int],
        num_keypoints: int,
        drop_outside: bool = False,
        include_background: bool = False,
    ) -> None:
        super().__init__()
        if len(input_size) != 2 or min(input_size) <= 0:
            raise ValueError(
                f'input_size must be two positive numbers (width, height), but got {input_size}'
            )
        if num_keypoints < 1:
            raise ValueError(f'num_keypoints must be at least 1, but got {num_keypoints}')
        self.input_size = tuple(input_size)
        self.num_keypoints = num_keypoints
        self.drop_outside = drop_outside
        self.include_background = include_background or num_keypoints == 1

    def encode(self, keypoints: np.ndarray, keypoints_visible: np.ndarray | None = None) -> dict:
        """Encode keypoints from input image space to normalised space.

        Args:
            keypoints (np.ndarray): Keypoint coordinates in shape (N, K, 2),
                in pixels of the input image
            keypoints_visible (np.ndarray): Keypoint visibilities in shape
                (N, K), positive for labelled joints. Defaults to all labelled

        Returns:
            dict:
            - keypoint_labels (np.ndarray): Normalised coordinates in shape
                (N, K, 2)
            - keypoint_weights (np.ndarray): Joint weights in shape (N, K)

        Raises:
            ValueError: If the number of joints is not ``num_keypoints``.
        """
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], dtype=np.float32)
        labels, weights = self.targets(
            torch.from_numpy(keypoints[..., :2] / np.array(self.input_size)),
            torch.as_tensor(keypoints_visible),
        )
        return dict(keypoint_labels=labels.numpy(), keypoint_weights=weights.numpy())

    def targets(self, keypoints: Tensor, keypoints_visible: Tensor) -> tuple[Tensor, Tensor]:
        """Targets of normalised keypoints, on their device.

        Args:
            keypoints (Tensor): Coordinates relative to the input image in
                shape (N, K, 2)
            keypoints_visible (Tensor): Visibilities in shape (N, K), positive
                for labelled joints

        Returns:
            tuple:
            - keypoint_labels (Tensor): The coordinates in shape (N, K, 2),
                float32. (0, 0) for joints that are not labelled
            - keypoint_weights (Tensor): 1 for labelled joints and 0 for the
                others, in shape (N, K), float32

        Raises:
            ValueError: If the number of joints is not ``num_keypoints``.
        """
        if keypoints.shape[1] != self.num_keypoints:
            raise ValueError(
                f'The dataset has {keypoints.shape[1]} keypoints per person, '
                f'but the codec was built with num_keypoints='
                f'{self.num_keypoints}. Set num_keypoints of the codec and '
                'out_channels of the head to that of the dataset.'
            )
        labelled = keypoints_visible > 0
        if self.drop_outside:
            labelled = labelled & ((keypoints >= 0) & (keypoints <= 1)).all(dim=-1)
        # not a product, which would keep a NaN
        keypoints = keypoints.masked_fill(~labelled[..., None], 0)
        return keypoints.float(), labelled.float()

    def joint_probs(self, cls_logits: Tensor) -> Tensor:
        """Class probabilities of the joints, as the read-out uses them.

        Args:
            cls_logits (Tensor): Class logits in shape (..., K + 1), the last
                one for "no keypoint"

        Returns:
            Tensor: Probabilities in shape (..., K), float32.

        Raises:
            ValueError: If the number of classes is not K + 1.
        """
        if cls_logits.shape[-1] != self.num_keypoints + 1:
            raise ValueError(
                f'The codec was built with num_keypoints={self.num_keypoints} '
                f'and needs {self.num_keypoints + 1} class logits, but got '
                f'{cls_logits.shape[-1]}. Set num_keypoints of the codec to '
                'out_channels of the head.'
            )
        if not self.include_background:
            cls_logits = cls_logits[..., :-1]
        # softmax is faster along an axis that is not the last one, and the
        # later search over the queries is faster if they are contiguous
        probs = cls_logits.float().transpose(-1, -2).softmax(dim=-2)
        return probs[..., : self.num_keypoints, :].transpose(-1, -2)

    def decode(
        self, cls_logits: Tensor | np.ndarray, coords: Tensor | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read out the joints of one instance.

        Args:
            cls_logits (Tensor | np.ndarray): Class logits in shape (Q, K + 1)
            coords (Tensor | np.ndarray): Normalised coordinates in shape
                (Q, 2)

        Returns:
            tuple:
            - keypoints (np.ndarray): Coordinates in shape (1, K, 2), in
                pixels of the input image
            - scores (np.ndarray): Class probabilities in shape (1, K)
        """
        keypoints, scores = self.batch_decode(
            torch.as_tensor(cls_logits)[None], torch.as_tensor(coords)[None]
        )
        return keypoints[0], scores[0]

    def assign(self, cls_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Assign a different query to each joint.

        Args:
            cls_logits (Tensor): Class logits in shape (B, Q, K + 1)

        Returns:
            tuple:
            - queries (Tensor): Query indices in shape (B, K)
            - scores (Tensor): Their class probabilities in shape (B, K)

        Raises:
            FloatingPointError: If a logit is NaN or infinite.
        """
        probs = self.joint_probs(cls_logits).mT
        queries = batched_linear_assignment(probs, maximize=True)
        return queries, probs.gather(-1, queries[..., None]).squeeze(-1)

    def batch_decode(
        self, cls_logits: Tensor, coords: Tensor
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Read out the joints of a batch.

        Joints are taken on the device and copied to the host, followed by
        the probabilities of crops in which joints compete for a query.

        Args:
            cls_logits (Tensor): Class logits in shape (B, Q, K + 1)
            coords (Tensor): Normalised coordinates in shape (B, Q, 2)

        Returns:
            tuple:
            - batch_keypoints (List[np.ndarray]): Each element is keypoint
                coordinates in shape (1, K, 2), in pixels of the input image
            - batch_scores (List[np.ndarray]): Each element is keypoint
                scores in shape (1, K)

        Raises:
            FloatingPointError: If a logit or coordinate is NaN or infinite.
        """
        # the queries of a joint are contiguous
        probs, coords = self.joint_probs(cls_logits).detach().mT, coords.detach().float()
        queries, num_different = cheapest_columns(probs, maximize=True)
        joints = _take_joints(probs, coords, queries)
        packed = torch.cat((joints, num_different[:, None]), dim=1).cpu()
        joints, num_different = packed[:, :-1], packed[:, -1]
        conflicts = find_conflicts(num_different.numpy(), self.num_keypoints)
        if len(conflicts):
            index = torch.from_numpy(conflicts)
            hard = index.to(probs.device, non_blocking=True)
            maps = torch.cat((probs.index_select(0, hard), coords.index_select(0, hard).mT), dim=1)
            maps = maps.cpu()
            probs, coords = maps[:, :-2], maps[:, -2:]
            queries = torch.from_numpy(solve(probs.numpy(), maximize=True))
            joints[index] = _take_joints(probs, coords.mT, queries)

        scores = joints[:, 2 * self.num_keypoints :].numpy()
        keypoints = joints[:, : 2 * self.num_keypoints].unflatten(1, (1, -1, 2)).numpy()
        if not np.isfinite(keypoints).all():
            raise FloatingPointError(
                'Coordinates contain NaN or infinite values. Check the inputs and the weights.'
            )
        keypoints = keypoints * np.array(self.input_size, dtype=np.float32)
        return list(keypoints), list(scores[:, None])


def _take_joints(probs: Tensor, coords: Tensor, queries: Tensor) -> Tensor:
    """Coordinates and probabilities of the queries (B, K), in shape (B, 3K)."""
    index = queries[..., None]
    joints = coords.gather(1, index.expand(-1, -1, 2)).flatten(1)
    return torch.cat((joints, probs.gather(2, index).flatten(1)), dim=1)
