// MicroPython's configuration on QEMU's machines: the feature level of ports/rp2, LittleFS, native modules, a REPL on
// the first UART.
#include <alloca.h>
#include <stdint.h>

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

#if defined(__ARM_ARCH_ISA_THUMB)
// Without an emitter there is no loader of native modules.
#define MICROPY_EMIT_THUMB (1)
#define MICROPY_EMIT_INLINE_THUMB (1)
#if __ARM_ARCH_ISA_THUMB == 1
#define MICROPY_EMIT_THUMB_ARMV7M (0)
#define MICROPY_EMIT_INLINE_THUMB_FLOAT (0)
#endif
#define MICROPY_MAKE_POINTER_CALLABLE(p) ((void *)((mp_uint_t)(p) | 1))
#elif defined(__riscv)
#define MICROPY_EMIT_RV32 (1)
#define MICROPY_EMIT_INLINE_RV32 (1)
#endif

#define MICROPY_PERSISTENT_CODE_LOAD (1)
#define MICROPY_ENABLE_GC (1)
#define MICROPY_ENABLE_EMERGENCY_EXCEPTION_BUF (1)
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_MPZ)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)
#define MICROPY_HELPER_REPL (1)
#define MICROPY_WARNINGS (1)
#define MICROPY_USE_INTERNAL_ERRNO (1)
#define MICROPY_USE_INTERNAL_PRINTF (1)
#define MP_NEED_LOG2 (1)

#define MICROPY_READER_VFS (1)
#define MICROPY_VFS (1)
#define MICROPY_PY_VFS (1)

#define MICROPY_PY_SYS_PLATFORM "qemu"
#define MICROPY_PY_SYS_STDIO_BUFFER (1)
#define MICROPY_PY_SELECT (1)
#define MICROPY_PY_TIME (1)
#define MICROPY_PY_ASYNCIO (1)
#define MICROPY_PY_OS_UNAME (1)
#define MICROPY_PY_OS_URANDOM (1)
#define MICROPY_PY_OS_INCLUDEFILE "os_module.c"
#define MICROPY_PY_MACHINE (1)
#define MICROPY_PY_MACHINE_RESET (1)
#define MICROPY_PY_MACHINE_INCLUDEFILE "machine_module.c"
#define MICROPY_PY_MACHINE_EXTRA_GLOBALS                                                                               \
    {MP_ROM_QSTR(MP_QSTR_unique_id), MP_ROM_PTR(&boardserve_unique_id_obj)},                                           \
        {MP_ROM_QSTR(MP_QSTR_mem8), MP_ROM_PTR(&machine_mem8_obj)}, {MP_ROM_QSTR(MP_QSTR_PWRON_RESET), MP_ROM_INT(1)}, \
        {MP_ROM_QSTR(MP_QSTR_SOFT_RESET), MP_ROM_INT(5)},

// The UART is looked at between bytecodes, not by an interrupt: instruction counts repeat.
void hal_poll(void);
extern uint8_t hal_poll_countdown;
#define MICROPY_VM_HOOK_POLL                                                                                           \
    do {                                                                                                               \
        if (--hal_poll_countdown == 0) {                                                                               \
            hal_poll();                                                                                                \
        }                                                                                                              \
    } while (0);
#define MICROPY_VM_HOOK_LOOP MICROPY_VM_HOOK_POLL
#define MICROPY_VM_HOOK_RETURN MICROPY_VM_HOOK_POLL

#define MP_SSIZE_MAX (0x7fffffff)
#define UINT_FMT "%lu"
#define INT_FMT "%ld"
typedef int32_t mp_int_t;
typedef uint32_t mp_uint_t;
typedef long mp_off_t;

#define MP_STATE_PORT MP_STATE_VM
