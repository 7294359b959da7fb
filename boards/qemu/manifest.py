freeze("$(PORT_DIR)", "_boot.py")  # noqa: F821
include("$(MPY_DIR)/extmod/asyncio")  # noqa: F821
