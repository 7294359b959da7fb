freeze("$(HERE)", "_boot.py")
include("$(MPY_DIR)/extmod/asyncio")
