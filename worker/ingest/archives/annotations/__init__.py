"""Boxes in pictures, as COCO, YOLO, Pascal VOC and tables annotate them."""
