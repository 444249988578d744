from tests.cluster.conftest import objects, space

__all__ = ["objects", "space"]
