from .people import generate_people

__all__ = ['generate_people']
