from tests.unit.offline.dotenv.conftest import folder, shop

__all__ = ["folder", "shop"]
