"""What a transform is, and how transforms are put together."""

from collections.abc import Callable

from visard.cloak.objective import Faces

Transform = Callable[[Faces], Faces]


def identity(faces: Faces) -> Faces:
    """Nothing happens."""
    return faces


def chain(*transforms: Transform) -> Transform:
    """One transform after the other."""

    def apply(faces: Faces) -> Faces:
        for transform in transforms:
            faces = transform(faces)
        return faces

    return apply
