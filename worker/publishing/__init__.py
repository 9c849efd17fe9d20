"""The end of a training: metrics, the artifact, its engine, and what a base model knew before and after."""
