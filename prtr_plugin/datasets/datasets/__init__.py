from .coco_person import CocoPersonDataset

__all__ = ['CocoPersonDataset']
