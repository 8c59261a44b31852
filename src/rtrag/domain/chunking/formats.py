"""Which format a document is in: by the ending of its name, otherwise by what its content looks like."""

import re

from rtrag.domain.chunking.front_matter import front_matter_end
from rtrag.domain.document import Format

_BY_ENDING: dict[str, Format] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
    ".rst": "rst",
    ".rest": "rst",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
}
_SNIFFED_CHARS = 20_000
_HEADER_WEIGHT = 20  # header fields say more than marks, which may be quoted
_HTML_START = re.compile(
    r"\s*+<(?:!doctype\s+html|(?:html|head|body|h[1-6]|p|div|article|section)[\s>])", re.IGNORECASE
)
_MARKDOWN_MARKS = re.compile(r"^(?:#{1,6} \S|```|~~~|[-*+] \[[ xX]\] |\|[ :|-]+\|[ \t]*$)", re.MULTILINE)
_MARKDOWN_LINK = re.compile(r"\]\((?:https?:|\.{0,2}/|#)")
_RST_MARKS = re.compile(r"^(?:\.\. (?:[\w-]+::|_|\[)|.{1,200}::$)", re.MULTILINE)
_UNDERLINE = re.compile(
    r"^(?P<title>[^\s\W].{0,200})\r?\n(?P<mark>[=~\-^\"'`*+#])(?P=mark){2,200}[ \t]*$", re.MULTILINE
)


def detect_format(name: str, content: str) -> Format:
    """The format of a document with this name (its id; only the ending counts) and content; never raises.

    ``.txt`` and unknown endings say nothing: reStructuredText is often kept in such files.
    """
    _, dot, ending = name.lower().rpartition(".")
    if dot and (known := _BY_ENDING.get(f".{ending}")):
        return known
    return _sniff(content)


def _sniff(content: str) -> Format:
    head = content[:_SNIFFED_CHARS]
    if _HTML_START.match(head):
        return "html"
    if front_matter_end(head, "markdown"):
        return "markdown"
    underlines = _underlines(head) if "\n" in head else set()
    markdown = len(_MARKDOWN_MARKS.findall(head)) + len(_MARKDOWN_LINK.findall(head))
    rst = len(_RST_MARKS.findall(head)) + len(underlines - {"=", "-"})
    if front_matter_end(head, "rst"):
        rst += _HEADER_WEIGHT
    if rst or markdown:
        return "rst" if rst >= markdown else "markdown"
    return "markdown" if underlines else "text"


def _underlines(head: str) -> set[str]:
    return {match["mark"] for match in _UNDERLINE.finditer(head) if len(match["title"].rstrip()) <= _width(match)}


def _width(match: re.Match[str]) -> int:
    return match.end() - match.start("mark")
