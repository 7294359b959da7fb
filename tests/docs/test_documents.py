"""The documents are true: what they tell people to type works, what they point at is there.

Every fenced block of the documents below that is marked sh, console or python, or whose lines start with `$ `, is run,
in order, in a folder of its own for each document. A comment just before a block says what else to do with it:

    <!-- not run: REASON -->   one of NOT_RUN, for what cannot be run here
    <!-- file: NAME -->        it is written to a file that a later block uses

Blocks are exit status 0 or a failed test; a block of a kind that is not known is a failed test too.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from picofed.toolchain import build

ROOT = Path(__file__).resolve().parents[2]
EXECUTED = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "boards/*/README.md", "firmware/README.md")
NOT_RUN = (
    "needs a real board",
    "takes hours",
    "needs a container engine",
    "make demo is run by tests/hil/test_demo.py",
    "tests/docs/test_commands.py runs it on emulated boards",
)
MICROPYTHON = ("boards", "firmware")  # Python in documents below these is for boards: it is compiled, not run
KINDS = ("sh", "console", "python", "toml", "json", "text", "")
HOSTS = ("github.com", "arxiv.org", "doi.org", "www.rfc-editor.org", "nvlpubs.nist.gov")
TIMEOUT = 300

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*(.*?)\s*$")
_COMMENT = re.compile(r"<!-- (not run|file): (.*?) -->$")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
_PATH = re.compile(
    r"(?<![\w/.:-])((?:\.\./)*(?:tests|native|host|firmware|boards|docs|scripts|benchmarks|\.ci)/[\w.*/-]*[\w*])"
)


class DocumentError(Exception):
    """A document that this test cannot follow."""


@dataclass(frozen=True)
class Block:
    """A fenced block. line: of its first line of content, from 1; word, value: of the comment before it."""

    kind: str
    text: str
    line: int
    word: str = ""
    value: str = ""

    @property
    def commands(self) -> list[str]:
        """Shell scripts to run, one after the other."""
        if self.kind == "sh" and not self.text.startswith("$ "):
            return [self.text]
        if self.kind == "python" or not self.text.startswith("$ "):
            return []
        joined = self.text.replace("\\\n", "")
        return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a document. Raises DocumentError for what it may not contain."""
    found: list[Block] = []
    fence = kind = ""
    content: list[str] = []
    start = 0
    before = ""
    for number, line in enumerate(text.splitlines(), 1):
        match = _FENCE.match(line)
        if fence and match and match[1].startswith(fence) and not match[2]:
            comment = _COMMENT.match(before)
            word, value = (comment[1], comment[2]) if comment else ("", "")
            found.append(_checked(Block(kind, "\n".join(content) + "\n", start, word, value)))
            fence, before = "", ""
        elif fence:
            content.append(line)
        elif match:
            fence, kind, content, start = match[1], match[2], [], number + 1
        elif line.strip():
            before = line.strip()
    if fence:
        raise DocumentError(f"line {start}: a block is not closed")
    return found


def _checked(block: Block) -> Block:
    if block.kind not in KINDS:
        raise DocumentError(f"line {block.line}: a block of kind {block.kind!r}: use one of {', '.join(KINDS[:-1])}")
    if block.word == "not run" and block.value not in NOT_RUN:
        raise DocumentError(f"line {block.line}: {block.value!r} is no accepted reason: use one of {NOT_RUN}")
    if block.word == "file" and ("/" in block.value or not block.value):
        raise DocumentError(f"line {block.line}: {block.value!r} is not the name of a file")
    return block


class Reader:
    """Somebody who does what a document says, in `folder`."""

    def __init__(self, name: str, folder: Path, micropython: bool) -> None:
        self.name, self.folder, self.micropython = name, folder, micropython
        self.variables: dict[str, Any] = {"__name__": "__main__"}

    def follow(self, text: str) -> None:
        """Every block, in order. Raises DocumentError."""
        every = blocks(text)
        for number, block in enumerate(every):
            if block.word == "file":
                if not any(block.value in later.text for later in every[number + 1 :]):
                    raise DocumentError(f"{self.name}:{block.line}: no later block uses {block.value}")
                (self.folder / block.value).write_text(block.text)
            elif block.word != "not run":
                self._run(block)

    def _run(self, block: Block) -> None:
        for command in block.commands:
            self._shell(command, block.line)
        if block.kind == "python":
            (self._compile if self.micropython else self._python)(block)

    def _shell(self, command: str, line: int) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise DocumentError(f"{self.name}:{line}: exit status {done.returncode}\n{command}\n--\n{done.stdout}")

    def _python(self, block: Block) -> None:
        code = compile("\n" * (block.line - 1) + block.text, str(ROOT / self.name), "exec")
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                exec(code, self.variables)
        except Exception as error:
            raise DocumentError(
                f"{self.name}:{block.line}: {block.text}\n--\n{output.getvalue()}{traceback.format_exc()}"
            ) from error

    def _compile(self, block: Block) -> None:
        source = self.folder / "block.py"
        source.write_text(block.text)
        self._shell(f"{build.mpy_cross()} -march=x64 -o block.mpy block.py", block.line)


