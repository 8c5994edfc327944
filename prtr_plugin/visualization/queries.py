"""Specialisation of the keypoint queries of a two-stage PRTR."""

from collections.abc import Iterable

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from mmengine.model import BaseModel
from scipy.stats import entropy

from .layers import check_model, read_layers
from .style import joint_colors, joint_names, new_figure, side_handles


class QueryStatistics:
    """Counts where queries land and which joints they are assigned to.

    Args:
        num_queries (int): Number of queries Q
        num_keypoints (int): Number of joints K
        bins (int): Number of bins per axis that the crop is divided into.
            Defaults to 32

    Attributes:
        num_people (int): Number of people N counted so far
        density (np.ndarray): How often each query landed in each bin, in
            shape (Q, bins, bins) with y before x. Sums to N for every query
        answers (np.ndarray): How often the read-out assigned each query to
            each joint, in shape (Q, K). Sums to N for every joint
    """

    def __init__(self, num_queries: int, num_keypoints: int, bins: int = 32) -> None:
        self.bins = bins
        self.num_people = 0
        self.density = np.zeros((num_queries, bins, bins), dtype=np.int64)
        self.answers = np.zeros((num_queries, num_keypoints), dtype=np.int64)
        self._entropy_sum = np.zeros(num_queries)

    def update(self, probs: np.ndarray, coords: np.ndarray, queries: np.ndarray) -> None:
        """Count some people.

        Args:
            probs (np.ndarray): Class probabilities in shape (B, Q, K + 1)
            coords (np.ndarray): Normalised coordinates in shape (B, Q, 2)
            queries (np.ndarray): The query of each joint in shape (B, K)
        """
        num_queries, num_keypoints = self.answers.shape
        x, y = np.moveaxis((coords * self.bins).astype(int), -1, 0).clip(0, self.bins - 1)
        np.add.at(self.density, (np.arange(num_queries), y, x), 1)
        np.add.at(self.answers, (queries, np.arange(num_keypoints)), 1)
        self._entropy_sum += entropy(probs, axis=-1, base=2).sum(axis=0)
        self.num_people += len(coords)

    @property
    def class_entropy(self) -> np.ndarray:
        """Entropy of the softmax over the joints and "no keypoint", in bits.

        The mean over the people, in shape (Q, ): how uncertain a query is for
        a single person.
        """
        return self._entropy_sum / max(self.num_people, 1)

    @property
    def uses(self) -> np.ndarray:
        """How often each query was assigned to any joint, in shape (Q, )."""
        return self.answers.sum(axis=1)

    @property
    def joint_entropy(self) -> np.ndarray:
        """Entropy of the joints that a query was assigned to, in bits.

        In shape (Q, ). 0 for a query that was always assigned to the same
        joint, and NaN for one that was never assigned.
        """
        with np.errstate(invalid='ignore'):
            return entropy(self.answers, axis=1, base=2)

    @property
    def order(self) -> np.ndarray:
        """Indices of the queries, the most used first, in shape (Q, ).

        Equally used queries are in the order of their main joints.
        """
        return np.lexsort((self.answers.argmax(axis=1), -self.uses))

    def to_dict(self, dataset_meta: dict) -> dict:
        """Everything but the density, ready for JSON.

        Args:
            dataset_meta (dict): Names of the joints

        Returns:
            dict: ``num_people``, ``num_queries``, ``num_used``, and
            ``queries``, a list of dicts in :attr:`order`.
        """
        names = joint_names(dataset_meta)
        queries = [
            dict(
                query=int(q),
                uses=int(self.uses[q]),
                answers={
                    names[k]: int(self.answers[q, k])
                    for k in np.argsort(-self.answers[q], kind='stable')
                    if self.answers[q, k]
                },
                joint_entropy=float(self.joint_entropy[q]) if self.uses[q] else None,
                class_entropy=float(self.class_entropy[q]),
            )
            for q in self.order
        ]
        return dict(
            num_people=self.num_people,
            num_queries=len(queries),
            num_used=int((self.uses > 0).sum()),
            queries=queries,
        )


