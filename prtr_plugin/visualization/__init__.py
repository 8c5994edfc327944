from .attention import attend_joints, attention_weights, draw_attention, record_attention
from .cascade import draw_cascade, find_people
from .levels import read_levels
from .queries import QueryStatistics, count_queries, draw_answers, draw_density
from .refinement import draw_errors, draw_refinement, level_errors
from .sampling import draw_sampling, sample_joints
from .style import figure_to_image
from .training_curve import draw_training, read_scalars

__all__ = [
    'QueryStatistics',
    'attend_joints',
    'attention_weights',
    'count_queries',
    'draw_answers',
    'draw_attention',
    'draw_cascade',
    'draw_density',
    'draw_errors',
    'draw_refinement',
    'draw_sampling',
    'draw_training',
    'figure_to_image',
    'find_people',
    'level_errors',
    'read_levels',
    'read_scalars',
    'record_attention',
    'sample_joints',
]
