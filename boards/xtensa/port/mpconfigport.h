// The feature level of the boards picofed runs on, with an ESP32's word size, floats and native code.
#pragma once

#include <alloca.h>
#include <stdint.h>

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)
#define MICROPY_ENABLE_GC (1)
#define MICROPY_PERSISTENT_CODE_LOAD (1)
#define MICROPY_EMIT_XTENSAWIN (1)
// A native module's constants are a block of their own. As on the ESP32: the collector is told, since the module's code
// may point only into the middle of it.
#define MICROPY_PERSISTENT_CODE_TRACK_FUN_DATA (1)
#define MICROPY_PERSISTENT_CODE_TRACK_BSS_RODATA (1)
#define MICROPY_NLR_SETJMP (1)
#define MICROPY_GCREGS_SETJMP (0)
#define MICROPY_USE_INTERNAL_ERRNO (1)
#define MICROPY_USE_INTERNAL_PRINTF (1)
#define MICROPY_ENABLE_EMERGENCY_EXCEPTION_BUF (1)
#define MICROPY_KBD_EXCEPTION (1)
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_MPZ)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)
#define MICROPY_EPOCH_IS_1970 (1)
#define MICROPY_PY_SYS_PLATFORM "linux"
#define MICROPY_HW_BOARD_NAME "picofed Xtensa board"
#define MICROPY_HW_MCU_NAME "windowed Xtensa"

#define MICROPY_VFS (1)
#define MICROPY_READER_VFS (1)
#define MICROPY_PY_SYS_STDIO_BUFFER (1)
#define MICROPY_PY_SELECT (1)
#define MICROPY_PY_ASYNCIO (1)
#define MICROPY_PY_TIME_INCLUDEFILE "board_time.c"
#define MICROPY_PY_TIME_GMTIME_LOCALTIME_MKTIME (1)
#define MICROPY_PY_TIME_TIME_TIME_NS (1)
#define MICROPY_PY_OS_UNAME (0)
#define MICROPY_PY_RANDOM_SEED_INIT_FUNC (board_random())
#define MICROPY_PY_MACHINE (1)
#define MICROPY_PY_MACHINE_INCLUDEFILE "board_machine.c"
#define MICROPY_PY_MACHINE_RESET (1)
#define MICROPY_PY_MACHINE_PIN_BASE (0)
extern const struct _mp_obj_fun_builtin_fixed_t boardserve_unique_id_obj;
#define MICROPY_PY_MACHINE_EXTRA_GLOBALS                                                                               \
    {MP_ROM_QSTR(MP_QSTR_unique_id), MP_ROM_PTR(&boardserve_unique_id_obj)},                                           \
        {MP_ROM_QSTR(MP_QSTR_PWRON_RESET), MP_ROM_INT(1)}, {MP_ROM_QSTR(MP_QSTR_SOFT_RESET), MP_ROM_INT(5)},

// There are no interrupts: the line is looked at every so many jumps and waits.
extern unsigned board_jumps;
void line_wait(int timeout);
#define MICROPY_VM_HOOK_LOOP                                                                                           \
    if ((++board_jumps & 0x1ff) == 0) {                                                                                \
        line_wait(0);                                                                                                  \
    }

// Upstream's libm has no log2.
#define MP_NEED_LOG2 (1)

typedef int32_t mp_int_t;
typedef uint32_t mp_uint_t;
typedef long mp_off_t;
#define MP_SSIZE_MAX (0x7fffffff)
#define UINT_FMT "%lu"
#define INT_FMT "%ld"
uint32_t board_random(void);

#define MP_STATE_PORT MP_STATE_VM
