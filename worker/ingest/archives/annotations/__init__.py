"""Boxes in pictures, as COCO, YOLO and Pascal VOC annotate them."""
