"""python -m services.scorer, or: kafra serve scorer."""

from libs.runtime.service import run
from services.scorer.shell import SERVICE

if __name__ == "__main__":
    run(SERVICE)
