"""The catalogue of these tests is that of `study_fakes`."""

import sys
from collections.abc import Iterator

import pytest
from study_fakes import PLUGINS

import raymia.attacks
import raymia.defenses
from raymia.point import catalog


@pytest.fixture(autouse=True)
def plugins(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The catalogue's defenses and attacks are the small ones above."""
    import textwrap

    root = tmp_path_factory.mktemp("plugins")
    for name, text in PLUGINS.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    caches = (catalog.own_names, catalog._found)
    for kind in ("defenses", "attacks"):
        monkeypatch.setattr(getattr(raymia, kind), "__path__", [str(root / kind)])
    for cache in caches:
        cache.cache_clear()
    yield
    for name in PLUGINS:
        sys.modules.pop("raymia." + name.removesuffix(".py").replace("/", "."), None)
    for cache in caches:
        cache.cache_clear()
