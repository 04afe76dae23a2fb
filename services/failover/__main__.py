"""python -m services.failover, or: kafra serve failover."""

from libs.runtime.service import run
from services.failover.shell import SERVICE

if __name__ == "__main__":
    run(SERVICE)
