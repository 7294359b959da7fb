"""Only what pyproject.toml cannot say: the compiled core."""

from setuptools import setup

setup(cffi_modules=["native/bindings/cffi_build.py:ffibuilder"])