def documents(*patterns: str) -> list[str]:
    """Documents of the repository by pattern, their paths relative to its root."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(
        str(path.relative_to(ROOT))
        for path in found
        if not any(part in ("build", "node_modules") or part.startswith(".") for part in path.relative_to(ROOT).parts)
    )


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    kept, fence = [], ""
    for line in text.splitlines():
        match = _FENCE.match(line)
        if fence:
            fence = "" if match and match[1].startswith(fence) else fence
        elif match:
            fence = match[1]
        else:
            kept.append(line)
    return "\n".join(kept)


def anchors(text: str) -> set[str]:
    """What a link can name behind `#`, as code hosts make it of headings."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and the environment of somebody who has run `make setup`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("PICOFED_SITE", str(tmp_path / "picofed-site"))
    monkeypatch.setenv("PICOFED_ROOT", str(ROOT))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", documents(*EXECUTED))
def test_what_documents_tell_people_to_type_works(name: str, folder: Path) -> None:
    try:
        Reader(name, folder, name.split("/")[0] in MICROPYTHON).follow((ROOT / name).read_text("utf-8"))
    except DocumentError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.mark.parametrize("name", documents("**/*.md"))
def test_what_documents_point_at_is_there(name: str) -> None:
    text = prose((ROOT / name).read_text("utf-8"))
    folder = (ROOT / name).parent
    lost = []
    for target in _LINK.findall(re.sub(r"`[^`]*`", "", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = folder / path if path else ROOT / name
        if not place.exists() or (anchor and anchor not in anchors(place.read_text("utf-8"))):
            lost.append(target)
    for path in _PATH.findall(text):
        base = folder if path.startswith("../") else ROOT
        if not (list(base.glob(path)) if "*" in path else (base / path).exists() or (folder / path).exists()):
            lost.append(path)
    assert not lost, f"{name} names what is not there"


@pytest.mark.parametrize("name", documents("**/*.md"))
def test_documents_name_no_registry_and_no_machine(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    addresses = re.findall(r"https?://([\w.:-]+)", text) + re.findall(r"[\w.-]*(?:pypi|npmjs|pythonhosted)\.\w+", text)
    assert set(addresses) <= set(HOSTS)
    assert not re.findall(r"(?<![\w.:])/(?:home|root|work|tmp|opt|mnt|Users|usr/local)\b[^\s`]*", text)


def test_there_is_a_readme_that_leads_to_every_guide() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    linked = {target.partition("#")[0] for target in _LINK.findall(text)}
    assert set(documents("docs/*.md", "*.md")) - {"README.md"} <= linked


# ---- the test itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("```sh\nfalse | cat\n```\n", "exit status 1"),
        ("```console\n$ echo \\\n  one\n$ exit 3\nnot this\n```\n", "exit status 3"),
        ("```\n$ nonsense-command\n```\n", "not found"),
        ("x\n\n```python\na = 1\n```\n\n```python\nassert a == 2\n```\n", "assert a == 2"),
        ("<!-- not run: I am tired -->\n```sh\ntrue\n```\n", "no accepted reason"),
        ("```ruby\nputs 1\n```\n", "a block of kind 'ruby'"),
        ("```sh\ntrue\n", "not closed"),
        ("<!-- file: a.txt -->\n```text\na\n```\n", "no later block uses a.txt"),
        ("<!-- file: ../a.txt -->\n```text\na\n```\n", "not the name of a file"),
    ],
)
def test_a_wrong_document_fails(text: str, words: str, folder: Path) -> None:
    with pytest.raises(DocumentError, match=words):
        Reader("x.md", folder, False).follow(text)


def test_a_document_is_followed_in_order(folder: Path) -> None:
    text = (
        "<!-- file: a.txt -->\n```text\none\n```\n"
        "```sh\ncp a.txt b.txt\n```\nA comment far away does not count.\n"
        "```python\nfrom pathlib import Path\nwords = Path('b.txt').read_text()\n```\n"
        "<!-- not run: needs a real board -->\n\n```sh\nexit 1\n```\n"
        "```python\nPath('c.txt').write_text(words * 2)\n```\n"
        "```console\n$ grep -c one c.txt \\\n    && touch d.txt\n2\n```\n"
    )
    Reader("x.md", folder, False).follow(text)
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "b.txt", "c.txt", "d.txt"]
