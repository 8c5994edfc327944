from .attention import attend_joints, attention_weights, draw_attention
from .calibration import Reliability, draw_reliability, measure_reliability, rate_joints
from .cascade import draw_cascade, find_people
from .joint_errors import JointErrors, draw_joint_errors, measure_joints
from .layers import LayerOutputs, read_layers
from .people import draw_people
from .predictions import draw_predictions, predict_images
from .queries import QueryStatistics, count_queries, draw_answers, draw_density
from .query_maps import draw_maps, map_joints
from .refinement import draw_errors, draw_refinement, layer_errors, save_errors, save_refinement
from .sampling import draw_sampling, sample_joints
from .style import check_picture, figure_to_image, save_figure
from .training_curve import draw_training, read_scalars

__all__ = [
    'JointErrors',
    'LayerOutputs',
    'QueryStatistics',
    'Reliability',
    'attend_joints',
    'attention_weights',
    'check_picture',
    'count_queries',
    'draw_answers',
    'draw_attention',
    'draw_cascade',
    'draw_density',
    'draw_errors',
    'draw_joint_errors',
    'draw_maps',
    'draw_people',
    'draw_predictions',
    'draw_refinement',
    'draw_reliability',
    'draw_sampling',
    'draw_training',
    'figure_to_image',
    'find_people',
    'layer_errors',
    'map_joints',
    'measure_joints',
    'measure_reliability',
    'predict_images',
    'rate_joints',
    'read_layers',
    'read_scalars',
    'sample_joints',
    'save_errors',
    'save_figure',
    'save_refinement',
]
