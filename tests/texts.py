"""Any text that a Python string can hold, with what often breaks programs drawn often."""

from hypothesis import strategies as st

NASTY = (
    "Ada met Bob in London. ",
    "👩\u200d👩\u200d👧",
    "e\u0301",
    "\u0301",
    "\u200b",
    "東京タワー。",
    "مرحبا",
    "\u202eabc\u202c",
    "\r\n",
    "\n\n",
    "\x00",
    "\ud83d",
    "\udc00",
    "\u2028",
    "İ",
    "ﷺ",
    "[SEP]",
    "[unused0]",
    "state-of-the-art_",
    "x" * 300,
)

characters = st.characters(exclude_categories=())
any_text = st.lists(st.text(characters, max_size=12) | st.sampled_from(NASTY), max_size=12).map("".join)
