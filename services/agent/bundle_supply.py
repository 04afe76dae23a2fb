"""The bundle that maps are run with, held for as long as they run. Called by hosting.py.

In: a store, and whose bundles count. Out: a version that is whole and stays, or the reason why there is none.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from libs.bundle.manifest import public_key
from libs.bundle.refusal import Lack
from services.agent.bundle import is_signed, platform_name, settle
from services.agent.bundle_report import NoBundle
from services.agent.bundle_store import Store, Version


class Supply:
    """key: the operator's; None: what is in the store counts, whoever signed it. Raises of all: OSError."""

    def __init__(self, store: Store, key: str | None) -> None:
        self._store, self._key = store, key

    def version(self) -> str | None:
        """Of what maps are run with, or would be now."""
        current = self._newest()
        return current.id if current is not None and self._counts(current) else None

    @contextmanager
    def taken(self) -> Iterator[Version]:
        """The newest that is here; nobody switches to another within.

        Raises: Busy; NoBundle.
        """
        self._newest()
        with self._store.serving() as version:
            if version is None or not self._counts(version):
                whose = "no bundle" if self._key is None or version is None else "no bundle of this operator"
                said = f"{self._store.root}: {whose} that could be used; kafra agent bundle fetch brings one"
                raise NoBundle(Lack.NONE, f"{whose} is here", said)
            yield version

    def usable(self) -> Version:
        """What would be taken, read through. It is not held meanwhile: a fetch may mend it.

        Raises: Busy; NoBundle.
        """
        with self.taken() as version:
            pass
        self.check(version)
        return version

    def check(self, version: Version) -> None:
        """Reads all of it.

        Raises: NoBundle, where anything is not what was signed.
        """
        damaged = self._store.damaged(version, version.manifest.for_platform(platform_name()))
        if damaged is not None:
            said = f"bundle {version.id} is damaged: {damaged} is not what was signed; the next fetch mends it"
            raise NoBundle(Lack.DAMAGED, f"{damaged} of bundle {version.id} is not what was signed", said)

    def _newest(self) -> Version | None:
        """What is current, after the newest became so if none is held."""
        return self._store.current() if self._key is None else settle(self._store, self._key)

    def _counts(self, version: Version) -> bool:
        return self._key is None or is_signed(version, public_key(self._key))
