"""The maps that are never a host's by default, by their names in stock rAthena. Goes with `maps.never` of the shipped file."""

TOWNS = (
    *("alberta", "aldebaran", "amatsu", "ayothaya", "brasilis", "comodo", "dewata", "dicastes01", "eclage", "einbech"),
    *("einbroch", "geffen", "gonryun", "hugel", "izlude", "izlude_?", "jawaii", "lasagna", "lighthalzen", "louyang"),
    *("malangdo", "malaya", "manuk", "mid_camp", "moc_ruins", "mora", "morocc", "moscovia", "nameless_n", "niflheim"),
    *("pay_arche", "payon", "prontera", "rachel", "splendide", "umbala", "veins", "wolfvill", "xmas", "yuno"),
)

# gef_dun02 has an MVP in renewal, but is among the eligible defaults, and `never` would win.
MVP_DUNGEONS = (
    *("abbey02", "abyss_03", "ama_dun03", "anthell02", "ayo_dun02", "beach_dun", "bra_dun02", "c_tower3_"),
    *("dew_dun01", "dic_dun02", "dic_dun03", "ein_dun02", "ein_dun03", "gef_dun01", "gef_fild10", "gl_cas0?_"),
    *("gl_chyard*", "gld_dun*", "gld2_*", "gon_dun03", "in_sphinx5", "iz_dun05", "jupe_core", "kh_dun02"),
    *("lasa_dun01", "lhz_dun02", "lou_dun03", "mag_dun03", "moc_pryd04", "moc_pryd06", "moc_prydn2", "mosk_dun03"),
    *("nif_dun02", "odin_tem03", "oz_dun02", "pay_dun04", "prt_maze03", "prt_sewb4", "teg_dun*", "thor_v03"),
    *("treasure02", "tur_dun04", "xmas_dun02"),
)

NEVER = (*TOWNS, *MVP_DUNGEONS)
