from .refinement import (draw_errors, draw_refinement, forward_levels,
                         level_errors, read_levels)
from .style import figure_to_image

__all__ = [
    'draw_errors', 'draw_refinement', 'figure_to_image', 'forward_levels',
    'level_errors', 'read_levels'
]
