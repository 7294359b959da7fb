// Reset and traps of a RISC-V hart without an operating system.
#include <stdint.h>

#include "board.h"

extern uint32_t _data_load, _data_start, _data_end, _bss_start, _bss_end;
int main(void);

__attribute__((aligned(4))) static void trap_handler(void) {
    board_fail("a processor trap");
}

__attribute__((used, noreturn)) static void start(void) {
    __asm volatile("csrw mtvec, %0" ::"r"(trap_handler));
    for (uint32_t *from = &_data_load, *to = &_data_start; to < &_data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &_bss_start; to < &_bss_end;) {
        *to++ = 0;
    }
    main();
    board_fail("main returned");
}

__attribute__((naked, used, section(".vectors"))) void reset_handler(void) {
    __asm volatile(".option push\n .option norelax\n la gp, _global_pointer\n .option pop\n"
                   "la sp, _stack_end\n"
                   "tail %0" ::"i"(start));
}
