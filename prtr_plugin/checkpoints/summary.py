import re
from collections.abc import Mapping

from torch import Tensor


def summarize(state_dict: Mapping[str, Tensor]) -> str:
    """Tabulate the keys, parameters and buffer entries of a model's parts.

    Args:
        state_dict (Mapping[str, Tensor]): Weights with the keys of this
            plugin's models
    """
    groups: dict[str, list[int]] = {}
    for key, value in state_dict.items():
        # backbone, neck, head.fc_cls, head.transformer.encoder,
        # detector.bbox_head, ...
        match = re.match(r'((head|detector)\.(transformer\.)?)?\w+', key)
        row = groups.setdefault(match[0] if match else key, [0, 0, 0])
        is_buffer = re.search(r'running_(mean|var)$|num_batches_tracked$', key)
        row[0] += 1
        row[2 if is_buffer else 1] += value.numel()
    rows = sorted(groups.items())
    rows.append(('total', [sum(column) for column in zip(*groups.values())]))
    width = max(len(name) for name, _ in rows)
    lines = [f'{"group":<{width}}{"keys":>8}{"parameters":>14}{"buffers":>10}']
    lines += [f'{name:<{width}}{n:>8,}{p:>14,}{b:>10,}' for name, (n, p, b) in rows]
    return '\n'.join(lines)
