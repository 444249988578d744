from tests.cluster.conftest import class_, objects, space

__all__ = ["class_", "objects", "space"]
