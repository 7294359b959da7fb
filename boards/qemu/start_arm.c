// Reset and faults of an ARM core without an operating system.
#include <stdint.h>

#include "board.h"

extern uint32_t _stack_end, _data_load, _data_start, _data_end, _bss_start, _bss_end;
int main(void);

__attribute__((noreturn)) void reset_handler(void) {
    // handlers never run: the machine is polled, and a pending interrupt still ends WFI
    __asm volatile("cpsid i");
    for (uint32_t *from = &_data_load, *to = &_data_start; to < &_data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &_bss_start; to < &_bss_end;) {
        *to++ = 0;
    }
    main();
    board_fail("main returned");
}

static void fault_handler(void) {
    board_fail("a processor fault");
}

__attribute__((used, section(".vectors"))) static const uintptr_t vectors[16] = {
    (uintptr_t)&_stack_end,
    (uintptr_t)reset_handler,
    [2 ... 15] = (uintptr_t)fault_handler,
};
