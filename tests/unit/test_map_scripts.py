"""Which script files a host with one map gets."""

from collections.abc import Mapping

from libs.events import MapName
from libs.rathena.conf import read_conf
from services.agent.maps.scripts import conf, pruned, script

FIELD = MapName("moc_fild01")
WARP = "moc_fild01,1,1,0\twarp\tout#1\t1,1,prontera,1,1\n"
ELSEWHERE = 'prontera,1,1,4\tscript\tGuard\t4_M,{\n\tmes "moc_fild01";\n\tend;\n}\n'


def left(files: Mapping[str, str], listed: str | None = None) -> list[str]:
    """Of files, all listed in order without `listed`."""
    texts = {"main.conf": listed or "".join(f"npc: {name}\n" for name in files), **files}
    found = {name: text.encode("latin-1") for name, text in texts.items()}
    return pruned(read_conf("main.conf", found.get), FIELD, found.get)


def test_what_stands_on_the_map_stays_and_what_stands_elsewhere_goes() -> None:
    files = {
        "warps": f"// warps\n{ELSEWHERE}{WARP}",
        "guards": ELSEWHERE,
        "mobs": "moc_fild01,0,0\tmonster\tPoring\t1002,10\n",
        "gat": "moc_fild01.gat,0,0,0,0\tmonster\tLunatic\t1063,10\n",
        "flags": "moc_fild01\tmapflag\tnomemo\n",
        "other_flags": "prontera\tmapflag\tnomemo\n",
    }

    assert left(files) == ["warps", "mobs", "gat", "flags"]


def test_what_others_may_call_stays() -> None:
    files = {
        "functions": f"function\tscript\tF_Do\t{{\n\treturn;\n}}\n{ELSEWHERE}",
        "nowhere": "-\tscript\tClock\t-1,{\nOnInit:\n\tend;\n}\n",
        "taps": f"-\tscript\tTaps\t-1,{{\nOnPCLoginEvent:\n\tend;\n}}\n{ELSEWHERE}",
        "castle": f"-\tscript\tManager\t-1,{{\nOnInit:\n\tend;\n}}\n{ELSEWHERE}",
    }

    assert left(files) == ["functions", "nowhere", "taps"]


def test_what_its_npcs_are_duplicates_of_stays() -> None:
    files = {
        "master": f"-\tscript\t#hidden::Healer\t-1,{{\n\tend;\n}}\n{ELSEWHERE}",
        "other_master": f"-\tscript\tSmith\t-1,{{\n\tend;\n}}\n{ELSEWHERE}",
        "copies": "moc_fild01,5,5,4\tduplicate(Healer)\tHealer#1\t4_M\nprontera,5,5,4\tduplicate(Smith)\tSmith#1\t4_M\n",
    }

    assert left(files) == ["master", "copies"]


def test_the_list_is_read_as_rathena_reads_it() -> None:
    files = {"a": WARP, "b": WARP, "c": WARP}
    texts = {"more.conf": "npc: c\nnpc: absent\n"}

    assert left(files, "npc: a\nnpc: b\ndelnpc: a\n") == ["b"]
    assert left({**files, **texts}, "npc: a\nnpc: clear\nimport: more.conf\nnpc: c\n") == ["c"]
    assert left(files, "npc: a\ndelnpc: all\nnpc: b\n") == ["b"]


def test_the_list_made_is_one_the_server_reads() -> None:
    assert read_conf("list", {"list": conf(["npc/a.txt", "npc/b c.txt"]).encode()}.get).settings[1][:2] == (
        "npc",
        "npc/b c.txt",
    )


def test_bytes_that_are_no_text_are_read() -> None:
    found = script(bytes(range(256)) * 50 + b"\nmoc_fild01,1,1,0\twarp\tx\t1\n")

    assert FIELD in found.places
