"""Why no map-server outlives its agent, however that ends; one small file for each system, with the same names:

command(argv) -> argv             what to start instead, so that the child ends with us
options() -> dict                 further arguments of the start: a group of its own, so that Ctrl-C is for the agent alone
hold(pid)                         after the start; raises OSError where the child cannot be held
ask_to_end(pid), kill(pid)        the whole group; who is gone already is no error
link(source, target)              target is source, a file or a directory, under another name

Linux and Windows have the system see to it; on others an agent that is killed leaves its map-servers.
"""

import sys

if sys.platform == "win32":
    from services.agent.maps.contain.windows import ask_to_end, command, hold, kill, link, options
else:
    from services.agent.maps.contain.posix import ask_to_end, command, hold, kill, link, options

__all__ = ["ask_to_end", "command", "hold", "kill", "link", "options"]