def count_queries(model: BaseModel, data_loader: Iterable[dict]) -> QueryStatistics:
    """Count the queries of the last decoder layer over a dataset.

    Args:
        model (BaseModel): See :func:`read_layers`
        data_loader (Iterable[dict]): Batches, see :func:`read_layers`

    Returns:
        QueryStatistics: The statistics.

    Raises:
        TypeError: If the model is of another kind.
    """
    head = check_model(model)
    statistics = QueryStatistics(head.num_queries, head.out_channels)
    for data_batch in data_loader:
        outputs = read_layers(model, data_batch)
        statistics.update(
            outputs.cls_logits[-1].softmax(dim=-1).cpu().numpy(),
            outputs.coords[-1].cpu().numpy(),
            outputs.queries[-1],
        )
    return statistics


def draw_density(
    statistics: QueryStatistics, dataset_meta: dict, aspect: float, num_shown: int = 20
) -> Figure:
    """Draw where the most used queries land in the crop.

    Args:
        statistics (:obj:`QueryStatistics`): The statistics
        dataset_meta (dict): Names and sides of the joints
        aspect (float): Width of the crop divided by its height
        num_shown (int): Maximum number of queries. Defaults to 20

    Returns:
        Figure: One panel for each query.
    """
    shown = statistics.order[:num_shown]
    columns = min(len(shown), 7)
    rows = -(-len(shown) // columns)
    figure = new_figure(1.45 * columns, (1.1 / aspect + 0.4) * rows + 0.5)
    names, colors = joint_names(dataset_meta), joint_colors(dataset_meta)
    for i, q in enumerate(shown):
        axis = figure.add_subplot(rows, columns, i + 1)
        best = statistics.answers[q].argmax()
        uses = statistics.uses[q] / statistics.num_people
        color, what = np.full(3, 0.2), 'never answers'
        if uses:
            share = statistics.answers[q, best] / statistics.uses[q]
            color = colors[best]
            what = f'{names[best]} {share:.0%}'
        # a few bins hold most of it: the square root makes the others visible
        shades = LinearSegmentedColormap.from_list('', [np.ones(3), color])
        axis.imshow(np.sqrt(statistics.density[q]), cmap=shades, extent=(0, aspect, 1, 0))
        axis.set(xticks=[], yticks=[])
        axis.set_title(f'query {q}: used {uses:.0%}\n{what}', fontsize=7)
    figure.legend(
        handles=side_handles(dataset_meta),
        title='side of the joint that a query answers to most',
        loc='outside lower center',
        ncols=3,
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )
    return figure


def draw_answers(statistics: QueryStatistics, dataset_meta: dict) -> Figure:
    """Draw which joints the queries are assigned to, and their entropies.

    Args:
        statistics (:obj:`QueryStatistics`): The statistics
        dataset_meta (dict): Names and sides of the joints

    Returns:
        Figure: The matrix of all queries that were ever assigned, in the order
        of their main joints, with bars for the entropies beside it.
    """
    used = np.flatnonzero(statistics.uses)
    used = used[np.argsort(statistics.answers[used].argmax(1), kind='stable')]
    names, colors = joint_names(dataset_meta), joint_colors(dataset_meta)
    figure = new_figure(0.17 * len(names) + 3.2, 0.17 * len(used) + 1.9)
    widths = [0.17 * len(names), 1.0, 1.0]
    matrix, *bars = figure.subplots(1, 3, sharey=True, gridspec_kw=dict(width_ratios=widths))
    shares = statistics.answers[used] / statistics.num_people
    shown = matrix.imshow(shares, cmap='Greys', vmin=0, vmax=1, aspect='auto')
    matrix.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    for label, color in zip(matrix.get_xticklabels(), colors):
        label.set_color(color)
    matrix.set_yticks(range(len(used)), used, fontsize=7)
    matrix.set_ylabel('query', fontsize=8)
    matrix.set_title(f'{len(used)} of {len(statistics.uses)} queries ever answer', fontsize=8)
    figure.colorbar(shown, ax=matrix, location='left', shrink=0.8).set_label(
        'share of people whose joint the query answers to', fontsize=7
    )
    for axis, values, title in zip(
        bars,
        (statistics.joint_entropy, statistics.class_entropy),
        ('entropy of\nits joints [bit]', 'entropy of\nits classes [bit]'),
    ):
        axis.barh(range(len(used)), values[used], color='dimgray')
        axis.set_title(title, fontsize=8)
        axis.tick_params(labelsize=7, labelleft=False)
        axis.set_xlim(0, max(1, 1.05 * values[used].max()))
    return figure
