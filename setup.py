"""Only what pyproject.toml cannot say: the compiled core, and what the package carries for users without a checkout."""

import json
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
NATMODS = HERE / "build" / "mip"  # left by `picofed build`


class BuildWithFirmware(build_py):
    """Adds main.py, board.toml files and, where they were built from these sources, firmware and native modules."""

    def run(self) -> None:
        super().run()
        if getattr(self, "editable_mode", False):
            return
        place = Path(self.build_lib) / "picofed" / "packaged"
        shutil.rmtree(place, ignore_errors=True)
        for path in [HERE / "firmware" / "main.py", *(HERE / "boards").glob("*/board.toml")]:
            self._add(path, place)
        sys.path.insert(0, str(HERE / "host"))
        from picofed.toolchain.products import ARCHITECTURES

        carried = []
        for path in sorted(NATMODS.glob("*/picofed_core.mpy")) if self._natmods_are_of_these_sources() else ():
            carried.append(path.parent.name.rpartition("_")[0])
            target = place / "natmods" / path.parent.name / path.name
            target.parent.mkdir(parents=True)
            shutil.copyfile(path, target)
            # The firmware's bytecode is the same beside each of them.
            shutil.copytree(path.parent / "picofed", place / "bytecode", dirs_exist_ok=True)
            (place / "sources").write_text(json.loads((NATMODS / "natmods.json").read_text())["sources"])

        missing = [arch for arch in ARCHITECTURES if arch not in carried]
        # `make wheel` shows this line.
        print(f"picofed: native modules: {', '.join(carried) or 'none'}; missing: {', '.join(missing) or 'none'}")

    def _add(self, path: Path, place: Path) -> None:
        target = place / path.relative_to(HERE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)

    def _natmods_are_of_these_sources(self) -> bool:
        from picofed.toolchain.build import sources_digest

        try:
            sources = json.loads((NATMODS / "natmods.json").read_text())["sources"]
        except (OSError, ValueError, KeyError):
            return False
        return bool(sources == sources_digest(HERE))


setup(cffi_modules=["native/bindings/cffi_build.py:ffibuilder"], cmdclass={"build_py": BuildWithFirmware})
