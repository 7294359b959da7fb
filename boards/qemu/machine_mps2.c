// Arm's MPS2 boards (mps2-an385, -an386, -an505): CMSDK UART and timer, FPGAIO's counter. Addresses and clock come from
// board.mk.
#include "systick.h"

#define UART_DATA REGISTER(UART)
#define UART_STATE REGISTER(UART + 4)
#define UART_CONTROL REGISTER(UART + 8)
#define UART_INTERRUPT REGISTER(UART + 12)
#define UART_DIVIDER REGISTER(UART + 16)
#define TIMER_CONTROL REGISTER(TIMER)
#define TIMER_VALUE REGISTER(TIMER + 4)
#define TIMER_RELOAD REGISTER(TIMER + 8)
#define FPGAIO_COUNTER REGISTER(FPGAIO + 0x18)
#define FPGAIO_PRESCALE REGISTER(FPGAIO + 0x1c)

// One instruction is 64 ns of virtual time with -icount shift=6.
#define NANOSECONDS 64

void machine_init(void) {
#if defined(__ARM_FP)
    REGISTER(0xE000ED88) |= 0xf << 20; // CPACR: coprocessors 10 and 11, the FPU
    __asm volatile("dsb\n isb");
#endif
    UART_DIVIDER = 16;
    UART_CONTROL = 1 | 2 | 8; // send, receive, receive interrupt
    FPGAIO_PRESCALE = MHZ - 1;
    TIMER_RELOAD = 0xffffffff;
    TIMER_VALUE = 0xffffffff;
    TIMER_CONTROL = 1;
}

bool machine_can_receive(void) {
    return UART_STATE & 2;
}

uint8_t machine_receive(void) {
    return (uint8_t)UART_DATA;
}

bool machine_can_send(void) {
    return !(UART_STATE & 1);
}

void machine_send(uint8_t byte) {
    UART_DATA = byte;
}

uint64_t machine_microseconds(void) {
    static uint32_t high, last;
    uint32_t now = FPGAIO_COUNTER; // wraps every 71 minutes
    high += now < last;
    last = now;
    return (uint64_t)high << 32 | now;
}

uint32_t machine_instructions(void) {
    uint32_t ticks = ~TIMER_VALUE;
    // a tick is 1000 / MHZ ns; the product is below 2^32 * 1000
    return (uint32_t)((uint64_t)ticks * (1000 / MHZ) / NANOSECONDS);
}

void machine_sleep(uint32_t milliseconds) {
    systick_sleep(milliseconds, MHZ * 1000, UART_IRQ);
    UART_INTERRUPT = 2; // receive
    NVIC_CLEAR(UART_IRQ) = 1u << UART_IRQ % 32;
}

void machine_reset(void) {
    scb_reset();
}
