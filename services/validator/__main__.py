"""python -m services.validator, or: kafra serve validator."""

from libs.runtime.service import run
from services.validator.shell import SERVICE

if __name__ == "__main__":
    run(SERVICE)
