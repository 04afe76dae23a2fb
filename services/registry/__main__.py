"""python -m services.registry, or: kafra serve registry."""

from libs.runtime.service import run
from services.registry.shell import SERVICE

if __name__ == "__main__":
    run(SERVICE)
